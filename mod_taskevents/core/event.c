#include "event.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"
#include "../base/text.h"
#include "../base/timefmt.h"
#include "../base/uuid.h"
#include "task.h"

/* Stands for the sequence while jansson writes the envelope. No member before
 * it can look like it: quotes inside strings are escaped. */
#define SEQUENCE_MEMBER "\"sequence\":\""
#define SEQUENCE_HOLE "####################"

static void set_string(json_t *json, const char *name, const char *text)
{
    json_object_set_new(json, name, json_string(text));
}

static json_t *event_data(apr_pool_t *p, const te_event_t *event)
{
    json_t *data = json_object();

    set_string(data, "user_id", event->user_id);
    json_object_set_new(data, "task_id", json_integer(event->task_id));
    set_string(data, "timestamp", te_time_format_us(p, event->time));
    set_string(data, "origin", event->origin);
    json_object_update(data, event->data);
    json_decref(event->data);
    return data;
}

static json_t *envelope(apr_pool_t *p, const te_event_t *event)
{
    json_t *json = te_json_keep(p, json_object());

    set_string(json, "specversion", "1.0");
    set_string(json, "id", event->id);
    set_string(json, "source", event->source);
    set_string(json, "type", event->type);
    set_string(json, "subject", apr_psprintf(p, "tasks/%" APR_INT64_T_FMT,
                                             event->task_id));
    set_string(json, "time", te_time_format_us(p, event->time));
    set_string(json, "datacontenttype", "application/json");
    set_string(json, "partitionkey", event->user_id);
    set_string(json, "sequence", SEQUENCE_HOLE);
    set_string(json, "correlationid",
               event->correlation_id ? event->correlation_id : event->id);
    if (event->causation_id != NULL) {
        set_string(json, "causationid", event->causation_id);
    }
    /* Dapr puts a trace of its own over ours unless traceid is there */
    set_string(json, "traceparent", event->traceparent);
    set_string(json, "traceid", event->traceparent);
    set_string(json, "dataschema",
               apr_psprintf(p, "urn:taskevents:schemas/%s.v1.json",
                            event->type));
    json_object_set_new(json, "data", event_data(p, event));
    return json;
}

te_outgoing_t *te_event_text(apr_pool_t *p, const te_event_t *event)
{
    te_outgoing_t *out = apr_pcalloc(p, sizeof *out);
    char *text = (char *)te_json_text(p, envelope(p, event));
    char *hole = strstr(text, SEQUENCE_MEMBER SEQUENCE_HOLE);

    hole += sizeof SEQUENCE_MEMBER - 1;
    out->id = event->id;
    out->user_id = event->user_id;
    out->topic = event->topic;
    out->tail = apr_pstrdup(p, hole + sizeof SEQUENCE_HOLE - 1);
    *hole = '\0';
    out->head = text;
    return out;
}

/* --- coming in --------------------------------------------------------- */

/* Longer names than this are nobody's, and no index would take them. */
#define ATTRIBUTE_MAX 512

/* A context attribute: a string, not empty and not endless. */
static const char *attribute(apr_pool_t *p, const json_t *json,
                             const char *name)
{
    const char *text = te_json_get_string(json, name);

    return text != NULL && *text && strlen(text) <= ATTRIBUTE_MAX
               ? apr_pstrdup(p, text) : NULL;
}

static const char *read_data(te_incoming_t *event, apr_pool_t *p)
{
    const json_t *user, *task_id;

    if (event->data == NULL) {
        return NULL;
    }
    if (!json_is_object(event->data)) {
        event->data = NULL;             /* a foreign event may be anything */
        return NULL;
    }
    user = json_object_get(event->data, "user_id");
    if (user != NULL) {
        if (!json_is_string(user)
            || !te_user_id_valid(json_string_value(user))) {
            return "data.user_id is no user id";
        }
        event->user_id = apr_pstrdup(p, json_string_value(user));
    }
    task_id = json_object_get(event->data, "task_id");
    if (task_id != NULL) {
        if (!json_is_integer(task_id) || json_integer_value(task_id) < 1) {
            return "data.task_id is no task id";
        }
        event->task_id = json_integer_value(task_id);
    }
    event->origin = attribute(p, event->data, "origin");
    return NULL;
}

