#include "drain.h"

#include <apr_atomic.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../base/children.h"
#include "../base/log.h"
#include "../base/metrics.h"
#include "../base/timefmt.h"

#define STREAMS_PER_READ 1024
#define EVENTS_PER_STREAM 16
#define BUDGET apr_time_from_sec(3)
#define HOLD apr_time_from_sec(5)
#define LANES 2
#define REFUSALS_MAX 3          /* of an event that is alone in its request */

/* What was read, in the order in which it is sent. */
typedef struct {
    int n;                              /* rows */
    te_outbox_row_t *const *rows;
    int *stream_of;                     /* a row's stream, counted from 0 */
    int *place_of;                      /* a row's place in it */
    int streams;
    int deepest;                        /* longest stream */
    char *stopped;                      /* per stream: no more for now */
} reading_t;

/* One event of each of several streams. */
typedef struct {
    int n;
    te_sending_t *sendings;
    int *streams;
    apr_time_t began;
} wave_t;

/* Streams that are sent in step, wave after wave. */
typedef struct {
    int depth;                          /* of its next wave */
    wave_t wave;
    void *begun;                        /* that wave on its way; NULL: none */
} lane_t;

static int is_stopping(const te_drain_t *d)
{
    return apr_atomic_read32((volatile apr_uint32_t *)d->stopping) != 0;
}

/* --- topics that are not to be had ------------------------------------- */

