#include "directives.h"

#include <httpd.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_uri.h>
#include <http_log.h>
#include <stdlib.h>
#include <string.h>

#include "secret_file.h"

extern module AP_MODULE_DECLARE_DATA taskevents_module;

#define PREFIX_DEFAULT "/api"
#define MAX_BODY_DEFAULT (64 * 1024)
#define DAYS(n) apr_time_from_sec((apr_int64_t)(n) * 86400)
#define LEAD_MAX apr_time_from_sec((apr_int64_t)366 * 86400)

te_server_conf_t *te_server_conf(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &taskevents_module);
}

static te_process_conf_t *process_defaults(apr_pool_t *p)
{
    te_process_conf_t *process = apr_pcalloc(p, sizeof *process);
    te_settings_t *settings = &process->settings;

    settings->db.schema_needed = TE_SCHEMA_NEEDED;
    settings->db.min = 1;
    settings->db.keep = 4;
    settings->db.max = 16;
    settings->db.wait = apr_time_from_sec(2);
    settings->transport = TE_TRANSPORT_DAPR;
    settings->pubsub = "kafka-pubsub";
    settings->topics[TE_TOPIC_TASKS] = "tasks";
    settings->topics[TE_TOPIC_REMINDERS] = "reminders";
    settings->topics[TE_TOPIC_DEAD_LETTERS] = "tasks-dlq";
    settings->source = "/taskevents";
    settings->publish_timeout = apr_time_from_sec(5);
    settings->publish_batch = 256;
    settings->breaker_failures = 5;
    settings->breaker_cooldown = apr_time_from_sec(1);
    settings->keep_answers = apr_time_from_sec(24 * 3600);
    settings->keep_history = DAYS(30);
    settings->keep_letters = DAYS(30);
    settings->keep_notifications = DAYS(90);
    settings->reminder_lead = apr_time_from_sec(24 * 3600);
    settings->jobs = -1;
    process->loose_files = apr_array_make(p, 2, sizeof(const char *));
    settings->bulk = TE_BULK_REMINDERS;
    return process;
}

void *te_server_conf_create(apr_pool_t *p, server_rec *s)
{
    te_server_conf_t *conf = apr_pcalloc(p, sizeof *conf);

    conf->process = s->is_virtual ? NULL : process_defaults(p);
    conf->engine = -1;
    conf->max_body = -1;
    conf->open = -1;
    conf->sidecar_token = -1;
    return conf;
}

#define MERGE_FLAG(field) \
    conf->field = more->field != -1 ? more->field : less->field

void *te_server_conf_merge(apr_pool_t *p, void *base, void *add)
{
    const te_server_conf_t *less = base, *more = add;
    te_server_conf_t *conf = apr_pcalloc(p, sizeof *conf);

    conf->process = less->process;
    conf->prefix = more->prefix ? more->prefix : less->prefix;
    MERGE_FLAG(engine);
    MERGE_FLAG(max_body);
    MERGE_FLAG(open);
    MERGE_FLAG(sidecar_token);
    return conf;
}

/* --- one directive each ------------------------------------------------ */

/* The sentence for a value that is not allowed. */
static const char *refuse(cmd_parms *cmd, const char *value,
                          const char *allowed)
{
    return apr_psprintf(cmd->pool, "%s: '%s' is not allowed; it takes %s",
                        cmd->cmd->name, value, allowed);
}

static te_settings_t *settings_of(cmd_parms *cmd)
{
    return &te_server_conf(cmd->server)->process->settings;
}

static apr_array_header_t *loose_of(cmd_parms *cmd)
{
    return te_server_conf(cmd->server)->process->loose_files;
}

/* A process has one database and one transport. */
static const char *main_only(cmd_parms *cmd)
{
    if (!cmd->server->is_virtual) {
        return NULL;
    }
    return apr_psprintf(cmd->pool, "%s is for the whole server and cannot be "
                        "inside <VirtualHost>", cmd->cmd->name);
}

