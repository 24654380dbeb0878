#include "task.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"
#include "../base/text.h"
#include "../base/timefmt.h"
#include "../base/uuid.h"
#include "recurrence.h"

int te_user_id_valid(const char *text)
{
    apr_size_t n = strlen(text), i;

    if (n == 0 || n > TE_USER_ID_MAX || strcmp(text, "events") == 0
        || strcmp(text, ".") == 0 || strcmp(text, "..") == 0) {
        return 0;
    }
    for (i = 0; i < n; ++i) {
        unsigned char c = (unsigned char)text[i];

        if (c >= 0x80 || (!apr_isalnum(c)
                          && strchr("._@:+|=~-", c) == NULL)) {
            return 0;
        }
    }
    return 1;
}

/* --- reading ----------------------------------------------------------- */

typedef struct {
    apr_pool_t *pool;
    apr_array_header_t *faults;
    te_task_t *task;
    int zone_known;
    int is_recurring;
    int interval_is_bad;                /* that is a fault already */
} reader_t;

static void fault(reader_t *in, const char *pointer, const char *detail)
{
    te_fault_t *f = apr_array_push(in->faults);

    f->pointer = pointer;
    f->detail = detail;
}

static void read_title(reader_t *in, const json_t *value)
{
    apr_size_t n;

    if (!json_is_string(value)) {
        fault(in, "#/title", "must be a string");
        return;
    }
    in->task->title = te_text_trim(in->pool, json_string_value(value));
    n = te_text_length(in->task->title);
    if (n < 1 || n > TE_TITLE_MAX) {
        fault(in, "#/title", "must have 1 to 200 characters");
    }
}

static void read_description(reader_t *in, const json_t *value)
{
    in->task->description = NULL;
    if (json_is_null(value)) {
        return;
    }
    if (!json_is_string(value)) {
        fault(in, "#/description", "must be a string or null");
        return;
    }
    in->task->description = apr_pstrdup(in->pool, json_string_value(value));
    if (te_text_length(in->task->description) > TE_DESCRIPTION_MAX) {
        fault(in, "#/description", "must have at most 1000 characters");
    }
}

static void read_completed(reader_t *in, const json_t *value)
{
    if (!json_is_boolean(value)) {
        fault(in, "#/completed", "must be true or false");
    }
    in->task->completed = json_is_true(value);
}

static const char *const priority_names[] = {NULL, "low", "medium", "high"};

int te_priority_of(const char *name)
{
    int i;

    for (i = TE_PRIORITY_LOW; i <= TE_PRIORITY_HIGH; ++i) {
        if (name != NULL && strcmp(name, priority_names[i]) == 0) {
            return i;
        }
    }
    return 0;
}

static void read_priority(reader_t *in, const json_t *value)
{
    int priority = te_priority_of(json_string_value(value));

    if (priority == 0) {
        fault(in, "#/priority", "must be low, medium or high");
        return;
    }
    in->task->priority = (te_priority_e)priority;
}

static const char *tag_fault(reader_t *in, const char *tag)
{
    apr_size_t n = te_text_length(tag);
    int i;

    if (n < 1 || n > TE_TAG_MAX) {
        return "must have 1 to 50 characters";
    }
    for (i = 0; i < in->task->tags->nelts; ++i) {
        if (te_text_same_ignoring_case(
                APR_ARRAY_IDX(in->task->tags, i, const char *), tag)) {
            return "repeats another tag";
        }
    }
    return NULL;
}

static void read_tags(reader_t *in, const json_t *value)
{
    const json_t *element;
    size_t i;

    in->task->tags = apr_array_make(in->pool, TE_TAGS_MAX,
                                    sizeof(const char *));
    if (!json_is_array(value)) {
        fault(in, "#/tags", "must be an array of strings");
        return;
    }
    if (json_array_size(value) > TE_TAGS_MAX) {
        fault(in, "#/tags", "must have at most 10 tags");
        return;
    }
    json_array_foreach(value, i, element) {
        const char *detail = "must be a string", *tag = NULL;

        if (json_is_string(element)) {
            tag = te_text_trim(in->pool, json_string_value(element));
            detail = tag_fault(in, tag);
        }
        if (detail != NULL) {
            fault(in, apr_psprintf(in->pool, "#/tags/%d", (int)i), detail);
        }
        else {
            APR_ARRAY_PUSH(in->task->tags, const char *) = tag;
        }
    }
}

