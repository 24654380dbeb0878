/* Fuzz targets: each is given any bytes as one kind of input from outside, and
 * holds the parser to what it promises. The same targets run under libFuzzer
 * (libfuzzer.c) and over the inputs of corpus/ (replay.c). */
#ifndef TE_T_FUZZ_H
#define TE_T_FUZZ_H

#include <apr_pools.h>
#include <apr_tables.h>

#include "../../mod_taskevents/store/tasks.h"

/* The pool of one input. */
extern apr_pool_t *pool;

typedef struct fuzz_target_t {
    const char *name;                   /* and its folder in corpus/ */
    void (*run)(const char *bytes, apr_size_t size);
} fuzz_target_t;

/* Ends with one whose name is NULL. */
extern const fuzz_target_t fuzz_targets[];

/* Once per process. */
void fuzz_init(void);

/* @return NULL when there is none of that name */
const fuzz_target_t *fuzz_target(const char *name);

/* One input: bytes are copied to where a sanitizer sees their ends. */
void fuzz_run(const fuzz_target_t *target, const void *bytes,
              apr_size_t size);

/* The promise, or the end of the process. */
#define PROMISE(x) ((x) ? (void)0 : fuzz_broken(#x, __FILE__, __LINE__))
void fuzz_broken(const char *promise, const char *file, int line)
    __attribute__((noreturn));

/* The input as text: up to its first zero byte, in pool. */
const char *fuzz_text(const char *bytes, apr_size_t size);

/* A sentence of ours, not the sender's text: printable ASCII. */
int fuzz_is_sentence(const char *text);

/* Whether what a client may set of a task keeps the rules. */
void fuzz_task_keeps_rules(const te_task_t *task);

/* The task written and read again is the same. */
void fuzz_task_reads_back(const te_task_t *task);

/* Each target is in the file that stands before it. */
/* tasks.c */
void fuzz_body(const char *bytes, apr_size_t size);
void fuzz_patch(const char *bytes, apr_size_t size);
/* times.c */
void fuzz_time(const char *bytes, apr_size_t size);
/* events.c */
void fuzz_event(const char *bytes, apr_size_t size);
void fuzz_bulk(const char *bytes, apr_size_t size);
void fuzz_traceparent(const char *bytes, apr_size_t size);
/* sidecar.c */
void fuzz_publish_answer(const char *bytes, apr_size_t size);
/* requests.c */
void fuzz_request(const char *bytes, apr_size_t size);
void fuzz_path(const char *bytes, apr_size_t size);
void fuzz_query(const char *bytes, apr_size_t size);
void fuzz_cursor(const char *bytes, apr_size_t size);
void fuzz_key(const char *bytes, apr_size_t size);
void fuzz_if_match(const char *bytes, apr_size_t size);

#endif
