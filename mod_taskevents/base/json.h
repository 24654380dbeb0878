/* JSON by jansson, tied to pools. */
#ifndef TE_BASE_JSON_H
#define TE_BASE_JSON_H

#include <apr_pools.h>
#include <jansson.h>

/* Deepest nesting of arrays and objects that is read. */
#define TE_JSON_MAX_DEPTH 32

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

/* A JSON string, or JSON null for NULL. */
json_t *te_json_string_or_null(const char *text);

/* The text of the string member name of object, else NULL. */
const char *te_json_get_string(const json_t *object, const char *name);

#endif