#define MAIN_ONLY(cmd) do { \
        const char *message_ = main_only(cmd); \
        if (message_ != NULL) { \
            return message_; \
        } \
    } while (0)

/* A whole number in a range. */
static int number(const char *text, apr_int64_t least, apr_int64_t most,
                  apr_int64_t *out)
{
    char *end;

    *out = apr_strtoi64(text, &end, 10);
    return apr_isdigit(*text) && *end == '\0' && *out >= least
           && *out <= most;
}

/* httpd's times (5, 5s, 500ms, 1h), and days, which httpd does not know. */
static int duration(const char *text, apr_interval_time_t least,
                    apr_interval_time_t *out)
{
    apr_size_t n = strlen(text);
    apr_int64_t days;

    if (n > 1 && n < 8 && text[n - 1] == 'd'
        && strspn(text, "0123456789") == n - 1) {
        days = apr_atoi64(text);
        *out = apr_time_from_sec(days * 86400);
        return *out >= least;
    }
    return apr_isdigit(*text)
           && ap_timeout_parameter_parse(text, out, "s") == APR_SUCCESS
           && *out >= least;
}

static const char *set_engine(cmd_parms *cmd, void *dir, int on)
{
    (void)dir;
    te_server_conf(cmd->server)->engine = on;
    return NULL;
}

static const char *set_open(cmd_parms *cmd, void *dir, int on)
{
    (void)dir;
    te_server_conf(cmd->server)->open = on;
    return NULL;
}

static const char *set_sidecar_token(cmd_parms *cmd, void *dir, int on)
{
    (void)dir;
    te_server_conf(cmd->server)->sidecar_token = on;
    return NULL;
}

static const char *set_prefix(cmd_parms *cmd, void *dir, const char *arg)
{
    apr_size_t n = strlen(arg);

    (void)dir;
    if (n < 2 || arg[0] != '/' || arg[n - 1] == '/' || strstr(arg, "//")
        || strpbrk(arg, "?#%\"<> ")) {
        return refuse(cmd, arg, "a path such as /api, without a slash at its "
                      "end");
    }
    te_server_conf(cmd->server)->prefix = arg;
    return NULL;
}

static const char *set_max_body(cmd_parms *cmd, void *dir, const char *arg)
{
    (void)dir;
    if (!number(arg, 1024, 4 * 1024 * 1024,
                &te_server_conf(cmd->server)->max_body)) {
        return refuse(cmd, arg, "a number of bytes from 1024 to 4194304");
    }
    return NULL;
}

static const char *set_transport(cmd_parms *cmd, void *dir, const char *arg)
{
    (void)dir;
    MAIN_ONLY(cmd);
    if (ap_cstr_casecmp(arg, "dapr") == 0) {
        settings_of(cmd)->transport = TE_TRANSPORT_DAPR;
    }
    else if (ap_cstr_casecmp(arg, "local") == 0) {
        settings_of(cmd)->transport = TE_TRANSPORT_LOCAL;
    }
    else {
        return refuse(cmd, arg, "dapr or local");
    }
    return NULL;
}

/* A sidecar's URL without slashes at its end; NULL: it is none. */
static const char *sidecar_url(apr_pool_t *p, const char *text)
{
    apr_uri_t uri;
    apr_size_t n;
    char *url;

    if (apr_uri_parse(p, text, &uri) != APR_SUCCESS || uri.scheme == NULL
        || uri.hostname == NULL || *uri.hostname == '\0'
        || (strcmp(uri.scheme, "http") != 0
            && strcmp(uri.scheme, "https") != 0)
        || uri.query != NULL || uri.fragment != NULL || uri.user != NULL) {
        return NULL;
    }
    url = apr_pstrdup(p, text);
    for (n = strlen(url); n > 0 && url[n - 1] == '/'; --n) {
        url[n - 1] = '\0';
    }
    return url;
}

