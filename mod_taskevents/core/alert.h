/* The chore that tells TaskEventsAlertURL of each new dead letter: a signed
 * POST (Standard Webhooks), again until somebody took it. */
#ifndef TE_CORE_ALERT_H
#define TE_CORE_ALERT_H

#include "../store/dead_letters.h"
#include "chores.h"

/* Only with settings->alert_url. Alerts are rows: what is under way when a
 * child ends is sent again by another, with the same webhook-id. */
te_chore_fn te_alert;
void *te_alert_create(te_chore_env_t *env);

/* The body of the alert about a letter: ids and the reason, no text of users,
 * in p. */
const char *te_alert_text(apr_pool_t *p, const te_letter_t *letter);

/* How long until the next try after so many: 2 s, doubled, at most 1 h. */
apr_interval_time_t te_alert_wait(apr_int64_t attempts);

/* Tries in all: with that wait, about three days. */
#define TE_ALERT_TRIES 84

#endif
