#include "router.h"

#include <apr_strings.h>
#include <string.h>

#include "../core/task.h"
#include "resources.h"

static const te_route_t routes[] = {
    {"events_tasks", "{prefix}/events/tasks", TE_AREA_SIDECAR,
     .post = te_deliver_tasks},
    {"events_reminders", "{prefix}/events/reminders", TE_AREA_SIDECAR,
     .post = te_deliver_reminders},
    {"events_dead_letters", "{prefix}/events/dead-letters", TE_AREA_SIDECAR,
     .post = te_deliver_dead_letters},
    {"subscribe", "/dapr/subscribe", TE_AREA_SIDECAR, .get = te_subscribe},
    {"job", "/job/{id}", TE_AREA_SIDECAR, .post = te_job_route},
    {"healthz", "/healthz", TE_AREA_OPEN, .get = te_healthz},
    {"readyz", "/readyz", TE_AREA_OPEN, .get = te_readyz},
    {"openapi", "{prefix}/openapi.json", TE_AREA_OPEN, .get = te_openapi},
    {"tasks", "{prefix}/{user}/tasks", TE_AREA_TASKS,
     .get = te_tasks_list_route, .post = te_tasks_create_route},
    {"task", "{prefix}/{user}/tasks/{id}", TE_AREA_TASKS,
     .get = te_tasks_get_route, .patch = te_tasks_patch_route,
     .delete = te_tasks_delete_route},
    {"task_complete", "{prefix}/{user}/tasks/{id}/complete", TE_AREA_TASKS,
     .post = te_tasks_complete_route},
    {"task_occurrences", "{prefix}/{user}/tasks/{id}/occurrences",
     TE_AREA_TASKS, .get = te_tasks_occurrences_route},
    {"stats", "{prefix}/{user}/stats", TE_AREA_TASKS, .get = te_stats_route},
    {"events", "{prefix}/{user}/events", TE_AREA_TASKS,
     .get = te_history_route},
    {"notifications", "{prefix}/{user}/notifications", TE_AREA_TASKS,
     .get = te_notifications_list_route},
    {"notifications_read", "{prefix}/{user}/notifications/read",
     TE_AREA_TASKS, .post = te_notifications_read_route},
    {"notification", "{prefix}/{user}/notifications/{id}", TE_AREA_TASKS,
     .patch = te_notifications_patch_route},
};

/* What SetHandler taskevents-status serves; the prefix is its location. */
static const te_route_t status_routes[] = {
    {"status", "{prefix}", TE_AREA_STATUS, .get = te_status},
    {"dead_letters", "{prefix}/dead-letters", TE_AREA_STATUS,
     .get = te_letters_route},
    {"dead_letters_redrive", "{prefix}/dead-letters/redrive", TE_AREA_STATUS,
     .post = te_letters_redrive_route},
    {"dead_letters_discard", "{prefix}/dead-letters/discard", TE_AREA_STATUS,
     .post = te_letters_discard_route},
    {"dead_letter", "{prefix}/dead-letters/{id}", TE_AREA_STATUS,
     .get = te_letter_route},
    {"dead_letter_redrive", "{prefix}/dead-letters/{id}/redrive",
     TE_AREA_STATUS, .post = te_letter_redrive_route},
    {"dead_letter_discard", "{prefix}/dead-letters/{id}/discard",
     TE_AREA_STATUS, .post = te_letter_discard_route},
};

/* The first part of *path, which moves behind it. */
static const char *take_part(apr_pool_t *p, const char **path)
{
    apr_size_t n = strcspn(*path, "/");
    const char *part = apr_pstrmemdup(p, *path, n);

    *path += n;
    return part;
}

static int matches(apr_pool_t *p, const char *prefix, const char *pattern,
                   const char *path, te_match_t *match)
{
    if (strncmp(pattern, "{prefix}", 8) == 0) {
        apr_size_t n = strlen(prefix);

        if (strncmp(path, prefix, n) != 0) {
            return 0;
        }
        pattern += 8;
        path += n;
    }
    while (*pattern == '/' && *path == '/') {
        const char *wanted, *part;

        ++pattern;
        ++path;
        wanted = take_part(p, &pattern);
        part = take_part(p, &path);
        if (strcmp(wanted, "{user}") == 0) {
            if (!te_user_id_valid(part)) {
                return 0;
            }
            match->user_id = part;
        }
        else if (strcmp(wanted, "{id}") == 0 && *part != '\0') {
            match->id = part;
        }
        else if (strcmp(wanted, part) != 0) {
            return 0;
        }
    }
    return *pattern == '\0' && *path == '\0';
}

static te_match_t find(const te_route_t *table, apr_size_t n, apr_pool_t *p,
                       const char *prefix, const char *path)
{
    te_match_t match;
    apr_size_t i;

    for (i = 0; i < n; ++i) {
        memset(&match, 0, sizeof match);
        if (matches(p, prefix, table[i].pattern, path, &match)) {
            match.route = &table[i];
            return match;
        }
    }
    memset(&match, 0, sizeof match);
    return match;
}

te_match_t te_router_match(apr_pool_t *p, const char *prefix,
                           const char *path)
{
    return find(routes, sizeof routes / sizeof routes[0], p, prefix, path);
}

te_match_t te_router_match_status(apr_pool_t *p, const char *location,
                                  const char *path)
{
    apr_size_t n = strlen(path);

    if (n > 0 && path[n - 1] == '/' && strlen(location) == n - 1
        && strncmp(path, location, n - 1) == 0) {
        path = location;        /* the location itself, with a slash */
    }
    return find(status_routes, sizeof status_routes / sizeof status_routes[0],
                p, location, path);
}

static int is_below(const char *path, const char *prefix)
{
    apr_size_t n = strlen(prefix);

    return strncmp(path, prefix, n) == 0
           && (path[n] == '/' || path[n] == '\0');
}

int te_router_is_ours(const char *prefix, const char *path)
{
    return is_below(path, prefix) || is_below(path, "/dapr")
           || is_below(path, "/job") || strcmp(path, "/healthz") == 0
           || strcmp(path, "/readyz") == 0;
}

#define N_ROUTES ((int)(sizeof routes / sizeof routes[0]))
#define N_STATUS ((int)(sizeof status_routes / sizeof status_routes[0]))

int te_router_count(void)
{
    return N_ROUTES + N_STATUS;
}

const te_route_t *te_router_at(int i)
{
    return i < N_ROUTES ? &routes[i] : &status_routes[i - N_ROUTES];
}

int te_router_number(const te_route_t *route)
{
    return route >= routes && route < routes + N_ROUTES
               ? (int)(route - routes)
               : N_ROUTES + (int)(route - status_routes);
}

const char *te_router_allow(apr_pool_t *p, const te_route_t *route)
{
    return apr_pstrcat(p, route->get ? "GET, HEAD, " : "",
                       route->post ? "POST, " : "",
                       route->patch ? "PATCH, " : "",
                       route->delete ? "DELETE, " : "", "OPTIONS", NULL);
}