static const char *set_dapr_url(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *url = sidecar_url(cmd->pool, arg);

    (void)dir;
    MAIN_ONLY(cmd);
    if (url == NULL) {
        return refuse(cmd, arg, "an http or https URL such as "
                      "http://127.0.0.1:3500");
    }
    settings_of(cmd)->dapr_url = url;
    return NULL;
}

/* It may hold a secret of the receiver's: it is not repeated. */
static const char *set_alert_url(cmd_parms *cmd, void *dir, const char *arg)
{
    apr_uri_t uri;
    const char *c;

    (void)dir;
    MAIN_ONLY(cmd);
    for (c = arg; *c > ' ' && *c < 0x7f; ++c) {
    }
    if (*c != '\0' || apr_uri_parse(cmd->pool, arg, &uri) != APR_SUCCESS
        || uri.scheme == NULL || uri.hostname == NULL
        || *uri.hostname == '\0'
        || (strcmp(uri.scheme, "http") != 0
            && strcmp(uri.scheme, "https") != 0)
        || uri.fragment != NULL || uri.user != NULL) {
        return apr_psprintf(cmd->pool, "%s: the value is not allowed; it "
                            "takes an http or https URL without user and "
                            "fragment, such as "
                            "https://alerts.example/taskevents",
                            cmd->cmd->name);
    }
    settings_of(cmd)->alert_url = arg;
    te_secret_hide(cmd, apr_psprintf(cmd->pool, "%s://%s/(the rest is not "
                                     "shown)", uri.scheme, uri.hostinfo));
    return NULL;
}

static const char *set_alert_secret_file(cmd_parms *cmd, void *dir,
                                         const char *arg)
{
    const char *tokens[2] = {NULL, NULL}, *message;
    te_settings_t *settings;
    int i;

    (void)dir;
    MAIN_ONLY(cmd);
    settings = settings_of(cmd);
    memset(settings->alert_secrets, 0, sizeof settings->alert_secrets);
    message = te_secret_file_read(cmd, arg, tokens, 2, loose_of(cmd));
    for (i = 0; i < 2 && message == NULL && tokens[i] != NULL; ++i) {
        if (!te_webhook_secret(cmd->pool, tokens[i],
                               &settings->alert_secrets[i])) {
            message = refuse(cmd, arg, "a file with one secret, or two while "
                             "one replaces the other: 'whsec_' and base64 of "
                             "24 to 64 random bytes");
        }
    }
    return message;
}

static const char *set_dapr_token_file(cmd_parms *cmd, void *dir,
                                       const char *arg)
{
    (void)dir;
    MAIN_ONLY(cmd);
    return te_secret_file_read(cmd, arg, &settings_of(cmd)->dapr_token, 1,
                               loose_of(cmd));
}

static const char *set_app_token_file(cmd_parms *cmd, void *dir,
                                      const char *arg)
{
    te_process_conf_t *process = te_server_conf(cmd->server)->process;

    (void)dir;
    MAIN_ONLY(cmd);
    process->app_tokens[0] = process->app_tokens[1] = NULL;
    return te_secret_file_read(cmd, arg, process->app_tokens, 2,
                               loose_of(cmd));
}

int te_topic_valid(const char *text)
{
    apr_size_t n = strlen(text);

    return n >= 1 && n <= 249 && strcmp(text, ".") != 0
           && strcmp(text, "..") != 0
           && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuv"
                           "wxyz0123456789._-") == n;
}

#define NAME_ALLOWED "a name of 1 to 249 letters, digits, '.', '_' and '-'"

static const char *set_pubsub(cmd_parms *cmd, void *dir, const char *arg)
{
    (void)dir;
    MAIN_ONLY(cmd);
    if (!te_topic_valid(arg)) {
        return refuse(cmd, arg, NAME_ALLOWED);
    }
    settings_of(cmd)->pubsub = arg;
    return NULL;
}

