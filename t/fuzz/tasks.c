/* The JSON of a task that a client sends: whole, or as a merge patch. */
#include <apr_strings.h>
#include <string.h>

#include "../../mod_taskevents/base/json.h"
#include "../../mod_taskevents/base/text.h"
#include "../../mod_taskevents/base/timefmt.h"
#include "../../mod_taskevents/core/task.h"
#include "fuzz.h"

/* Characters of UTF-8 text, counted without the library under test. */
static int length(const char *text)
{
    int n = 0;

    for (; *text; ++text) {
        n += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return n;
}

static int is_trimmed(const char *text)
{
    return strcmp(te_text_trim(pool, text), text) == 0
           && strchr(" \t\r\n", text[0]) == NULL
           && strchr(" \t\r\n", text[strlen(text) - 1]) == NULL;
}

void fuzz_task_keeps_rules(const te_task_t *task)
{
    const char *every = task->recurring_interval;
    int i, j;

    PROMISE(task->title != NULL && is_trimmed(task->title));
    PROMISE(length(task->title) >= 1 && length(task->title) <= 200);
    PROMISE(task->description == NULL || length(task->description) <= 1000);
    PROMISE(task->priority >= TE_PRIORITY_LOW
            && task->priority <= TE_PRIORITY_HIGH);
    PROMISE(task->tags->nelts <= 10);
    for (i = 0; i < task->tags->nelts; ++i) {
        const char *tag = APR_ARRAY_IDX(task->tags, i, const char *);

        PROMISE(length(tag) >= 1 && length(tag) <= 50 && is_trimmed(tag));
        for (j = 0; j < i; ++j) {
            PROMISE(strcasecmp(tag, APR_ARRAY_IDX(task->tags, j,
                                                  const char *)) != 0);
        }
    }
    PROMISE(task->due_date == TE_TIME_NONE
            || (task->due_date >= TE_TIME_FIRST
                && task->due_date <= TE_TIME_LAST));
    PROMISE(task->time_zone != NULL);
    PROMISE(every == NULL || strcmp(every, "daily") == 0
            || strcmp(every, "weekly") == 0 || strcmp(every, "monthly") == 0);
}

void fuzz_task_reads_back(const te_task_t *task)
{
    const char *text, *detail = NULL;
    const json_t *json;
    te_json_out_t out;
    te_task_t *back;

    te_json_out_start(&out, pool, 1);
    te_task_write(&out, task);
    text = te_json_out_end(&out);
    json = te_json_parse(pool, text, strlen(text), &detail);
    PROMISE(json != NULL && detail == NULL);
    back = te_task_from_event(pool, json, &detail);
    PROMISE(back != NULL);
    back->created_at = task->created_at;
    back->updated_at = task->updated_at;
    PROMISE(json_object_size(te_json_keep(
                pool, te_task_changes(pool, task, back))) == 0);
    PROMISE(back->version == task->version);
}

static int is_named(const apr_array_header_t *faults, const char *pointer)
{
    int i;

    for (i = 0; i < faults->nelts; ++i) {
        if (strcmp(APR_ARRAY_IDX(faults, i, te_fault_t).pointer, pointer)
            == 0) {
            return 1;
        }
    }
    return 0;
}

/* Each says where, as a pointer in a URI fragment, and what. */
static void check_faults(const apr_array_header_t *faults)
{
    int i;

    for (i = 0; i < faults->nelts; ++i) {
        const te_fault_t *f = &APR_ARRAY_IDX(faults, i, te_fault_t);

        PROMISE(strncmp(f->pointer, "#/", 2) == 0);
        PROMISE(fuzz_is_sentence(f->pointer)
                && strpbrk(f->pointer, " \"<>\\^`{|}") == NULL);
        PROMISE(fuzz_is_sentence(f->detail));
    }
}

/* The object that the bytes are, or NULL. */
static const json_t *object_of(const char *bytes, apr_size_t size)
{
    const char *detail = NULL, *text;
    const json_t *json = te_json_parse(pool, bytes, size, &detail), *again;

    if (json == NULL) {
        PROMISE(detail != NULL && fuzz_is_sentence(detail));
        return NULL;
    }
    text = te_json_text(pool, json);
    again = te_json_parse(pool, text, strlen(text), &detail);
    PROMISE(again != NULL && json_equal(json, again));
    return json_is_object(json) ? json : NULL;
}

void fuzz_body(const char *bytes, apr_size_t size)
{
    const json_t *json = object_of(bytes, size);
    apr_array_header_t *faults;
    te_task_t *task;

    if (json == NULL) {
        return;
    }
    te_task_read(pool, json, 0, &task, &faults);
    check_faults(faults);
    PROMISE(te_task_zone_named(json) == NULL
            || is_named(faults, "#/time_zone"));
    te_task_read(pool, json, 1, &task, &faults);
    check_faults(faults);
    if (faults->nelts > 0) {
        return;
    }
    fuzz_task_keeps_rules(task);
    PROMISE(json_is_true(json_object_get(json, "is_recurring"))
            == (task->recurring_interval != NULL));
    task->id = 42;
    task->user_id = "alice";
    task->completed_at = task->completed ? 1 : TE_TIME_NONE;
    fuzz_task_reads_back(task);
}

static te_task_t *task_before(int recurring)
{
    te_task_t *task = apr_pcalloc(pool, sizeof *task);

    task->id = 42;
    task->user_id = "alice";
    task->title = "Water the plants";
    task->description = recurring ? "both" : NULL;
    task->completed_at = TE_TIME_NONE;
    task->priority = TE_PRIORITY_HIGH;
    task->tags = apr_array_make(pool, 1, sizeof(const char *));
    APR_ARRAY_PUSH(task->tags, const char *) = "home";
    task->due_date = recurring ? 0 : TE_TIME_NONE;
    task->time_zone = recurring ? "Europe/Berlin" : "UTC";
    task->recurring_interval = recurring ? "daily" : NULL;
    task->version = 7;
    return task;
}

/* What a patch may change is what it names; an interval comes and goes with
 * is_recurring, and the other way round. */
static void check_changes(const json_t *patch, const te_task_t *before,
                          const te_task_t *after)
{
    json_t *changes = te_json_keep(pool,
                                   te_task_changes(pool, before, after));
    const char *name;
    json_t *value;

    json_object_foreach(changes, name, value) {
        PROMISE(json_object_get(patch, name) != NULL
                || strcmp(name, "recurring_interval") == 0);
    }
}

static void patch_once(const json_t *json, int recurring)
{
    te_task_t *before = task_before(recurring), *after, *again;
    apr_array_header_t *faults;

    te_task_patch(pool, json, 1, before, &after, &faults);
    check_faults(faults);
    PROMISE(json_object_size(te_json_keep(
                pool, te_task_changes(pool, before, task_before(recurring))))
            == 0);
    if (faults->nelts > 0) {
        return;
    }
    fuzz_task_keeps_rules(after);
    check_changes(json, before, after);
    te_task_patch(pool, json, 1, after, &again, &faults);
    PROMISE(faults->nelts == 0);
    PROMISE(json_object_size(te_json_keep(
                pool, te_task_changes(pool, after, again))) == 0);
}

void fuzz_patch(const char *bytes, apr_size_t size)
{
    const json_t *json = object_of(bytes, size);

    if (json != NULL) {
        patch_once(json, 0);
        patch_once(json, 1);
    }
}
