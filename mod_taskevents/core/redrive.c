#include "redrive.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/log.h"
#include "../base/text.h"
#include "effects.h"

/* What of the outcomes leaves the letter to be closed here. */
static te_db_err_e settle(te_db_t *db, apr_pool_t *p, const te_redrive_t *how,
                          te_event_outcome_e outcome,
                          te_redriven_t *redriven)
{
    const char *note = outcome == TE_EVENT_DUPLICATE ? "handled already"
                                                     : "ignored";
    int was_open;
    te_db_err_e err;

    redriven->reason = how->reason;
    switch (outcome) {
    case TE_EVENT_HANDLED:
        redriven->result = TE_REDRIVE_DONE;
        return TE_DB_OK;
    case TE_EVENT_KEPT:
        redriven->result = TE_REDRIVE_FAILED;
        return TE_DB_OK;
    case TE_EVENT_CLOSED:
        redriven->result = TE_REDRIVE_CLOSED;
        return TE_DB_OK;
    case TE_EVENT_DUPLICATE:
    case TE_EVENT_IGNORED:
        break;
    }
    err = te_letters_close(db, p, how->letter, TE_LETTER_REDRIVEN, how->by,
                           note, &was_open);
    redriven->result = was_open ? TE_REDRIVE_DONE : TE_REDRIVE_CLOSED;
    return err;
}

static te_db_err_e handle_again(const te_settings_t *settings,
                                te_db_pool_t *ids, te_db_t *db, apr_pool_t *p,
                                const te_letter_t *letter, const char *by,
                                te_redriven_t *redriven)
{
    te_redrive_t how = {letter->id, by, NULL};
    te_event_outcome_e outcome;
    te_delivery_t delivery;
    te_db_err_e err;

    memset(&delivery, 0, sizeof delivery);
    delivery.bytes = letter->body;
    delivery.size = letter->body_size;
    delivery.full_size = (apr_off_t)letter->full_size;
    delivery.topic = letter->topic;
    delivery.redrive = &how;
    err = te_event_handle(settings, ids, db, p, &delivery, &outcome,
                          &redriven->wrote);
    if (err == TE_DB_FAILED) {
        /* not the database's hour: this event, again */
        redriven->result = TE_REDRIVE_FAILED;
        redriven->reason = apr_pstrdup(p, te_db_error(db));
        return te_letters_failed(db, p, letter->id, by, redriven->reason);
    }
    return err == TE_DB_OK ? settle(db, p, &how, outcome, redriven) : err;
}

static te_db_err_e publish_again(te_db_t *db, apr_pool_t *p,
                                 const te_letter_t *letter, const char *by,
                                 te_redriven_t *redriven)
{
    int was_open;
    te_db_err_e err = te_letters_republish(db, p, letter->id, by, &was_open);

    redriven->wrote = was_open;
    redriven->result = was_open ? TE_REDRIVE_DONE : TE_REDRIVE_CLOSED;
    return err;
}

/* "alice from 192.0.2.7" */
static const char *in_words(apr_pool_t *p, const te_operator_t *by)
{
    const char *name = te_text_printable(p, by->name);

    return by->peer ? apr_pstrcat(p, name, " from ",
                                  te_text_printable(p, by->peer), NULL)
                    : name;
}

static void tell(apr_pool_t *p, const te_redriven_t *redriven,
                 apr_int64_t id, const te_operator_t *by)
{
    const te_letter_t *letter = redriven->letter;

    if (redriven->result == TE_REDRIVE_DONE && letter != NULL) {
        te_log_record(TE_LOG_NOTICE, "TE0422", "dead letter %"
                      APR_INT64_T_FMT " was redriven by %s: %s; event id %s",
                      id, in_words(p, by),
                      letter->note ? letter->note : "",
                      te_text_printable(p, letter->event_id));
    }
    if (redriven->result == TE_REDRIVE_FAILED) {
        te_log_record(TE_LOG_WARNING, "TE0423", "dead letter %"
                      APR_INT64_T_FMT " was redriven by %s and failed again: "
                      "%s", id, in_words(p, by), redriven->reason);
    }
}

/* The letter after it. What was done is done, whatever comes of looking: a
 * repetition of the whole finds it so, and is no failure. */
static te_db_err_e read_back(te_db_t *db, apr_pool_t *p, apr_int64_t id,
                             te_letter_t **letter)
{
    return te_letters_get(db, p, id, letter) == TE_DB_OK ? TE_DB_OK
                                                         : TE_DB_AGAIN;
}

te_db_err_e te_redrive(const te_settings_t *settings, te_db_pool_t *ids,
                       te_db_t *db, apr_pool_t *p, apr_int64_t id,
                       const te_operator_t *by, te_redriven_t *redriven)
{
    te_letter_t *letter;
    te_db_err_e err = te_letters_get(db, p, id, &letter);

    memset(redriven, 0, sizeof *redriven);
    redriven->letter = letter;
    redriven->result = letter == NULL ? TE_REDRIVE_GONE : TE_REDRIVE_CLOSED;
    if (err != TE_DB_OK || letter == NULL
        || strcmp(letter->state, TE_LETTER_OPEN) != 0) {
        return err;
    }
    err = strcmp(letter->stage, TE_STAGE_PUBLISH) == 0
              ? publish_again(db, p, letter, by->name, redriven)
              : handle_again(settings, ids, db, p, letter, by->name,
                             redriven);
    if (err == TE_DB_OK) {
        err = read_back(db, p, id, &redriven->letter);
    }
    if (err == TE_DB_OK) {
        tell(p, redriven, id, by);
    }
    return err;
}

te_db_err_e te_discard(te_db_t *db, apr_pool_t *p, apr_int64_t id,
                       const te_operator_t *by, int *was_open,
                       te_letter_t **letter)
{
    te_db_err_e err = te_letters_close(db, p, id, TE_LETTER_DISCARDED,
                                       by->name, "discarded", was_open);

    if (err == TE_DB_OK && *was_open) {
        te_log_record(TE_LOG_NOTICE, "TE0424", "dead letter %"
                      APR_INT64_T_FMT " was discarded by %s", id,
                      in_words(p, by));
    }
    return err == TE_DB_OK ? read_back(db, p, id, letter) : err;
}
