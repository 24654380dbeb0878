/* What the sidecar delivers: events, one or several, and their traces. */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "../../mod_taskevents/base/json.h"
#include "../../mod_taskevents/base/timefmt.h"
#include "../../mod_taskevents/core/bulk.h"
#include "../../mod_taskevents/core/event.h"
#include "../../mod_taskevents/core/task.h"
#include "fuzz.h"

static int is_name(const char *text)
{
    return text != NULL && *text != '\0' && strlen(text) <= 512;
}

/* An event that has the same to say, written and parsed. */
static void check_written(const te_incoming_t *event)
{
    const te_incoming_t *back;
    const te_outgoing_t *out;
    const char *text, *reason;
    te_event_t same;

    memset(&same, 0, sizeof same);
    same.id = event->id;
    same.source = event->source;
    same.type = event->type;
    same.topic = "tasks";
    same.user_id = event->user_id;
    same.task_id = event->task_id;
    same.time = event->time;
    same.origin = event->origin;
    same.correlation_id = event->correlation_id;
    same.traceparent = te_traceparent(pool, event->traceparent);
    out = te_event_text(pool, &same);
    text = apr_pstrcat(pool, out->head, "00000000000000000001", out->tail,
                       NULL);
    back = te_event_parse(pool, text, strlen(text), &reason);
    PROMISE(back != NULL && back->data_fault == NULL);
    PROMISE(strcmp(back->id, event->id) == 0
            && strcmp(back->source, event->source) == 0
            && strcmp(back->type, event->type) == 0);
    PROMISE(strcmp(back->user_id, event->user_id) == 0
            && back->task_id == event->task_id && back->time == event->time);
    PROMISE(strcmp(back->origin, event->origin) == 0
            && strcmp(back->correlation_id, event->correlation_id) == 0);
    PROMISE(strcmp(back->traceparent, same.traceparent) == 0);
}

static void check_task(const te_incoming_t *event)
{
    const json_t *json = json_object_get(event->data, "task");
    const char *detail = NULL;
    te_task_t *task;

    if (!json_is_object(json)) {
        return;
    }
    task = te_task_from_event(pool, json, &detail);
    if (task == NULL) {
        PROMISE(detail != NULL && fuzz_is_sentence(detail));
        return;
    }
    fuzz_task_keeps_rules(task);
    PROMISE((task->series_id == NULL) == (task->occurrence == 0));
    fuzz_task_reads_back(task);
}

void fuzz_event(const char *bytes, apr_size_t size)
{
    const char *reason = NULL, *source = NULL, *id = NULL, *user = NULL;
    const te_incoming_t *event = te_event_parse(pool, bytes, size, &reason);

    te_event_identity(pool, bytes, size, &source, &id, &user);
    if (event == NULL) {
        PROMISE(reason != NULL && fuzz_is_sentence(reason));
        return;
    }
    PROMISE(is_name(event->id) && is_name(event->source)
            && is_name(event->type));
    PROMISE(strcmp(event->id, id) == 0 && strcmp(event->source, source) == 0);
    PROMISE(strlen(event->text) == size
            && memcmp(event->text, bytes, size) == 0);
    PROMISE(event->user_id == NULL || te_user_id_valid(event->user_id));
    PROMISE(event->user_id == NULL || strcmp(event->user_id, user) == 0);
    PROMISE(event->task_id >= 0);
    PROMISE(event->time == TE_TIME_NONE
            || (event->time >= TE_TIME_FIRST && event->time <= TE_TIME_LAST));
    PROMISE(event->data == NULL || json_is_object(event->data));
    check_task(event);
    if (event->user_id != NULL && event->task_id > 0
        && event->time != TE_TIME_NONE && *event->origin != '\0') {
        check_written(event);
    }
}

/* --- several ----------------------------------------------------------- */

/* Of a delivery that is good JSON, and spells its names plainly, the entries
 * are what a parser says they are. */
static void check_entries(const char *bytes, apr_size_t size,
                          const apr_array_header_t *entries)
{
    const char *detail;
    const json_t *json = te_json_parse(pool, bytes, size, &detail), *list;
    int i;

    list = json_object_get(json, "entries");
    if (!json_is_array(list) || memchr(bytes, '\\', size) != NULL) {
        return;
    }
    PROMISE((apr_size_t)entries->nelts == json_array_size(list));
    for (i = 0; i < entries->nelts; ++i) {
        const te_bulk_entry_t *e = &APR_ARRAY_IDX(entries, i,
                                                  te_bulk_entry_t);
        const json_t *said = json_array_get(list, (size_t)i);
        const json_t *event = json_object_get(said, "event");
        const char *id = te_json_get_string(said, "entryId");

        PROMISE((id == NULL) == (e->id == NULL));
        PROMISE(id == NULL || strcmp(id, e->id) == 0);
        PROMISE((event == NULL) == (e->size == 0));
        PROMISE(event == NULL
                || json_equal(event, te_json_parse(pool, e->event, e->size,
                                                   &detail)));
    }
}

void fuzz_bulk(const char *bytes, apr_size_t size)
{
    apr_array_header_t *entries = te_bulk_parse(pool, bytes, size);
    const char *answer, *detail;
    const json_t *json, *statuses;
    apr_size_t n_ids = 0;
    char *done;
    int i;

    if (entries == NULL) {
        return;
    }
    done = apr_pcalloc(pool, (apr_size_t)entries->nelts + 1);
    for (i = 0; i < entries->nelts; ++i) {
        const te_bulk_entry_t *e = &APR_ARRAY_IDX(entries, i,
                                                  te_bulk_entry_t);

        PROMISE(e->size == 0
                || (e->event >= bytes && e->event + e->size <= bytes + size));
        n_ids += e->id != NULL;
        done[i] = (char)(i % 2);
    }
    answer = te_bulk_answer(pool, entries, done);
    json = te_json_parse(pool, answer, strlen(answer), &detail);
    statuses = json_object_get(json, "statuses");
    PROMISE(json_is_array(statuses) && json_array_size(statuses) == n_ids);
    check_entries(bytes, size, entries);
}

/* --- traces ------------------------------------------------------------ */

static int is_hex(const char *text, int n)
{
    int i, zeros = 0;

    for (i = 0; i < n; ++i) {
        if (!apr_isdigit(text[i]) && (text[i] < 'a' || text[i] > 'f')) {
            return 0;
        }
        zeros += text[i] == '0';
    }
    return n == 2 || zeros < n;
}

static int is_traceparent(const char *text)
{
    return strlen(text) == 55 && strncmp(text, "00-", 3) == 0
           && is_hex(text + 3, 32) && text[35] == '-'
           && is_hex(text + 36, 16) && text[52] == '-'
           && is_hex(text + 53, 2);
}

void fuzz_traceparent(const char *bytes, apr_size_t size)
{
    const char *given = fuzz_text(bytes, size);
    const char *used = te_traceparent(pool, given);

    PROMISE(is_traceparent(used));
    PROMISE((strcmp(used, given) == 0) == is_traceparent(given));
    PROMISE(strcmp(te_traceparent(pool, used), used) == 0);
}
