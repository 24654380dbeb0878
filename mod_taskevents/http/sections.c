#include "sections.h"

#include <apr_strings.h>
#include <string.h>

static int is_named(const ap_directive_t *node, const char *name)
{
    return ap_cstr_casecmp(node->directive, name) == 0;
}

/* The argument of <Location "/x">, which the tree keeps with its ">". */
static const char *location_of(apr_pool_t *p, const ap_directive_t *node)
{
    const char *rest = node->args;
    char *location = ap_getword_conf(p, &rest);
    apr_size_t n = strlen(location);

    if (n > 0 && location[n - 1] == '>') {
        location[--n] = '\0';
    }
    while (n > 1 && location[n - 1] == '/') {
        location[--n] = '\0';
    }
    return location;
}

static int covers(apr_pool_t *p, const ap_directive_t *node, const char *path)
{
    const char *location;
    apr_size_t n;

    if (is_named(node, "<LocationMatch")) {
        return 1;
    }
    if (!is_named(node, "<Location")) {
        return 0;
    }
    location = location_of(p, node);
    if (strcmp(location, "~") == 0) {
        return 1;
    }
    n = strlen(location);
    return n > 0 && strncmp(path, location, n) == 0
           && (strcmp(location, "/") == 0 || path[n] == '/'
               || path[n] == '\0');
}

static int sets_handler(const ap_directive_t *node, const char *handler)
{
    for (; node != NULL; node = node->next) {
        if (is_named(node, "SetHandler")
            && ap_cstr_casecmp(node->args, handler) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Require may stand inside <RequireAll> and its like. */
static int requires(const ap_directive_t *node, const char *provider)
{
    for (; node != NULL; node = node->next) {
        if ((is_named(node, "Require") && strstr(node->args, provider))
            || requires(node->first_child, provider)) {
            return 1;
        }
    }
    return 0;
}

int te_sections_map(apr_pool_t *p, const ap_directive_t *tree,
                    const char *path)
{
    const ap_directive_t *node;

    for (node = tree; node != NULL; node = node->next) {
        if (covers(p, node, path) ? sets_handler(node->first_child, TE_HANDLER)
                                  : te_sections_map(p, node->first_child,
                                                    path)) {
            return 1;
        }
    }
    return 0;
}

/* The sections of one server: its own list, without other servers'. */
static int server_unguarded(apr_pool_t *p, const ap_directive_t *list,
                            const char *path, const char *provider)
{
    const ap_directive_t *node;
    int mapped = 0, guarded = 0;

    for (node = list; node != NULL; node = node->next) {
        if (covers(p, node, path) && !is_named(node, "<LocationMatch")) {
            mapped |= sets_handler(node->first_child, TE_HANDLER);
            guarded |= requires(node->first_child, provider);
        }
    }
    return mapped && !guarded;
}

/* The sections of one server that are open, by paths. */
static const char *server_open(apr_pool_t *p, const ap_directive_t *list,
                               const char *handler)
{
    const ap_directive_t *node, *other;
    const char *path;
    int guarded;

    for (node = list; node != NULL; node = node->next) {
        if (!is_named(node, "<Location")
            || !sets_handler(node->first_child, handler)) {
            continue;
        }
        path = location_of(p, node);
        guarded = 0;
        for (other = list; other != NULL; other = other->next) {
            guarded |= covers(p, other, path)
                       && requires(other->first_child, "");
        }
        if (!guarded) {
            return path;
        }
    }
    return NULL;
}

const char *te_sections_open(apr_pool_t *p, const ap_directive_t *tree,
                             const char *handler)
{
    const char *path = server_open(p, tree, handler);
    const ap_directive_t *node;

    for (node = tree; node != NULL && path == NULL; node = node->next) {
        if (is_named(node, "<VirtualHost")) {
            path = server_open(p, node->first_child, handler);
        }
    }
    return path;
}

int te_sections_unguarded(apr_pool_t *p, const ap_directive_t *tree,
                          const char *path, const char *provider)
{
    const ap_directive_t *node;

    if (server_unguarded(p, tree, path, provider)) {
        return 1;
    }
    for (node = tree; node != NULL; node = node->next) {
        if (is_named(node, "<VirtualHost")
            && server_unguarded(p, node->first_child, path, provider)) {
            return 1;
        }
    }
    return 0;
}
