#include "fuzz.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

apr_pool_t *pool;

const fuzz_target_t fuzz_targets[] = {
    {"body", fuzz_body},
    {"patch", fuzz_patch},
    {"time", fuzz_time},
    {"event", fuzz_event},
    {"bulk", fuzz_bulk},
    {"traceparent", fuzz_traceparent},
    {"publish_answer", fuzz_publish_answer},
    {"request", fuzz_request},
    {"path", fuzz_path},
    {"query", fuzz_query},
    {"cursor", fuzz_cursor},
    {"key", fuzz_key},
    {"if_match", fuzz_if_match},
    {NULL, NULL}
};

void fuzz_init(void)
{
    apr_initialize();
}

const fuzz_target_t *fuzz_target(const char *name)
{
    const fuzz_target_t *t = fuzz_targets;

    while (t->name != NULL && strcmp(t->name, name) != 0) {
        ++t;
    }
    return t->name != NULL ? t : NULL;
}

void fuzz_run(const fuzz_target_t *target, const void *bytes, apr_size_t size)
{
    char *copy = malloc(size ? size : 1);

    if (copy == NULL) {
        abort();
    }
    memcpy(copy, bytes, size);
    apr_pool_create(&pool, NULL);
    target->run(copy, size);
    apr_pool_destroy(pool);
    pool = NULL;
    free(copy);
}

void fuzz_broken(const char *promise, const char *file, int line)
{
    fprintf(stderr, "%s:%d: broken promise: %s\n", file, line, promise);
    abort();
}

const char *fuzz_text(const char *bytes, apr_size_t size)
{
    return apr_pstrmemdup(pool, bytes, size);
}

int fuzz_is_sentence(const char *text)
{
    const char *c;

    for (c = text; *c >= ' ' && *c <= '~'; ++c) {
    }
    return c != text && *c == '\0';
}
