/* The operator's conninfo: whether it is one, and what it leaves out. */
#include <apr_strings.h>
#include <string.h>

#include "db_internal.h"

int te_db_conninfo_valid(const char *conninfo)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);

    PQconninfoFree(options);
    return options != NULL;
}

int te_db_conninfo_has_password(const char *conninfo)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL), *o;
    int found = 0;

    for (o = options; o != NULL && o->keyword != NULL; ++o) {
        found |= o->val != NULL && (strcmp(o->keyword, "password") == 0
                                    || strcmp(o->keyword, "sslpassword") == 0);
    }
    PQconninfoFree(options);
    return found;
}

/* One "key='value'" with the quoting of libpq's conninfo strings. */
static const char *pair(apr_pool_t *p, const char *key, const char *value)
{
    char *out = apr_palloc(p, strlen(key) + 2 * strlen(value) + 5), *o;

    o = apr_cpystrn(out, key, strlen(key) + 1);
    *o++ = '=';
    *o++ = '\'';
    for (; *value; ++value) {
        if (*value == '\'' || *value == '\\') {
            *o++ = '\\';
        }
        *o++ = *value;
    }
    *o++ = '\'';
    *o++ = ' ';
    *o = '\0';
    return out;
}

const char *te_db_conninfo_complete(apr_pool_t *p, const char *conninfo)
{
    static const char *const defaults[][2] = {
        {"connect_timeout", "2"},
        {"application_name", "mod_taskevents"},
        {"keepalives_idle", "5"},
        {"keepalives_interval", "5"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", "5000"},
    };
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL), *o;
    const char *out = "";
    apr_size_t i;

    for (o = options; o != NULL && o->keyword != NULL; ++o) {
        if (o->val != NULL) {
            out = apr_pstrcat(p, out, pair(p, o->keyword, o->val), NULL);
            continue;
        }
        for (i = 0; i < sizeof defaults / sizeof defaults[0]; ++i) {
            if (strcmp(o->keyword, defaults[i][0]) == 0) {
                out = apr_pstrcat(p, out, pair(p, o->keyword, defaults[i][1]),
                                  NULL);
            }
        }
    }
    PQconninfoFree(options);
    return out;
}