static void read_due_date(reader_t *in, const json_t *value)
{
    const char *detail = "must be a string or null";

    in->task->due_date = TE_TIME_NONE;
    if (json_is_null(value)) {
        return;
    }
    if (json_is_string(value)) {
        detail = te_time_parse(json_string_value(value),
                               &in->task->due_date);
    }
    if (detail != NULL) {
        fault(in, "#/due_date", detail);
    }
}

static void read_time_zone(reader_t *in, const json_t *value)
{
    const char *name = json_string_value(value);

    if (name == NULL || (strcmp(name, "UTC") != 0 && !in->zone_known)) {
        fault(in, "#/time_zone", "must be the IANA name of a time zone, "
              "such as Europe/Berlin");
        return;
    }
    in->task->time_zone = apr_pstrdup(in->pool, name);
}

static void read_is_recurring(reader_t *in, const json_t *value)
{
    if (!json_is_boolean(value)) {
        fault(in, "#/is_recurring", "must be true or false");
    }
    in->is_recurring = json_is_true(value);
}

static void read_interval(reader_t *in, const json_t *value)
{
    const char *name = json_string_value(value);

    in->task->recurring_interval = NULL;
    if (json_is_null(value)) {
        return;
    }
    if (name == NULL || !te_interval_valid(name)) {
        in->interval_is_bad = 1;
        fault(in, "#/recurring_interval",
              "must be daily, weekly, monthly or null");
        return;
    }
    in->task->recurring_interval = apr_pstrdup(in->pool, name);
}

/* null in a change stands for the default of the field. */
static const struct {
    const char *name;
    void (*read)(reader_t *in, const json_t *value);    /* NULL: server's */
    const char *reset;          /* its default as JSON; NULL: it has none */
} members[] = {
    {"title", read_title, NULL},
    {"description", read_description, "null"},
    {"completed", read_completed, "false"},
    {"priority", read_priority, "\"medium\""},
    {"tags", read_tags, "[]"},
    {"due_date", read_due_date, "null"},
    {"time_zone", read_time_zone, "\"UTC\""},
    {"is_recurring", read_is_recurring, "false"},
    {"recurring_interval", read_interval, "null"},
    {"id", NULL, NULL},
    {"user_id", NULL, NULL},
    {"completed_at", NULL, NULL},
    {"series_id", NULL, NULL},
    {"occurrence", NULL, NULL},
    {"version", NULL, NULL},
    {"created_at", NULL, NULL},
    {"updated_at", NULL, NULL},
};

static void read_member(reader_t *in, const char *name, const json_t *value,
                        int is_change)
{
    apr_size_t i, n = sizeof members / sizeof members[0];

    for (i = 0; i < n && strcmp(name, members[i].name) != 0; ++i) {
    }
    if (i == n) {
        fault(in, te_fault_pointer(in->pool, name),
              "is not a member of a task");
        return;
    }
    if (members[i].read == NULL) {
        fault(in, te_fault_pointer(in->pool, name),
              "is set by the server only");
        return;
    }
    if (is_change && json_is_null(value) && members[i].reset != NULL) {
        value = te_json_keep(in->pool, json_loads(members[i].reset,
                                                  JSON_DECODE_ANY, NULL));
    }
    members[i].read(in, value);
}

static void read_members(reader_t *in, const json_t *body, int is_change)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)body, name, value) {
        read_member(in, name, value, is_change);
    }
    /* "no longer recurring" says enough: the interval goes with it */
    if (is_change && !in->is_recurring
        && json_object_get(body, "is_recurring") != NULL
        && json_object_get(body, "recurring_interval") == NULL) {
        in->task->recurring_interval = NULL;
    }
    if (in->interval_is_bad) {
        return;
    }
    if (in->is_recurring && in->task->recurring_interval == NULL) {
        fault(in, "#/recurring_interval",
              "must be daily, weekly or monthly when is_recurring is true");
    }
    if (!in->is_recurring && in->task->recurring_interval != NULL) {
        fault(in, "#/recurring_interval",
              "must be null or left out unless is_recurring is true");
    }
}

