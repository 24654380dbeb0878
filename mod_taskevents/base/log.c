#include "log.h"

#include <apr_strings.h>
#include <stdarg.h>

#define LINE_MAX_BYTES 2048

static te_log_fn *log_fn;

void te_log_to(te_log_fn *fn)
{
    log_fn = fn;
}

void te_log(te_log_level_e level, apr_status_t rv, const char *code,
            const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    apr_size_t used;
    va_list ap;

    if (log_fn == NULL) {
        return;
    }
    used = (apr_size_t)apr_snprintf(line, sizeof line, "%s: ", code);
    va_start(ap, fmt);
    apr_vsnprintf(line + used, sizeof line - used, fmt, ap);
    va_end(ap);
    log_fn(level, rv, line);
}
