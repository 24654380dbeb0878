#include "flood.h"

#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <limits.h>
#include <string.h>

#define KINDS 64
#define CODE_MAX 8

typedef struct {
    char code[CODE_MAX];                /* "": free */
    int level;
    apr_time_t began;                   /* its interval */
    unsigned int said;                  /* in it */
    unsigned int held;
    apr_time_t latest_at;               /* of those held */
    char latest[TE_FLOOD_LINE];
} kind_t;

struct te_flood_t {
    apr_thread_mutex_t *mutex;
    kind_t kinds[KINDS];
};

apr_status_t te_flood_create(te_flood_t **flood, apr_pool_t *p)
{
    *flood = apr_pcalloc(p, sizeof **flood);
    return apr_thread_mutex_create(&(*flood)->mutex, APR_THREAD_MUTEX_DEFAULT,
                                   p);
}

/* NULL: it is new, and all places are taken. */
static kind_t *find(te_flood_t *flood, const char *code, int level)
{
    int i;

    for (i = 0; i < KINDS; ++i) {
        kind_t *kind = &flood->kinds[i];

        if (kind->code[0] == '\0') {
            apr_cpystrn(kind->code, code, sizeof kind->code);
            kind->level = level;
            return kind;
        }
        if (kind->level == level && strcmp(kind->code, code) == 0) {
            return kind;
        }
    }
    return NULL;
}

/* A clock that was set back must not make an interval longer. */
static int is_over(kind_t *kind, apr_time_t now)
{
    if (now < kind->began) {
        kind->began = now;
    }
    return now - kind->began >= TE_FLOOD_INTERVAL;
}

static int admits(kind_t *kind, unsigned int most, const char *line,
                  apr_time_t now)
{
    /* an interval without any that was held is a new beginning */
    if (kind->began == 0 || (kind->held == 0 && is_over(kind, now))) {
        kind->began = now;
        kind->said = 0;
    }
    if (kind->said < most) {
        ++kind->said;
        return 1;
    }
    ++kind->held;
    kind->latest_at = now;
    apr_cpystrn(kind->latest, line, sizeof kind->latest);
    return 0;
}

int te_flood_admits(te_flood_t *flood, const char *code, int level,
                    unsigned int most, const char *line, apr_time_t now)
{
    kind_t *kind;
    int admitted = 1;

    apr_thread_mutex_lock(flood->mutex);
    kind = find(flood, code, level);
    if (kind != NULL) {
        admitted = admits(kind, most, line, now);
    }
    apr_thread_mutex_unlock(flood->mutex);
    return admitted;
}

/* The next interval begins with nothing left to say: as long as the flood
 * goes on, there is one line an interval. */
static void tell(kind_t *kind, apr_time_t now, te_flood_told_t *told)
{
    told->level = kind->level;
    told->held = kind->held;
    told->over = now > kind->began ? now - kind->began : 0;
    told->ago = now > kind->latest_at ? now - kind->latest_at : 0;
    apr_cpystrn(told->line, kind->latest, sizeof told->line);
    kind->held = 0;
    kind->began = now;
    kind->said = UINT_MAX;
}

int te_flood_due(te_flood_t *flood, int all, apr_time_t now,
                 te_flood_told_t *told)
{
    int i, found = 0;

    apr_thread_mutex_lock(flood->mutex);
    for (i = 0; i < KINDS && !found; ++i) {
        kind_t *kind = &flood->kinds[i];

        if (kind->held > 0 && (all || is_over(kind, now))) {
            tell(kind, now, told);
            found = 1;
        }
    }
    apr_thread_mutex_unlock(flood->mutex);
    return found;
}

void te_flood_forget(te_flood_t *flood, const char *code)
{
    int i;

    apr_thread_mutex_lock(flood->mutex);
    for (i = 0; i < KINDS; ++i) {
        if (strcmp(flood->kinds[i].code, code) == 0) {
            flood->kinds[i].held = 0;
        }
    }
    apr_thread_mutex_unlock(flood->mutex);
}
