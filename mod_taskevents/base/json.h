/* JSON by jansson, tied to pools. */
#ifndef TE_BASE_JSON_H
#define TE_BASE_JSON_H

#include <apr_pools.h>
#include <jansson.h>

/* Deepest nesting of arrays and objects that is read. */
#define TE_JSON_MAX_DEPTH 32

/* Once per process, before any thread: when there is no memory for a value, the
 * process ends, as it does when there is none for a pool. jansson would answer
 * NULL, and half of its callers would go on with less than was said. */
void te_json_global_init(void);

/* Parse one JSON text (RFC 8259) strictly: UTF-8 only, no duplicate member,
 * no \u0000, nothing after the value, depth <= TE_JSON_MAX_DEPTH. Any value
 * is accepted at the top.
 * @param detail  on failure: a sentence for the sender, allocated in p
 * @return the value, released when p is cleared; NULL on failure */
json_t *te_json_parse(apr_pool_t *p, const char *bytes, apr_size_t size,
                      const char **detail);

/* Release value when p is cleared. @return value (NULL stays NULL) */
json_t *te_json_keep(apr_pool_t *p, json_t *value);

/* The compact text of value, in p. Members keep their order. */
const char *te_json_text(apr_pool_t *p, const json_t *value);

/* The same, with numbers of nine digits at most. */
const char *te_json_brief(apr_pool_t *p, const json_t *value);

/* The same for people, with a line for each member. */
const char *te_json_pretty(apr_pool_t *p, const json_t *value);

/* JSON text written straight into a pool, without values in between: a task
 * is written for each answer and each event. What is not checked: that the
 * pieces make JSON. */
typedef struct te_json_out_t {
    apr_pool_t *pool;
    char *text;
    apr_size_t size, room;
} te_json_out_t;

void te_json_out_start(te_json_out_t *out, apr_pool_t *p, apr_size_t room);

/* Text as it is. */
void te_json_put(te_json_out_t *out, const char *text);
void te_json_put_bytes(te_json_out_t *out, const char *text, apr_size_t size);

/* A JSON string of UTF-8 text, or null for NULL. */
void te_json_put_string(te_json_out_t *out, const char *text);

void te_json_put_int(te_json_out_t *out, apr_int64_t value);

/* What was written, ended by a zero byte. */
const char *te_json_out_end(te_json_out_t *out);

/* The text of the string member name of object, else NULL. */
const char *te_json_get_string(const json_t *object, const char *name);

#endif
