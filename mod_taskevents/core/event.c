#include "event.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"
#include "../base/text.h"
#include "../base/timefmt.h"
#include "../base/uuid.h"
#include "task.h"

/* About what an event takes beside its task. */
#define EVENT_TEXT_SIZE 1200

static void put_member(te_json_out_t *out, const char *before,
                       const char *text)
{
    te_json_put(out, before);
    te_json_put_string(out, text);
}

static void put_data(te_json_out_t *out, const te_event_t *event)
{
    const char *name;
    json_t *value;

    put_member(out, ",\"data\":{\"user_id\":", event->user_id);
    te_json_put(out, ",\"task_id\":");
    te_json_put_int(out, event->task_id);
    put_member(out, ",\"timestamp\":",
               te_time_format_us(out->pool, event->time));
    put_member(out, ",\"origin\":", event->origin);
    json_object_foreach(event->data, name, value) {
        put_member(out, ",", name);
        te_json_put(out, ":");
        te_json_put(out, te_json_text(out->pool, value));
    }
    json_decref(event->data);
    if (event->task != NULL) {
        te_json_put(out, ",\"task\":");
        te_task_write(out, event->task);
    }
    te_json_put(out, "}");
}

/* From the beginning to where the sequence's digits go. */
static const char *head_text(apr_pool_t *p, const te_event_t *event)
{
    te_json_out_t out;

    te_json_out_start(&out, p, EVENT_TEXT_SIZE);
    put_member(&out, "{\"specversion\":\"1.0\",\"id\":", event->id);
    put_member(&out, ",\"source\":", event->source);
    put_member(&out, ",\"type\":", event->type);
    te_json_put(&out, ",\"subject\":\"tasks/");
    te_json_put_int(&out, event->task_id);
    put_member(&out, "\",\"time\":", te_time_format_us(p, event->time));
    put_member(&out, ",\"datacontenttype\":\"application/json\","
               "\"partitionkey\":", event->user_id);
    te_json_put(&out, ",\"sequence\":\"");
    return te_json_out_end(&out);
}

/* From behind them to the end. */
static const char *tail_text(apr_pool_t *p, const te_event_t *event)
{
    te_json_out_t out;

    te_json_out_start(&out, p, EVENT_TEXT_SIZE + TE_TASK_TEXT_SIZE);
    put_member(&out, "\",\"correlationid\":",
               event->correlation_id ? event->correlation_id : event->id);
    if (event->causation_id != NULL) {
        put_member(&out, ",\"causationid\":", event->causation_id);
    }
    /* Dapr puts a trace of its own over ours unless traceid is there */
    put_member(&out, ",\"traceparent\":", event->traceparent);
    put_member(&out, ",\"traceid\":", event->traceparent);
    put_member(&out, ",\"dataschema\":",
               apr_psprintf(p, "urn:taskevents:schemas/%s.v1.json",
                            event->type));
    put_data(&out, event);
    te_json_put(&out, "}");
    return te_json_out_end(&out);
}

te_outgoing_t *te_event_text(apr_pool_t *p, const te_event_t *event)
{
    te_outgoing_t *out = apr_pcalloc(p, sizeof *out);

    out->id = event->id;
    out->type = event->type;
    out->user_id = event->user_id;
    out->topic = event->topic;
    out->head = head_text(p, event);
    out->tail = tail_text(p, event);
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
    event->data_fault = read_data(event, p);
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

static int is_lower_hex(const char *s, int n)
{
    return (int)strspn(s, "0123456789abcdef") >= n;
}

/* n lower-case hex digits, not all zero. */
static int is_trace_field(const char *s, int n)
{
    return is_lower_hex(s, n) && (int)strspn(s, "0") < n;
}

const char *te_traceparent(apr_pool_t *p, const char *given)
{
    const char *a, *b;

    if (given != NULL && strlen(given) == 55
        && strncmp(given, "00-", 3) == 0 && given[35] == '-'
        && given[52] == '-' && is_trace_field(given + 3, 32)
        && is_trace_field(given + 36, 16) && is_lower_hex(given + 53, 2)) {
        return apr_pstrdup(p, given);
    }
    /* Nobody asked for this trace to be recorded: with "sampled" in its flags
     * the sidecar would record every event, whatever its own rate says. Random
     * version 4 UUIDs: their fixed bits keep them from being zero. */
    a = te_uuid_v4(p);
    b = te_uuid_v4(p);
    return apr_psprintf(p, "00-%.8s%.4s%.4s%.4s%.12s-%.4s%.12s-00", a, a + 9,
                        a + 14, a + 19, a + 24, b + 14, b + 24);
}
