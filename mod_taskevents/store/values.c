/* Values of PostgreSQL, from and to their text form. */
#include "db_internal.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/timefmt.h"

const char *te_db_text(apr_pool_t *p, const PGresult *r, int row, int column)
{
    if (PQgetisnull(r, row, column)) {
        return NULL;
    }
    return apr_pstrmemdup(p, PQgetvalue(r, row, column),
                          (apr_size_t)PQgetlength(r, row, column));
}

apr_int64_t te_db_int64(const PGresult *r, int row, int column)
{
    return apr_atoi64(PQgetvalue(r, row, column));
}

apr_time_t te_db_time(const PGresult *r, int row, int column)
{
    apr_time_t t;

    if (PQgetisnull(r, row, column)
        || !te_time_from_pg(PQgetvalue(r, row, column), &t)) {
        return TE_TIME_NONE;
    }
    return t;
}

const char *te_db_from_int64(apr_pool_t *p, apr_int64_t value)
{
    return apr_psprintf(p, "%" APR_INT64_T_FMT, value);
}

/* PostgreSQL, 8.15.2: every element quoted, backslash before quote and
 * backslash; NULL without quotes. */
static char *put_element(char *o, const char *s)
{
    if (s == NULL) {
        return apr_cpystrn(o, "NULL", 5);
    }
    *o++ = '"';
    for (; *s; ++s) {
        if (*s == '"' || *s == '\\') {
            *o++ = '\\';
        }
        *o++ = *s;
    }
    *o++ = '"';
    return o;
}

const char *te_db_from_array(apr_pool_t *p, const apr_array_header_t *texts)
{
    apr_size_t room = 3;
    char *out, *o;
    int i;

    for (i = 0; i < texts->nelts; ++i) {
        const char *s = APR_ARRAY_IDX(texts, i, const char *);

        room += (s != NULL ? 2 * strlen(s) : 2) + 3;
    }
    o = out = apr_palloc(p, room);
    *o++ = '{';
    for (i = 0; i < texts->nelts; ++i) {
        if (i > 0) {
            *o++ = ',';
        }
        o = put_element(o, APR_ARRAY_IDX(texts, i, const char *));
    }
    *o++ = '}';
    *o = '\0';
    return out;
}

const char *te_db_from_one(apr_pool_t *p, const char *text)
{
    apr_array_header_t *texts = apr_array_make(p, 1, sizeof(const char *));

    APR_ARRAY_PUSH(texts, const char *) = text;
    return te_db_from_array(p, texts);
}

void te_db_columns(apr_pool_t *p, apr_array_header_t **columns, int n,
                   int rows)
{
    int i;

    for (i = 0; i < n; ++i) {
        columns[i] = apr_array_make(p, rows, sizeof(const char *));
    }
}

void te_db_from_columns(apr_pool_t *p, apr_array_header_t *const *columns,
                        int n, const char **params)
{
    int i;

    for (i = 0; i < n; ++i) {
        params[i] = te_db_from_array(p, columns[i]);
    }
}

/* One element; *s moves past it and the delimiter behind it. */
static const char *take_element(apr_pool_t *p, const char **s)
{
    char *out = apr_palloc(p, strlen(*s) + 1), *o = out;
    int quoted = **s == '"';

    *s += quoted;
    while (**s != '\0' && (quoted ? **s != '"' : **s != ',' && **s != '}')) {
        if (**s == '\\' && (*s)[1] != '\0') {
            ++*s;
        }
        *o++ = *(*s)++;
    }
    *s += quoted && **s == '"';
    *s += **s == ',';
    *o = '\0';
    return out;
}

apr_array_header_t *te_db_to_array(apr_pool_t *p, const char *literal)
{
    apr_array_header_t *texts = apr_array_make(p, 4, sizeof(const char *));
    const char *s = literal + (*literal == '{');

    while (*s != '\0' && *s != '}') {
        APR_ARRAY_PUSH(texts, const char *) = take_element(p, &s);
    }
    return texts;
}