static te_task_t *task_with_defaults(apr_pool_t *p)
{
    te_task_t *task = apr_pcalloc(p, sizeof *task);

    task->completed_at = TE_TIME_NONE;
    task->priority = TE_PRIORITY_MEDIUM;
    task->tags = apr_array_make(p, TE_TAGS_MAX, sizeof(const char *));
    task->due_date = TE_TIME_NONE;
    task->time_zone = "UTC";
    task->version = 1;
    return task;
}

const char *te_task_zone_named(const json_t *body)
{
    const char *name = te_json_get_string(body, "time_zone");

    return name != NULL && strcmp(name, "UTC") != 0 ? name : NULL;
}

static reader_t reader(apr_pool_t *p, te_task_t *task, int zone_known)
{
    reader_t in;

    memset(&in, 0, sizeof in);
    in.pool = p;
    in.faults = apr_array_make(p, 4, sizeof(te_fault_t));
    in.task = task;
    in.zone_known = zone_known;
    in.is_recurring = task->recurring_interval != NULL;
    return in;
}

void te_task_read(apr_pool_t *p, const json_t *body, int zone_known,
                  te_task_t **task, apr_array_header_t **faults)
{
    reader_t in = reader(p, task_with_defaults(p), zone_known);

    read_members(&in, body, 0);
    if (json_object_get(body, "title") == NULL) {
        fault(&in, "#/title", "is required");
    }
    *task = in.task;
    *faults = in.faults;
}

void te_task_patch(apr_pool_t *p, const json_t *body, int zone_known,
                   const te_task_t *before, te_task_t **after,
                   apr_array_header_t **faults)
{
    reader_t in = reader(p, apr_pmemdup(p, before, sizeof *before),
                         zone_known);

    read_members(&in, body, 1);
    *after = in.task;
    *faults = in.faults;
}

/* The task as a value: what is written, read again. */
static json_t *as_value(apr_pool_t *p, const te_task_t *task)
{
    te_json_out_t out;

    te_json_out_start(&out, p, TE_TASK_TEXT_SIZE);
    te_task_write(&out, task);
    return te_json_keep(p, json_loads(te_json_out_end(&out), 0, NULL));
}

json_t *te_task_changes(apr_pool_t *p, const te_task_t *before,
                        const te_task_t *after)
{
    json_t *changes = json_object();
    json_t *old = as_value(p, before);
    json_t *new = as_value(p, after);
    const char *name;
    json_t *value;

    json_object_foreach(new, name, value) {
        json_t *was = json_object_get(old, name);

        if (strcmp(name, "version") != 0 && strcmp(name, "updated_at") != 0
            && !json_equal(was, value)) {
            json_object_set_new(changes, name,
                                json_pack("{s:O,s:O}", "old", was, "new",
                                          value));
        }
    }
    return changes;
}

/* --- JSON -------------------------------------------------------------- */

static void put_time(te_json_out_t *out, apr_time_t t)
{
    te_json_put_string(out, te_time_format(out->pool, t));
}

static void put_tags(te_json_out_t *out, const te_task_t *task)
{
    int i;

    te_json_put(out, "[");
    for (i = 0; i < task->tags->nelts; ++i) {
        te_json_put(out, i > 0 ? "," : "");
        te_json_put_string(out, APR_ARRAY_IDX(task->tags, i, const char *));
    }
    te_json_put(out, "]");
}

static void put_series(te_json_out_t *out, const te_task_t *task)
{
    te_json_put(out, task->recurring_interval ? "true" : "false");
    te_json_put(out, ",\"recurring_interval\":");
    te_json_put_string(out, task->recurring_interval);
    te_json_put(out, ",\"series_id\":");
    te_json_put_string(out, task->series_id);
    te_json_put(out, ",\"occurrence\":");
    if (task->occurrence != 0) {
        te_json_put_int(out, task->occurrence);
    }
    else {
        te_json_put_string(out, NULL);
    }
}