static const char *set_topic(cmd_parms *cmd, void *dir, const char *which,
                             const char *name)
{
    static const char *const words[TE_TOPIC_COUNT] = {"tasks", "reminders",
                                                      "deadletter"};
    int i;

    (void)dir;
    MAIN_ONLY(cmd);
    /* the counters of a user's streams go by the topics' names, and the
     * history has one of its own */
    if (!te_topic_valid(name) || strcmp(name, TE_HISTORY_STREAM) == 0) {
        return refuse(cmd, name, NAME_ALLOWED ", but not "
                      TE_HISTORY_STREAM);
    }
    for (i = 0; i < TE_TOPIC_COUNT; ++i) {
        if (ap_cstr_casecmp(which, words[i]) == 0) {
            settings_of(cmd)->topics[i] = name;
            return NULL;
        }
    }
    return refuse(cmd, which, "tasks, reminders or deadletter, and a name");
}

static const char *set_source(cmd_parms *cmd, void *dir, const char *arg)
{
    apr_uri_t uri;
    const char *c;

    (void)dir;
    MAIN_ONLY(cmd);
    for (c = arg; *c > ' ' && *c < 0x7f && !strchr("\"<>\\^`{|}", *c); ++c) {
    }
    if (*arg == '\0' || *c != '\0'
        || apr_uri_parse(cmd->pool, arg, &uri) != APR_SUCCESS) {
        return refuse(cmd, arg, "a URI reference such as /taskevents");
    }
    settings_of(cmd)->source = arg;
    return NULL;
}

static const char *set_publish_timeout(cmd_parms *cmd, void *dir,
                                       const char *arg)
{
    (void)dir;
    MAIN_ONLY(cmd);
    if (!duration(arg, apr_time_from_msec(100),
                  &settings_of(cmd)->publish_timeout)
        || settings_of(cmd)->publish_timeout > apr_time_from_sec(60)) {
        return refuse(cmd, arg, "a time from 100ms to 60s");
    }
    return NULL;
}

static const char *set_publish_batch(cmd_parms *cmd, void *dir,
                                     const char *arg)
{
    apr_int64_t n;

    (void)dir;
    MAIN_ONLY(cmd);
    if (!number(arg, 1, 1000, &n)) {
        return refuse(cmd, arg, "a number of events from 1 to 1000");
    }
    settings_of(cmd)->publish_batch = (int)n;
    return NULL;
}

static const char *set_breaker(cmd_parms *cmd, void *dir,
                               const char *failures, const char *cooldown)
{
    te_settings_t *settings = settings_of(cmd);
    apr_int64_t n;

    (void)dir;
    MAIN_ONLY(cmd);
    if (!number(failures, 1, 1000, &n)) {
        return refuse(cmd, failures, "a number of failures from 1 to 1000, "
                      "and a time");
    }
    if (!duration(cooldown, apr_time_from_msec(10),
                  &settings->breaker_cooldown)) {
        return refuse(cmd, cooldown, "a number of failures, and a time of at "
                      "least 10ms");
    }
    settings->breaker_failures = (int)n;
    return NULL;
}

static const char *set_bulk_subscribe(cmd_parms *cmd, void *dir,
                                      const char *arg)
{
    static const char *const words[] = {
        [TE_BULK_NONE] = "off", [TE_BULK_REMINDERS] = "reminders",
        [TE_BULK_ALL] = "on"};
    te_bulk_e bulk;

    (void)dir;
    MAIN_ONLY(cmd);
    for (bulk = TE_BULK_NONE; bulk <= TE_BULK_ALL; ++bulk) {
        if (ap_cstr_casecmp(arg, words[bulk]) == 0) {
            settings_of(cmd)->bulk = bulk;
            return NULL;
        }
    }
    return refuse(cmd, arg, "On, Reminders or Off");
}

