/* Logging for code that knows no server: one callback, set by whoever owns
 * the process (the module: httpd's error log; unit tests: nothing). */
#ifndef TE_BASE_LOG_H
#define TE_BASE_LOG_H

#include <apr_errno.h>

/* Same values as syslog's and httpd's APLOG_* levels. */
typedef enum {
    TE_LOG_ALERT = 1,
    TE_LOG_ERR = 3,
    TE_LOG_WARNING = 4,
    TE_LOG_NOTICE = 5,
    TE_LOG_INFO = 6,
    TE_LOG_DEBUG = 7
} te_log_level_e;

typedef void te_log_fn(te_log_level_e level, apr_status_t rv,
                       const char *line);

/* Install the callback. Call it before any thread exists; NULL: silence. */
void te_log_to(te_log_fn *fn);

/* Log one line "CODE: text". code is stable ("TE0501") and listed in
 * docs/log-codes.md; text says what the operator can do, holds ids only, never
 * a secret and, below TE_LOG_DEBUG, no text a user wrote. rv: 0 or the cause.
 * Any thread. */
void te_log(te_log_level_e level, apr_status_t rv, const char *code,
            const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