void te_task_write(te_json_out_t *out, const te_task_t *task)
{
    te_json_put(out, "{\"id\":");
    te_json_put_int(out, task->id);
    te_json_put(out, ",\"user_id\":");
    te_json_put_string(out, task->user_id);
    te_json_put(out, ",\"title\":");
    te_json_put_string(out, task->title);
    te_json_put(out, ",\"description\":");
    te_json_put_string(out, task->description);
    te_json_put(out, ",\"completed\":");
    te_json_put(out, task->completed ? "true" : "false");
    te_json_put(out, ",\"completed_at\":");
    put_time(out, task->completed_at);
    te_json_put(out, ",\"priority\":");
    te_json_put_string(out, priority_names[task->priority]);
    te_json_put(out, ",\"tags\":");
    put_tags(out, task);
    te_json_put(out, ",\"due_date\":");
    put_time(out, task->due_date);
    te_json_put(out, ",\"time_zone\":");
    te_json_put_string(out, task->time_zone);
    te_json_put(out, ",\"is_recurring\":");
    put_series(out, task);
    te_json_put(out, ",\"version\":");
    te_json_put_int(out, task->version);
    te_json_put(out, ",\"created_at\":");
    put_time(out, task->created_at);
    te_json_put(out, ",\"updated_at\":");
    put_time(out, task->updated_at);
    te_json_put(out, "}");
}

/* --- out of an event --------------------------------------------------- */

/* A time member: absent and null are "none". @return 0: not a time */
static int event_time(const json_t *json, const char *name, apr_time_t *out)
{
    const json_t *value = json_object_get(json, name);

    *out = TE_TIME_NONE;
    return value == NULL || json_is_null(value)
           || (json_is_string(value)
               && te_time_parse(json_string_value(value), out) == NULL);
}

/* The series of a task: both, or neither. */
static int event_series(apr_pool_t *p, const json_t *json, te_task_t *task)
{
    const char *id = te_json_get_string(json, "series_id");
    json_int_t number =
        json_integer_value(json_object_get(json, "occurrence"));

    if (id == NULL) {
        return number == 0;
    }
    task->series_id = apr_pstrdup(p, id);
    task->occurrence = (int)number;
    return te_uuid_valid(id) && number >= 1 && number <= APR_INT32_MAX;
}

/* The same rules as for what a client sends: what they let through the
 * database takes. Members that this version does not know are a newer one's. */
te_task_t *te_task_from_event(apr_pool_t *p, const json_t *json,
                              const char **detail)
{
    te_task_t *task = task_with_defaults(p);
    reader_t in = reader(p, task, 1);
    const char *user = te_json_get_string(json, "user_id");
    apr_size_t i;

    for (i = 0; i < sizeof members / sizeof members[0]; ++i) {
        const json_t *value = json_object_get(json, members[i].name);

        if (value != NULL && members[i].read != NULL) {
            members[i].read(&in, value);
        }
    }
    task->user_id = user ? apr_pstrdup(p, user) : NULL;
    task->id = json_integer_value(json_object_get(json, "id"));
    task->version = json_integer_value(json_object_get(json, "version"));
    if (task->id < 1 || task->title == NULL) {
        *detail = "data.task has no id or no title";
        return NULL;
    }
    if (in.faults->nelts > 0) {
        *detail = apr_pstrcat(p, "data.task: ",
                              APR_ARRAY_IDX(in.faults, 0, te_fault_t).pointer,
                              " ",
                              APR_ARRAY_IDX(in.faults, 0, te_fault_t).detail,
                              NULL);
        return NULL;
    }
    if (!event_series(p, json, task)) {
        *detail = "data.task has a series_id or occurrence that is none";
        return NULL;
    }
    if (!event_time(json, "completed_at", &task->completed_at)) {
        *detail = "data.task has a completed_at that is no time";
        return NULL;
    }
    return task;
}