static const char *set_catch_up(cmd_parms *cmd, void *dir, const char *arg)
{
    (void)dir;
    MAIN_ONLY(cmd);
    if (ap_cstr_casecmp(arg, "each") != 0
        && ap_cstr_casecmp(arg, "skip") != 0) {
        return refuse(cmd, arg, "Each or Skip");
    }
    settings_of(cmd)->catch_up_skip = ap_cstr_casecmp(arg, "skip") == 0;
    return NULL;
}

static const char *set_reminder_lead(cmd_parms *cmd, void *dir,
                                     const char *arg)
{
    (void)dir;
    MAIN_ONLY(cmd);
    if (!duration(arg, apr_time_from_sec(1), &settings_of(cmd)->reminder_lead)
        || settings_of(cmd)->reminder_lead > LEAD_MAX) {
        return refuse(cmd, arg, "a time from 1 second to 366 days");
    }
    return NULL;
}

static const char *set_reminder_late(cmd_parms *cmd, void *dir,
                                     const char *arg)
{
    te_settings_t *settings = settings_of(cmd);

    (void)dir;
    MAIN_ONLY(cmd);
    settings->reminder_late = 0;
    if (ap_cstr_casecmp(arg, "off") != 0
        && (!duration(arg, apr_time_from_sec(1), &settings->reminder_late)
            || settings->reminder_late > LEAD_MAX)) {
        return refuse(cmd, arg, "Off, or a time from 1 second to 366 days");
    }
    return NULL;
}

static const char *set_jobs(cmd_parms *cmd, void *dir, int on)
{
    (void)dir;
    MAIN_ONLY(cmd);
    settings_of(cmd)->jobs = on;
    return NULL;
}

/* The history is what copies of an event are told by: it must outlive what
 * Kafka may deliver again, which is kept for 7 days and more. */
static const char *keep_for(cmd_parms *cmd, te_settings_t *settings,
                            const char *which, const char *time)
{
    const struct {
        const char *word;
        apr_interval_time_t *kept, least, most;
        const char *allowed;
    } kinds[] = {
        {"history", &settings->keep_history, DAYS(8), DAYS(3660),
         "history, and a time from 8 to 3660 days: it is the memory of which "
         "events were handled, and must outlive what the broker keeps"},
        {"deadletters", &settings->keep_letters, DAYS(1), DAYS(3660),
         "deadletters, and a time from 1 to 3660 days"},
        {"notifications", &settings->keep_notifications, DAYS(1), DAYS(3660),
         "notifications, and a time from 1 to 3660 days"},
        {"idempotency", &settings->keep_answers, apr_time_from_sec(60),
         DAYS(30), "idempotency, and a time from 1 minute to 30 days"},
    };
    apr_size_t i;

    for (i = 0; i < sizeof kinds / sizeof kinds[0]; ++i) {
        if (ap_cstr_casecmp(which, kinds[i].word) == 0) {
            return !duration(time, kinds[i].least, kinds[i].kept)
                           || *kinds[i].kept > kinds[i].most
                       ? refuse(cmd, time, kinds[i].allowed) : NULL;
        }
    }
    return refuse(cmd, which, "history, deadletters, notifications or "
                  "idempotency, and a time");
}

static const char *set_retention(cmd_parms *cmd, void *dir,
                                 const char *which, const char *time)
{
    (void)dir;
    MAIN_ONLY(cmd);
    return keep_for(cmd, settings_of(cmd), which, time);
}

/* The value may hold a password: it is not repeated. */
static const char *set_database(cmd_parms *cmd, void *dir, const char *arg)
{
    (void)dir;
    MAIN_ONLY(cmd);
    if (!te_db_conninfo_valid(arg)) {
        return apr_psprintf(cmd->pool, "%s: the value is no libpq connection "
                            "string; it takes one such as \"host=127.0.0.1 "
                            "dbname=taskevents user=taskevents "
                            "passfile=/path\"", cmd->cmd->name);
    }
    settings_of(cmd)->db.conninfo = arg;
    te_server_conf(cmd->server)->process->password_shown =
        te_db_conninfo_has_password(arg);
    if (te_db_conninfo_has_password(arg)) {
        te_secret_hide(cmd, "(not shown: it has a password)");
    }
    return NULL;
}

