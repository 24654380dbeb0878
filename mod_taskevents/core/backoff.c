#include "backoff.h"

#define FIRST apr_time_from_msec(500)
#define LONGEST apr_time_from_sec(30)

apr_interval_time_t te_backoff(int attempts, unsigned int chance)
{
    apr_interval_time_t wait = FIRST;

    while (--attempts > 0 && wait < LONGEST) {
        wait *= 2;
    }
    if (wait > LONGEST) {
        wait = LONGEST;
    }
    return wait / 2 + wait / 2 * (chance & 0xffff) / 0xffff;
}
