#include "breaker.h"

void te_breaker_init(te_breaker_t *b, int failures,
                     apr_interval_time_t cooldown)
{
    b->failures = failures;
    b->cooldown = cooldown;
    b->state = TE_BREAKER_CLOSED;
    b->failed = 0;
    b->probe_at = 0;
}

int te_breaker_allows(te_breaker_t *b, apr_time_t now)
{
    if (b->state == TE_BREAKER_OPEN) {
        if (now < b->probe_at) {
            return 0;
        }
        b->state = TE_BREAKER_HALF_OPEN;
    }
    return 1;
}

int te_breaker_doubts(const te_breaker_t *b)
{
    return b->failed > 0;
}

int te_breaker_succeeded(te_breaker_t *b)
{
    int changed = b->state != TE_BREAKER_CLOSED;

    b->state = TE_BREAKER_CLOSED;
    b->failed = 0;
    return changed;
}

int te_breaker_failed(te_breaker_t *b, apr_time_t now)
{
    int was_closed = b->state == TE_BREAKER_CLOSED;

    ++b->failed;
    if (was_closed && b->failed < b->failures) {
        return 0;
    }
    b->state = TE_BREAKER_OPEN;
    b->probe_at = now + b->cooldown;
    return was_closed;
}