static const char *set_pool(cmd_parms *cmd, void *dir, const char *min,
                            const char *keep, const char *max)
{
    te_db_settings_t *db;
    apr_int64_t a, b, c;

    (void)dir;
    MAIN_ONLY(cmd);
    if (!number(max, 1, 1000, &c) || !number(keep, 0, c, &b)
        || !number(min, 0, b, &a)) {
        return refuse(cmd, apr_pstrcat(cmd->pool, min, " ", keep, " ", max,
                                       NULL),
                      "three numbers of connections, min <= keep <= max, max "
                      "from 1 to 1000");
    }
    db = &settings_of(cmd)->db;
    db->min = (int)a;
    db->keep = (int)b;
    db->max = (int)c;
    return NULL;
}

static const char *set_pool_wait(cmd_parms *cmd, void *dir, const char *arg)
{
    (void)dir;
    MAIN_ONLY(cmd);
    if (!duration(arg, apr_time_from_msec(1), &settings_of(cmd)->db.wait)
        || settings_of(cmd)->db.wait > apr_time_from_sec(3)) {
        return refuse(cmd, arg, "a time from 1ms to 3s");
    }
    return NULL;
}

const command_rec te_directives[] = {
    AP_INIT_FLAG("TaskEventsEngine", set_engine, NULL, RSRC_CONF,
                 "On or Off: whether this server serves task events"),
    AP_INIT_TAKE1("TaskEventsPrefix", set_prefix, NULL, RSRC_CONF,
                  "path before the task routes (/api)"),
    AP_INIT_TAKE1("TaskEventsMaxBody", set_max_body, NULL, RSRC_CONF,
                  "largest body of a task request in bytes (65536)"),
    AP_INIT_FLAG("TaskEventsOpen", set_open, NULL, RSRC_CONF,
                 "On: task routes without a user, for loopback only (Off)"),
    AP_INIT_FLAG("TaskEventsSidecarToken", set_sidecar_token, NULL, RSRC_CONF,
                 "Off: sidecar routes without a token, loopback only (On)"),
    AP_INIT_TAKE1("TaskEventsTransport", set_transport, NULL, RSRC_CONF,
                  "dapr or local (dapr)"),
    AP_INIT_TAKE1("TaskEventsDaprURL", set_dapr_url, NULL, RSRC_CONF,
                  "URL of the sidecar's HTTP API"),
    AP_INIT_TAKE1("TaskEventsDaprTokenFile", set_dapr_token_file, NULL,
                  RSRC_CONF, "file with the token that the sidecar wants"),
    AP_INIT_TAKE1("TaskEventsAppTokenFile", set_app_token_file, NULL,
                  RSRC_CONF, "file with the token that the sidecar sends"),
    AP_INIT_TAKE1("TaskEventsPubsub", set_pubsub, NULL, RSRC_CONF,
                  "name of the Dapr pubsub component (kafka-pubsub)"),
    AP_INIT_TAKE2("TaskEventsTopic", set_topic, NULL, RSRC_CONF,
                  "tasks, reminders or deadletter, and the topic's name"),
    AP_INIT_TAKE1("TaskEventsSource", set_source, NULL, RSRC_CONF,
                  "source attribute of the events (/taskevents)"),
    AP_INIT_TAKE1("TaskEventsPublishTimeout", set_publish_timeout, NULL,
                  RSRC_CONF, "longest wait for the sidecar (5s)"),
    AP_INIT_TAKE1("TaskEventsPublishBatch", set_publish_batch, NULL,
                  RSRC_CONF, "most events of one request (256)"),
    AP_INIT_TAKE2("TaskEventsBreaker", set_breaker, NULL, RSRC_CONF,
                  "failures in a row that open it, and its cool-down (5 1s)"),
    AP_INIT_TAKE1("TaskEventsBulkSubscribe", set_bulk_subscribe, NULL,
                  RSRC_CONF, "which events are delivered in batches: On, "
                  "Reminders or Off (Reminders)"),
    AP_INIT_TAKE1("TaskEventsCatchUp", set_catch_up, NULL, RSRC_CONF,
                  "Each or Skip: overdue occurrences (Each)"),
    AP_INIT_TAKE1("TaskEventsReminderLead", set_reminder_lead, NULL,
                  RSRC_CONF, "how long before it is due a task is reminded "
                  "of (24h)"),
    AP_INIT_TAKE1("TaskEventsReminderLate", set_reminder_late, NULL,
                  RSRC_CONF, "the same for one that is due within the lead, "
                  "or Off (Off)"),
    AP_INIT_FLAG("TaskEventsJobs", set_jobs, NULL, RSRC_CONF,
                 "On or Off: a Dapr job for each reminder (On with dapr)"),
    AP_INIT_TAKE2("TaskEventsRetention", set_retention, NULL, RSRC_CONF,
                  "history (30d), deadletters (30d), notifications (90d) or "
                  "idempotency (24h), and how long they are kept"),
    AP_INIT_TAKE1("TaskEventsAlertURL", set_alert_url, NULL, RSRC_CONF,
                  "URL that is told of each new dead letter"),
    AP_INIT_TAKE1("TaskEventsAlertSecretFile", set_alert_secret_file, NULL,
                  RSRC_CONF, "file with the secret that signs alerts"),
    AP_INIT_TAKE1("TaskEventsDatabase", set_database, NULL, RSRC_CONF,
                  "libpq connection string"),
    AP_INIT_TAKE3("TaskEventsPool", set_pool, NULL, RSRC_CONF,
                  "connections of a child: min, keep, max (1 4 16)"),
    AP_INIT_TAKE1("TaskEventsPoolWait", set_pool_wait, NULL, RSRC_CONF,
                  "longest wait for a free connection (2s)"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL}
};

