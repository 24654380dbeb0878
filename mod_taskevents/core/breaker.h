/* Circuit breaker for one thread: after `failures` in a row calls are left
 * alone for `cooldown`, then one is let through to probe. */
#ifndef TE_CORE_BREAKER_H
#define TE_CORE_BREAKER_H

#include <apr_time.h>

typedef enum {
    TE_BREAKER_CLOSED,
    TE_BREAKER_OPEN,
    TE_BREAKER_HALF_OPEN        /* probing */
} te_breaker_state_e;

typedef struct te_breaker_t {
    int failures;                       /* that open it */
    apr_interval_time_t cooldown;
    te_breaker_state_e state;
    int failed;                         /* in a row */
    apr_time_t probe_at;
} te_breaker_t;

void te_breaker_init(te_breaker_t *b, int failures,
                     apr_interval_time_t cooldown);

/* Whether a call may be made now. Open and cooled down: becomes half-open. */
int te_breaker_allows(te_breaker_t *b, apr_time_t now);

/* Whether the last call failed. Then the next one is to be a small one, which
 * keeps nobody else from anything. */
int te_breaker_doubts(const te_breaker_t *b);

/* @return 1 when this call changed the state between working and not, which
 * is worth one line in the log */
int te_breaker_succeeded(te_breaker_t *b);
int te_breaker_failed(te_breaker_t *b, apr_time_t now);

#endif
