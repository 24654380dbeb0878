#include <httpd.h>
#include "query.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"
#include "reply.h"

/* One "name=value" of the query, decoded. */
typedef struct {
    const char *name;                   /* as it came when it is broken */
    const char *value;                  /* NULL: broken */
} param_t;

/* application/x-www-form-urlencoded; NUL and broken escapes are refused, and
 * what is no UTF-8 can be no text of a task. */
static int decode(apr_pool_t *p, const char *text, const char **out)
{
    char *copy = apr_pstrdup(p, text), *c;
    json_t *as_json;

    for (c = copy; *c; ++c) {
        if (*c == '+') {
            *c = ' ';
        }
        if (*c == '%' && (!apr_isxdigit(c[1]) || !apr_isxdigit(c[2])
                          || (c[1] == '0' && c[2] == '0'))) {
            return 0;
        }
    }
    *out = copy;
    if (ap_unescape_urlencoded(copy) != OK) {
        return 0;
    }
    as_json = te_json_keep(p, json_string(copy));
    return as_json != NULL;
}

static apr_array_header_t *params_of(te_req_t *req, const char *text)
{
    apr_array_header_t *params =
        apr_array_make(req->pool, 4, sizeof(param_t));
    char *rest = apr_pstrdup(req->pool, text ? text : "");
    char *last, *pair;

    for (pair = apr_strtok(rest, "&", &last); pair != NULL;
         pair = apr_strtok(NULL, "&", &last)) {
        char *equals = strchr(pair, '=');
        param_t *param = apr_array_push(params);

        if (equals != NULL) {
            *equals++ = '\0';
        }
        if (!decode(req->pool, equals ? equals : "", &param->value)) {
            param->value = NULL;
        }
        if (!decode(req->pool, pair, &param->name)) {
            param->name = ap_escape_urlencoded(req->pool, pair);
            param->value = NULL;
        }
    }
    return params;
}

static const char *read_one(te_req_t *req, const te_param_rule_t *rules,
                            const param_t *param, void *data)
{
    if (param->value == NULL) {
        return "has a broken %-escape, NUL, or text that is not UTF-8";
    }
    for (; rules->name != NULL; ++rules) {
        if (strcmp(rules->name, param->name) == 0) {
            return rules->read(req, param->value, data);
        }
    }
    return "is not a query parameter here";
}

static int is_repeated(const apr_array_header_t *params, int i)
{
    int j;

    for (j = 0; j < i; ++j) {
        if (strcmp(APR_ARRAY_IDX(params, j, param_t).name,
                   APR_ARRAY_IDX(params, i, param_t).name) == 0) {
            return 1;
        }
    }
    return 0;
}

int te_query_read(te_req_t *req, const te_param_rule_t *rules, void *data)
{
    apr_array_header_t *params = params_of(req, req->r->args);
    apr_array_header_t *faults =
        apr_array_make(req->pool, 2, sizeof(te_fault_t));
    const te_fault_t *first;
    int i;

    for (i = 0; i < params->nelts; ++i) {
        const param_t *param = &APR_ARRAY_IDX(params, i, param_t);
        const char *detail = is_repeated(params, i)
                                 ? "is given twice"
                                 : read_one(req, rules, param, data);

        if (detail != NULL) {
            te_fault_t *f = apr_array_push(faults);

            f->pointer = apr_pstrcat(req->pool, "?", param->name, NULL);
            f->detail = detail;
        }
    }
    if (faults->nelts == 0) {
        return OK;
    }
    first = &APR_ARRAY_IDX(faults, 0, te_fault_t);
    return te_reply_faults(req, HTTP_BAD_REQUEST,
                           apr_psprintf(req->pool, "Query parameter %s %s.",
                                        first->pointer + 1, first->detail),
                           faults);
}

const char *te_query_format(te_req_t *req, const char *value, void *data)
{
    (void)req;
    (void)data;
    return strcmp(value, "html") == 0 || strcmp(value, "json") == 0
               ? NULL : "must be html or json";
}

json_t *te_query_object(te_req_t *req, const char *text)
{
    apr_array_header_t *params = params_of(req, text);
    json_t *object = te_json_keep(req->pool, json_object());
    int i;

    for (i = 0; i < params->nelts; ++i) {
        const param_t *param = &APR_ARRAY_IDX(params, i, param_t);

        if (param->value == NULL || is_repeated(params, i)
            || json_object_set_new(object, param->name,
                                   json_string(param->value)) != 0) {
            return NULL;
        }
    }
    return object;
}

int te_request_no_query(te_req_t *req)
{
    static const te_param_rule_t none[] = {{NULL, NULL}};

    return te_query_read(req, none, NULL);
}

const char *te_query_next(te_req_t *req, const char *cursor)
{
    apr_array_header_t *params = params_of(req, req->r->args);
    const char *query = "";
    int i;

    for (i = 0; i < params->nelts; ++i) {
        const param_t *param = &APR_ARRAY_IDX(params, i, param_t);

        if (strcmp(param->name, "after") != 0) {
            query = apr_pstrcat(req->pool, query,
                                ap_escape_urlencoded(req->pool, param->name),
                                "=",
                                ap_escape_urlencoded(req->pool,
                                                     param->value),
                                "&", NULL);
        }
    }
    return apr_pstrcat(req->pool, query, "after=", cursor, NULL);
}