static const char *check_envelope(const te_incoming_t *event,
                                  const json_t *json)
{
    const char *version = te_json_get_string(json, "specversion");

    if (version == NULL || strcmp(version, "1.0") != 0) {
        return "specversion is not 1.0";
    }
    if (event->id == NULL || event->source == NULL || event->type == NULL) {
        return "id, source or type is missing, empty or over 512 bytes";
    }
    return NULL;
}

te_incoming_t *te_event_parse(apr_pool_t *p, const char *bytes,
                              apr_size_t size, const char **reason)
{
    te_incoming_t *event = apr_pcalloc(p, sizeof *event);
    json_t *json = te_json_parse(p, bytes, size, reason);
    const char *time;

    if (json == NULL) {
        return NULL;
    }
    if (!json_is_object(json)) {
        *reason = "The event is no JSON object.";
        return NULL;
    }
    event->id = attribute(p, json, "id");
    event->source = attribute(p, json, "source");
    event->type = attribute(p, json, "type");
    event->data = json_object_get(json, "data");
    event->text = apr_pstrmemdup(p, bytes, size);
    event->traceparent = attribute(p, json, "traceparent");
    event->correlation_id = attribute(p, json, "correlationid");
    *reason = check_envelope(event, json);
    if (*reason == NULL) {
        *reason = read_data(event, p);
    }
    event->time = TE_TIME_NONE;
    time = te_json_get_string(json, "time");
    if (*reason == NULL && json_object_get(json, "time") != NULL
        && (time == NULL || te_time_parse(time, &event->time) != NULL)) {
        *reason = "time is no RFC 3339 time";
    }
    if (*reason != NULL) {
        return NULL;
    }
    event->origin = event->origin ? event->origin : "";
    event->correlation_id =
        event->correlation_id ? event->correlation_id : event->id;
    return event;
}

void te_event_identity(apr_pool_t *p, const char *bytes, apr_size_t size,
                       const char **source, const char **id,
                       const char **user_id)
{
    const char *detail, *text;
    const json_t *json = te_json_parse(p, bytes, size, &detail);

    if ((text = attribute(p, json, "source")) != NULL) {
        *source = text;
    }
    if ((text = attribute(p, json, "id")) != NULL) {
        *id = text;
    }
    text = te_json_get_string(json_object_get(json, "data"), "user_id");
    if (text != NULL && te_user_id_valid(text)) {
        *user_id = apr_pstrdup(p, text);
    }
}

/* --- tracing ----------------------------------------------------------- */

/* n lower-case hex digits, not all zero. */
static int is_trace_field(const char *s, int n)
{
    int i, some = 0;

    for (i = 0; i < n; ++i) {
        if (!apr_isxdigit(s[i]) || apr_isupper(s[i])) {
            return 0;
        }
        some |= s[i] != '0';
    }
    return some;
}

const char *te_traceparent(apr_pool_t *p, const char *given)
{
    const char *a, *b;

    if (given != NULL && strlen(given) == 55
        && strncmp(given, "00-", 3) == 0 && given[35] == '-'
        && given[52] == '-' && is_trace_field(given + 3, 32)
        && is_trace_field(given + 36, 16) && apr_isxdigit(given[53])
        && apr_isxdigit(given[54])) {
        return apr_pstrdup(p, given);
    }
    /* random version 4 UUIDs: their fixed bits keep them from being zero */
    a = te_uuid_v4(p);
    b = te_uuid_v4(p);
    return apr_psprintf(p, "00-%.8s%.4s%.4s%.4s%.12s-%.4s%.12s-01", a, a + 9,
                        a + 14, a + 19, a + 24, b + 14, b + 24);
}