static int is_held(const te_drain_t *d, const char *topic)
{
    int i;

    for (i = 0; i < TE_TOPIC_COUNT; ++i) {
        if (d->held_until[i] > apr_time_now()
            && strcmp(d->held_topic[i], topic) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Configuration, not an outage: the other topics go on. */
static void hold(te_drain_t *d, const char *topic, const char *error)
{
    apr_time_t now = apr_time_now();
    int i, place = 0;

    for (i = 0; i < TE_TOPIC_COUNT; ++i) {
        if (strcmp(d->held_topic[i], topic) == 0) {
            place = i;
            break;
        }
        if (d->held_until[i] < d->held_until[place]) {
            place = i;
        }
    }
    if (d->held_until[place] < now) {
        te_log(TE_LOG_ERR, 0, "TE0510", "the sidecar does not let events into "
               "topic %s; they wait in the outbox and are tried again every "
               "%d s. Look at TaskEventsPubsub, TaskEventsTopic and the "
               "component's scopes: %s", topic, (int)apr_time_sec(HOLD),
               error ? error : "");
    }
    apr_cpystrn(d->held_topic[place], topic, sizeof d->held_topic[place]);
    d->held_until[place] = now + HOLD;
}

/* --- one event that was not taken -------------------------------------- */

static te_db_err_e park(te_drain_t *d, const te_sending_t *s,
                        const char *error)
{
    te_db_err_e err = te_outbox_park(d->db, d->pool, s->row,
                                     d->transport->stage,
                                     d->settings->source, error,
                                     d->settings->alert_url != NULL);

    if (err == TE_DB_OK) {
        te_metric_add(TE_METRIC_DEAD_LETTERS_MADE, d->transport->stage, NULL);
        te_log_record(TE_LOG_ALERT, "TE0401", "an event is a dead letter (%s) "
                      "and waits in taskevents.dead_letters: id %s, given up "
                      "after %d attempt(s)", d->transport->stage,
                      s->row->event_id, s->row->attempts + 1);
    }
    return err;
}

/* In place of none, or of the latest one if this one is earlier. */
static void note_retry(te_drain_t *d, apr_time_t at)
{
    int i, place = 0;

    for (i = 0; i < TE_DRAIN_RETRIES && d->retries[place] != 0; ++i) {
        if (d->retries[i] == 0 || d->retries[i] > d->retries[place]) {
            place = i;
        }
    }
    if (d->retries[place] == 0 || d->retries[place] > at) {
        d->retries[place] = at;
    }
}

apr_time_t te_drain_next_retry(const te_drain_t *d)
{
    apr_time_t next = 0;
    int i;

    for (i = 0; i < TE_DRAIN_RETRIES; ++i) {
        if (d->retries[i] != 0 && (next == 0 || d->retries[i] < next)) {
            next = d->retries[i];
        }
    }
    return next;
}

void te_drain_forget_due(te_drain_t *d)
{
    apr_time_t now = apr_time_now();
    int i;

    for (i = 0; i < TE_DRAIN_RETRIES; ++i) {
        if (d->retries[i] <= now) {
            d->retries[i] = 0;
        }
    }
}

static te_db_err_e postpone(te_drain_t *d, const te_sending_t *s, int alone,
                            const char *error)
{
    int attempts = s->row->attempts + 1;
    apr_interval_time_t wait =
        d->transport->wait(attempts, (unsigned int)rand_r(d->seed));
    te_db_err_e err;

    if (alone && wait > d->transport->longest_wait_alone) {
        wait = d->transport->longest_wait_alone;
    }
    te_log(TE_LOG_WARNING, 0, "TE0504", "event %s failed (attempt %d) and is "
           "tried again in %d ms; the later events of its user wait: %s",
           s->row->event_id, attempts, (int)apr_time_as_msec(wait), error);
    err = te_outbox_failed(d->db, d->pool, s->row, wait, error);
    /* counted from here, for the row's wait has begun by now: who came a
     * moment before it is due would not see it */
    note_retry(d, apr_time_now() + wait);
    return err;
}

/* @param alone  nothing else of its wave was taken: it may be the broker, not
 *               the event */
static te_db_err_e not_taken(te_drain_t *d, const te_sending_t *s, int alone)
{
    int attempts = s->row->attempts + 1;
    int max = s->maybe_refused ? REFUSALS_MAX : d->transport->max_attempts;
    const char *error = s->error ? s->error : "no reason given";

    te_db_renew(d->db, BUDGET);
    return s->result == TE_SENT_REFUSED || (max > 0 && attempts > max)
               ? park(d, s, error) : postpone(d, s, alone, error);
}

/* --- waves ------------------------------------------------------------- */

/* A long outbox takes many rounds: each is a sign of life. */
static void tell_state(const te_drain_t *d)
{
    static const apr_uint64_t numbers[] = {
        [TE_BREAKER_CLOSED] = 0, [TE_BREAKER_HALF_OPEN] = 1,
        [TE_BREAKER_OPEN] = 2};

    te_metric_set(TE_METRIC_BREAKER_STATE, NULL, numbers[d->breaker->state]);
    te_thread_beat(TE_THREAD_PUBLISHER);
}

static void count(const wave_t *wave)
{
    apr_time_t now = apr_time_now();
    int i;

    for (i = 0; i < wave->n; ++i) {
        const te_sending_t *s = &wave->sendings[i];

        te_metric_add(TE_METRIC_PUBLISH_ATTEMPTS, s->row->type, NULL);
        switch (s->result) {
        case TE_SENT_ACCEPTED:
        case TE_SENT_SETTLED:
            te_metric_add(TE_METRIC_PUBLISHED, s->row->type, NULL);
            if (s->row->time != TE_TIME_NONE) {
                te_metric_observe(TE_METRIC_PUBLISH_LAG, NULL, NULL,
                                  now - s->row->time);
            }
            break;
        case TE_SENT_FAILED:
            te_metric_add(TE_METRIC_PUBLISH_FAILURES, "event", NULL);
            break;
        case TE_SENT_REFUSED:
            te_metric_add(TE_METRIC_PUBLISH_FAILURES, "refused", NULL);
            break;
        case TE_SENT_HELD:
            te_metric_add(TE_METRIC_PUBLISH_FAILURES, "topic", NULL);
            break;
        case TE_SENT_UNKNOWN:
            te_metric_add(TE_METRIC_PUBLISH_FAILURES,
                          s->reason ? s->reason : "answer", NULL);
            break;
        }
    }
}

static void tell_outage(te_drain_t *d, const char *error)
{
    int goes_on = d->breaker->state != TE_BREAKER_CLOSED;

    if (te_breaker_failed(d->breaker, apr_time_now())) {
        te_log(TE_LOG_ERR, 0, "TE0507", "the %s transport does not take "
               "events; they wait in the outbox and it is tried again every "
               "%d ms: %s", d->transport->name,
               (int)apr_time_as_msec(d->settings->breaker_cooldown),
               error ? error : "no answer");
    }
    else if (goes_on) {
        te_log_goes_on(TE_LOG_ERR, "TE0507", "the %s transport does not take "
                       "events, still: %s", d->transport->name,
                       error ? error : "no answer");
    }
}

static void note_transport(te_drain_t *d, int works, const char *error)
{
    if (works && te_breaker_succeeded(d->breaker)) {
        te_log_ended("TE0507");
        te_log(TE_LOG_NOTICE, 0, "TE0508", "the %s transport works again",
               d->transport->name);
    }
    if (!works) {
        tell_outage(d, error);
    }
    tell_state(d);
}

static int count_taken(const wave_t *wave)
{
    int i, taken = 0;

    for (i = 0; i < wave->n; ++i) {
        taken += wave->sendings[i].result == TE_SENT_ACCEPTED
                 || wave->sendings[i].result == TE_SENT_SETTLED;
    }
    return taken;
}

/* What came of a wave.
 * @param works     cleared when the transport as a whole did not work
 * @param progress  set when some row will not be read again as it was */
static te_db_err_e settle(te_drain_t *d, const wave_t *wave, char *stopped,
                          int *works, int *progress)
{
    apr_array_header_t *accepted =
        apr_array_make(d->pool, wave->n, sizeof(te_outbox_row_t *));
    const char *error = NULL;
    te_db_err_e err = TE_DB_OK;
    int i, taken = count_taken(wave);

    count(wave);
    te_log(TE_LOG_DEBUG, 0, "TE0511", "%d of %d event(s) of a wave were taken "
           "in %d us, each of another stream; the first is %s", taken,
           wave->n, (int)(apr_time_now() - wave->began),
           wave->sendings[0].row->event_id);
    for (i = 0; i < wave->n && err == TE_DB_OK; ++i) {
        const te_sending_t *s = &wave->sendings[i];

        switch (s->result) {
        case TE_SENT_ACCEPTED:
            APR_ARRAY_PUSH(accepted, const te_outbox_row_t *) = s->row;
            te_heads_sent(d->heads, s->row);
            continue;
        case TE_SENT_SETTLED:
            te_heads_sent(d->heads, s->row);
            continue;
        case TE_SENT_FAILED:
        case TE_SENT_REFUSED:
            err = not_taken(d, s, taken == 0);
            *progress = 1;
            break;
        case TE_SENT_HELD:
            hold(d, s->row->topic, s->error);
            break;
        case TE_SENT_UNKNOWN:
            *works = 0;
            error = s->error;
            break;
        }
        stopped[wave->streams[i]] = 1;
    }
    if (taken > 0 || !*works) {
        note_transport(d, *works, error);
    }
    *progress |= taken > 0;
    if (accepted->nelts > 0 && err == TE_DB_OK) {
        te_db_renew(d->db, BUDGET);
        err = te_outbox_accepted(d->db, d->pool, accepted);
    }
    return err;
}

/* The event at this depth of each stream of a lane that goes on. */
static void pick(te_drain_t *d, const reading_t *in, int lane, int lanes,
                 int depth, wave_t *wave)
{
    int i;

    wave->n = 0;
    for (i = 0; i < in->n; ++i) {
        if (in->place_of[i] == depth && in->stream_of[i] % lanes == lane
            && !in->stopped[in->stream_of[i]]) {
            te_sending_t *s = &wave->sendings[wave->n];

            if (is_held(d, in->rows[i]->topic)) {
                in->stopped[in->stream_of[i]] = 1;
                continue;
            }
            memset(s, 0, sizeof *s);
            s->row = in->rows[i];
            s->result = TE_SENT_UNKNOWN;
            wave->streams[wave->n++] = in->stream_of[i];
        }
    }
}

static int same_stream(const te_outbox_row_t *a, const te_outbox_row_t *b)
{
    return strcmp(a->user_id, b->user_id) == 0
           && strcmp(a->topic, b->topic) == 0;
}

static void number_streams(te_drain_t *d, const apr_array_header_t *rows,
                           reading_t *in)
{
    apr_size_t room = (apr_size_t)rows->nelts;
    int i, streams = 0;

    memset(in, 0, sizeof *in);
    in->n = rows->nelts;
    in->rows = (te_outbox_row_t *const *)rows->elts;
    in->stream_of = apr_palloc(d->pool, sizeof(int) * room);
    in->place_of = apr_palloc(d->pool, sizeof(int) * room);
    for (i = 0; i < in->n; ++i) {
        int goes_on = i > 0 && same_stream(in->rows[i], in->rows[i - 1]);

        in->place_of[i] = goes_on ? in->place_of[i - 1] + 1 : 0;
        in->stream_of[i] = goes_on ? in->stream_of[i - 1] : streams++;
        if (in->place_of[i] > in->deepest) {
            in->deepest = in->place_of[i];
        }
    }
    in->streams = streams;
    in->stopped = apr_pcalloc(d->pool, (apr_size_t)streams + 1);
}

/* The next wave of a lane, if there is one and nothing speaks against it. */
static void begin(te_drain_t *d, const reading_t *in, lane_t *lanes, int n,
                  int i, int go_on)
{
    lane_t *lane = &lanes[i];

    lane->begun = NULL;
    if (!go_on || lane->depth > in->deepest
        || (lane->depth > 0 && is_stopping(d))) {
        return;
    }
    pick(d, in, i, n, lane->depth++, &lane->wave);
    if (lane->wave.n > 0) {
        lane->wave.began = apr_time_now();
        lane->begun = d->transport->begin(d->transport, lane->wave.sendings,
                                          lane->wave.n, d->pool);
    }
}

/* Send what was read, wave by wave: the first event of every stream, then
 * the second of those whose first was taken, and so on. Many streams go in two
 * lanes, so that one is on its way while the other is settled and made ready:
 * the sidecar always has something to do. */
static te_db_err_e send_rows(te_drain_t *d, const apr_array_header_t *rows,
                             int *works, int *progress)
{
    apr_size_t room = (apr_size_t)rows->nelts;
    te_db_err_e err = TE_DB_OK;
    lane_t lanes[LANES];
    reading_t in;
    int i, n, under_way = 1;

    number_streams(d, rows, &in);
    n = in.streams > d->settings->publish_batch ? LANES : 1;
    for (i = 0; i < n; ++i) {
        lanes[i].depth = 0;
        lanes[i].wave.sendings = apr_palloc(d->pool,
                                            sizeof(te_sending_t) * room);
        lanes[i].wave.streams = apr_palloc(d->pool, sizeof(int) * room);
        begin(d, &in, lanes, n, i, 1);
    }
    while (under_way) {
        under_way = 0;
        for (i = 0; i < n; ++i) {
            if (lanes[i].begun == NULL) {
                continue;
            }
            d->transport->end(d->transport, lanes[i].begun);
            if (err == TE_DB_OK) {
                err = settle(d, &lanes[i].wave, in.stopped, works, progress);
            }
            begin(d, &in, lanes, n, i, err == TE_DB_OK && *works);
            under_way |= lanes[i].begun != NULL;
        }
    }
    return err;
}

/* --- reading ----------------------------------------------------------- */

static te_db_err_e read_heads(te_drain_t *d, const char *shards,
                              apr_array_header_t **rows)
{
    int probing = d->breaker->state == TE_BREAKER_HALF_OPEN;

    tell_state(d);
    apr_pool_clear(d->pool);
    te_db_renew(d->db, BUDGET);
    return te_heads_read(d->heads, shards, probing ? 1 : STREAMS_PER_READ,
                         probing ? 1 : EVENTS_PER_STREAM, rows);
}

/* The reads go round: from the first stream to the last, and again, as long
 * as a round brings anything forward. */
te_db_err_e te_drain(te_drain_t *d, const char *shards)
{
    apr_array_header_t *rows;
    te_db_err_e err = TE_DB_OK;
    int works = 1, progress = 0;

    te_heads_start(d->heads);
    while (err == TE_DB_OK && works && !is_stopping(d)
           && te_breaker_allows(d->breaker, apr_time_now())) {
        err = read_heads(d, shards, &rows);
        if (err != TE_DB_OK) {
            break;
        }
        if (rows->nelts > 0) {
            err = send_rows(d, rows, &works, &progress);
        }
        else if (d->heads->begun && progress) {
            te_heads_start(d->heads);
            progress = 0;
        }
        else {
            break;
        }
    }
    return err == TE_DB_OK ? te_db_finish(d->db) : err;
}