/* --- defaults that come last ------------------------------------------- */

static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && *value ? value : NULL;
}

static const char *dapr_url_default(apr_pool_t *p)
{
    const char *endpoint = environment("DAPR_HTTP_ENDPOINT");
    const char *port = environment("DAPR_HTTP_PORT");

    return sidecar_url(p, endpoint ? endpoint
                                   : apr_psprintf(p, "http://127.0.0.1:%s",
                                                  port ? port : "3500"));
}

void te_conf_finish(apr_pool_t *p, server_rec *main_server)
{
    te_process_conf_t *process = te_server_conf(main_server)->process;
    server_rec *s;

    if (process->settings.dapr_url == NULL) {
        process->settings.dapr_url = dapr_url_default(p);
    }
    if (process->settings.dapr_token == NULL) {
        process->settings.dapr_token = environment("DAPR_API_TOKEN");
    }
    if (process->app_tokens[0] == NULL) {
        process->app_tokens[0] = environment("APP_API_TOKEN");
    }
    process->settings.jobs =
        process->settings.transport == TE_TRANSPORT_DAPR
        && process->settings.jobs != 0;
    for (s = main_server; s != NULL; s = s->next) {
        te_server_conf_t *conf = te_server_conf(s);

        conf->prefix = conf->prefix ? conf->prefix : PREFIX_DEFAULT;
        conf->engine = conf->engine == 1;
        conf->open = conf->open == 1;
        conf->sidecar_token = conf->sidecar_token != 0;
        conf->max_body = conf->max_body < 0 ? MAX_BODY_DEFAULT
                                            : conf->max_body;
    }
}
