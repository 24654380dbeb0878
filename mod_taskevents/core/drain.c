#include "drain.h"

#include <apr_atomic.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../base/children.h"
#include "../base/log.h"
#include "../base/metrics.h"
#include "../base/timefmt.h"
#include "../store/locks.h"

/* A look finds streams and their first events; more of each is read when few
 * are left. Where there are more streams than one look finds, each has its
 * turn: some events, and then the others. */
#define STREAMS_PER_LOOK 1024
#define STREAMS_MOST (2 * STREAMS_PER_LOOK)
#define EVENTS_AT_FIRST 4
#define EVENTS_OF_A_TURN 16
#define STREAMS_PER_READ 128
#define EVENTS_PER_READ 16
#define FEW_EVENTS 4
/* Of the time, a hundredth for looking while others are on their way. */
#define LOOK_SHARE 100
#define BUDGET apr_time_from_sec(3)
#define HOLD apr_time_from_sec(5)
#define LANES_MAX 4
#define WAVE_WORTH 128          /* smaller ones are not divided */
#define WAVES_AT_LEAST 2        /* so many, of whatever size */
/* Between the beginnings of waves, for each event of the one before; where
 * 500 events/s come, the next one has more, and so on up to the longest. */
#define PAUSE_FOR_EACH apr_time_from_msec(2)
#define LONGEST_PAUSE apr_time_from_msec(40)
#define REFUSALS_MAX 3          /* of an event that is alone in its request */

/* A place for a wave on its way. */
typedef struct {
    apr_pool_t *pool;                   /* of the wave */
    te_wave_t wave;
    void *begun;                        /* NULL: none */
} lane_t;

struct te_flow_t {
    te_lines_t lines;
    lane_t lanes[LANES_MAX];
    int under_way, events_under_way;    /* waves, and what is in them */
    apr_array_header_t *accepted;       /* rows that PostgreSQL is just told
                                         * to forget, and where these are */
    apr_array_header_t *reads;

    int works;                          /* the transport does */
    int progress;                       /* some row will not be read again as
                                         * it was, in this round of reads */
    int ended;                          /* there is no more to read */
    int many;                           /* more streams than one look finds */
    int probing;                        /* one event, and, if it is taken,
                                         * the end */
    int given_back;                     /* all shards but the probe's */
    apr_time_t look_at;                 /* for streams, beside sending */
    apr_time_t begin_at;                /* the next wave, if it need not be
                                         * sooner */
};

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
        d->transport->backoff(attempts, (unsigned int)rand_r(d->seed));
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

static void count(const te_wave_t *wave)
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

static int count_taken(const te_wave_t *wave)
{
    int i, taken = 0;

    for (i = 0; i < wave->n; ++i) {
        taken += wave->sendings[i].result == TE_SENT_ACCEPTED
                 || wave->sendings[i].result == TE_SENT_SETTLED;
    }
    return taken;
}

/* PostgreSQL was told to forget what was accepted: the end of that. */
static te_db_err_e forgotten(te_drain_t *d)
{
    te_flow_t *f = d->flow;
    te_db_err_e err = TE_DB_OK;
    int i;

    if (f->accepted->nelts > 0) {
        te_db_renew(d->db, BUDGET);
        err = te_outbox_forgotten(d->db, d->pool, f->accepted);
        for (i = 0; i < f->reads->nelts; ++i) {
            te_lines_release(APR_ARRAY_IDX(f->reads, i, te_read_t *));
        }
        apr_array_clear(f->accepted);
        apr_array_clear(f->reads);
    }
    return err;
}

/* One that was sent: whether its stream goes on. */
static te_db_err_e settle_one(te_drain_t *d, const te_wave_t *wave, int i,
                              int taken, int *goes_on)
{
    const te_sending_t *s = &wave->sendings[i];
    te_flow_t *f = d->flow;

    *goes_on = 0;
    switch (s->result) {
    case TE_SENT_ACCEPTED:
        APR_ARRAY_PUSH(f->accepted, const te_outbox_row_t *) = s->row;
        APR_ARRAY_PUSH(f->reads, te_read_t *) = wave->reads[i];
        /* fall through */
    case TE_SENT_SETTLED:
        te_heads_sent(d->heads, s->row);
        *goes_on = 1;
        return TE_DB_OK;
    case TE_SENT_FAILED:
    case TE_SENT_REFUSED:
        f->progress = 1;
        return not_taken(d, s, taken == 0);
    case TE_SENT_HELD:
        hold(d, s->row->topic, s->error);
        return TE_DB_OK;
    case TE_SENT_UNKNOWN:
        f->works = 0;
        return TE_DB_OK;
    }
    return TE_DB_OK;
}

static const char *why_not(const te_wave_t *wave)
{
    const char *error = wave->sendings[0].error;
    int i;

    for (i = 0; i < wave->n; ++i) {
        if (wave->sendings[i].result == TE_SENT_UNKNOWN) {
            return wave->sendings[i].error;
        }
    }
    return error;
}

/* The answer may tell of an event, when it was sent alone; but who waits so
 * long for it waits for a broker that does not answer. */
static int waited_in_vain(const te_drain_t *d, const te_wave_t *wave,
                          int taken)
{
    return taken == 0 && d->transport->max_attempts == 0
           && apr_time_now() - wave->began > TE_DRAIN_IN_VAIN;
}

/* What came of a wave. The rows that were accepted are being forgotten when
 * this returns: before the next one of a stream is sent. */
static te_db_err_e settle(te_drain_t *d, const te_wave_t *wave)
{
    int i, goes_on, taken = count_taken(wave);
    te_flow_t *f = d->flow;
    te_db_err_e err = TE_DB_OK;

    count(wave);
    te_log(TE_LOG_DEBUG, 0, "TE0511", "%d of %d event(s) of a wave were taken "
           "in %d us, each of another stream; the first is %s", taken,
           wave->n, (int)(apr_time_now() - wave->began),
           wave->sendings[0].row->event_id);
    for (i = 0; i < wave->n && err == TE_DB_OK; ++i) {
        te_sent_e result = wave->sendings[i].result;

        err = settle_one(d, wave, i, taken, &goes_on);
        (goes_on ? te_lines_go_on : te_lines_stop)(&f->lines, wave->lines[i]);
        if (result != TE_SENT_ACCEPTED) {
            te_lines_release(wave->reads[i]);
        }
    }
    f->works = f->works && !waited_in_vain(d, wave, taken);
    if (taken > 0 || !f->works) {
        note_transport(d, f->works, why_not(wave));
    }
    f->ended |= f->probing && taken > 0;
    f->progress |= taken > 0;
    if (f->accepted->nelts > 0 && err == TE_DB_OK) {
        te_db_renew(d->db, BUDGET);
        err = te_outbox_accepted(d->db, d->pool, f->accepted);
    }
    return err;
}

/* --- sending ----------------------------------------------------------- */

static int goes_on(te_drain_t *d)
{
    return d->flow->works && !is_stopping(d)
           && te_breaker_allows(d->breaker, apr_time_now());
}

static void leave_out_held(te_drain_t *d, te_wave_t *wave)
{
    int i;

    if (wave->n == 0 || !is_held(d, wave->sendings[0].row->topic)) {
        return;
    }
    for (i = 0; i < wave->n; ++i) {
        te_lines_stop(&d->flow->lines, wave->lines[i]);
        te_lines_release(wave->reads[i]);
    }
    wave->n = 0;
}

/* Nothing is here but what has just come, one event of a stream, and it may
 * wait for company: a request of few events costs the sidecar and Kafka
 * several times as much for each. (A transport that does one after the other
 * makes no requests.)
 * @return how long, 0: it may not; a clock that is set back is no reason */
static apr_interval_time_t may_wait(const te_drain_t *d)
{
    const te_flow_t *f = d->flow;
    apr_interval_time_t left = f->begin_at - apr_time_now();

    return d->transport->side_by_side > 1
           && f->lines.waiting == f->lines.ready
           && f->lines.ready < d->settings->publish_batch
           && left > 0 && left <= LONGEST_PAUSE ? left : 0;
}

/* A request costs the sidecar the less for an event, the more it has. Of a
 * backlog two are on their way whatever they have, so that it always has one
 * to work on; a further one is full, or so small that nothing is won by
 * waiting.
 * @return 0: nothing more for now */
static int size_of_wave(const te_drain_t *d)
{
    const te_flow_t *f = d->flow;
    int most = d->transport->side_by_side, full = d->settings->publish_batch;
    int lanes = most < WAVES_AT_LEAST ? most : WAVES_AT_LEAST, n;

    if (f->lines.ready >= full) {
        return full;
    }
    if (may_wait(d) > 0) {
        return 0;
    }
    lanes -= f->under_way;
    if (lanes <= 0) {
        return f->lines.ready + f->events_under_way <= WAVE_WORTH
                   ? f->lines.ready : 0;
    }
    n = (f->lines.ready + lanes - 1) / lanes;
    n = n < WAVE_WORTH ? WAVE_WORTH : n;
    return n < full ? n : full;
}

static apr_interval_time_t pause_behind(int events)
{
    apr_interval_time_t pause = events * PAUSE_FOR_EACH;

    return pause < LONGEST_PAUSE ? pause : LONGEST_PAUSE;
}

/* As many waves as there can be on their way. */
static void begin_waves(te_drain_t *d)
{
    te_flow_t *f = d->flow;
    int i = 0, n;

    while (i < d->transport->side_by_side && f->lines.ready > 0
           && goes_on(d) && (n = size_of_wave(d)) > 0) {
        lane_t *lane = &f->lanes[i];

        if (lane->begun != NULL) {
            ++i;
            continue;
        }
        apr_pool_clear(lane->pool);
        te_lines_pick(&f->lines, n, d->transport->bytes,
                      d->transport->beside, lane->pool, &lane->wave);
        leave_out_held(d, &lane->wave);
        if (lane->wave.n > 0) {
            lane->wave.began = apr_time_now();
            f->begin_at = lane->wave.began + pause_behind(lane->wave.n);
            lane->begun = d->transport->begin(d->transport,
                                              lane->wave.sendings,
                                              lane->wave.n, lane->pool);
            ++f->under_way;
            f->events_under_way += lane->wave.n;
        }
    }
}

static te_wave_t *end_wave(te_drain_t *d)
{
    te_flow_t *f = d->flow;
    void *begun[LANES_MAX];
    lane_t *lane;
    int i;

    for (i = 0; i < LANES_MAX; ++i) {
        begun[i] = f->lanes[i].begun;
    }
    lane = &f->lanes[d->transport->wait_for(d->transport, begun, LANES_MAX)];
    d->transport->end(d->transport, lane->begun);
    lane->begun = NULL;
    --f->under_way;
    f->events_under_way -= lane->wave.n;
    return &lane->wave;
}

/* --- reading ----------------------------------------------------------- */

/* The looks go round: from the first stream to the last, and again, as long
 * as a round brings anything forward. */
static te_db_err_e look(te_drain_t *d, char *shards, int streams, int each)
{
    apr_time_t began = apr_time_now();
    te_flow_t *f = d->flow;
    apr_array_header_t *rows;
    apr_pool_t *p;
    te_read_t *read = te_lines_read(&f->lines, &p);
    te_db_err_e err = te_heads_read(d->heads, shards, streams, each,
                                    &f->lines, p, &rows);
    int found;

    if (err != TE_DB_OK) {
        return err;
    }
    found = rows->nelts;
    f->many = te_lines_add(&f->lines, read, rows, each) >= STREAMS_PER_LOOK;
    if (f->many) {
        te_lines_dry(&f->lines, d->pool);
    }
    if (found == 0) {
        int idle = f->under_way == 0 && f->lines.ready == 0;

        f->ended = idle && !(d->heads->begun && f->progress);
        f->progress = !idle && f->progress;
        te_heads_start(d->heads);
    }
    else if (f->probing) {
        err = te_locks_keep_shard(
            d->db, d->pool, shards,
            APR_ARRAY_IDX(rows, 0, te_outbox_row_t *)->shard);
        te_metric_set(TE_METRIC_PUBLISHER_SHARDS, NULL, 1);
        f->given_back = 1;
    }
    f->look_at = apr_time_now() + LOOK_SHARE * (apr_time_now() - began);
    return err;
}

static te_db_err_e read_more(te_drain_t *d, const apr_array_header_t *low)
{
    te_flow_t *f = d->flow;
    apr_array_header_t *rows;
    apr_pool_t *p;
    te_read_t *read = te_lines_read(&f->lines, &p);
    te_db_err_e err = te_outbox_of_streams(d->db, p, low, EVENTS_PER_READ,
                                           &rows);

    if (err == TE_DB_OK) {
        te_lines_more(&f->lines, read, low, rows, EVENTS_PER_READ);
    }
    return err;
}

/* One event, of any shard that is to be had; nothing is on its way. */
static te_db_err_e probe(te_drain_t *d, char *shards)
{
    te_flow_t *f = d->flow;
    te_db_err_e err = TE_DB_OK;
    int held;

    if (f->given_back
        && (err = te_locks_release(d->db)) == TE_DB_OK) {
        err = te_locks_shards(d->db, shards, &held);
        f->given_back = 0;
    }
    return err == TE_DB_OK ? look(d, shards, 1, 1) : err;
}

/* One read, of a few ms, if there is one to be done: whatever is on its way
 * waits meanwhile. */
static te_db_err_e read_some(te_drain_t *d, char *shards)
{
    te_flow_t *f = d->flow;
    apr_array_header_t *low;

    tell_state(d);
    te_db_renew(d->db, BUDGET);
    if (f->probing) {
        return probe(d, shards);
    }
    if ((f->many || apr_time_now() >= f->look_at)
        && te_lines_count(&f->lines) <= STREAMS_MOST - STREAMS_PER_LOOK) {
        return look(d, shards, STREAMS_PER_LOOK,
                    f->many ? EVENTS_OF_A_TURN : EVENTS_AT_FIRST);
    }
    low = te_lines_low(&f->lines, FEW_EVENTS, STREAMS_PER_READ, d->pool);
    if (low->nelts > 0) {
        return read_more(d, low);
    }
    if (f->under_way == 0 && f->lines.ready == 0) {
        f->look_at = 0;
    }
    return TE_DB_OK;
}

/* --- all of it --------------------------------------------------------- */

/* And look then who has come. */
static void await_company(te_drain_t *d)
{
    te_flow_t *f = d->flow;
    apr_interval_time_t left = may_wait(d);

    if (f->under_way == 0 && f->lines.ready > 0 && left > 0) {
        apr_sleep(left);
        f->look_at = 0;
    }
}

static void start(te_drain_t *d)
{
    te_flow_t *f = d->flow;

    te_heads_start(d->heads);
    te_lines_drop(&f->lines);
    apr_array_clear(f->accepted);
    apr_array_clear(f->reads);
    f->works = 1;
    f->progress = f->ended = f->many = 0;
    f->probing = te_breaker_doubts(d->breaker);
    f->given_back = 0;
    f->look_at = 0;
    f->begin_at = 0;
}

void te_drain_init(te_drain_t *d, apr_pool_t *p)
{
    te_flow_t *f = d->flow = apr_pcalloc(p, sizeof *f);
    int i;

    te_lines_init(&f->lines, p);
    for (i = 0; i < LANES_MAX; ++i) {
        apr_pool_create(&f->lanes[i].pool, p);
    }
    f->accepted = apr_array_make(p, 256, sizeof(const te_outbox_row_t *));
    f->reads = apr_array_make(p, 256, sizeof(te_read_t *));
}

/* The sidecar always has something to do: as soon as it has answered one
 * request, the next one goes, and only then is looked after the rest. */
te_db_err_e te_drain(te_drain_t *d, char *shards)
{
    te_flow_t *f = d->flow;
    te_db_err_e err = TE_DB_OK;

    start(d);
    while (err == TE_DB_OK && (f->under_way > 0 || (goes_on(d) && !f->ended))) {
        if (f->under_way > 0) {
            err = settle(d, end_wave(d));
        }
        if (err == TE_DB_OK) {
            begin_waves(d);
            err = forgotten(d);
        }
        apr_pool_clear(d->pool);
        if (err == TE_DB_OK && goes_on(d) && !f->ended) {
            await_company(d);
            err = read_some(d, shards);
        }
        if (err == TE_DB_OK) {
            begin_waves(d);
        }
    }
    while (f->under_way > 0) {
        end_wave(d);                    /* what came of it is not known */
    }
    te_lines_drop(&f->lines);
    return err;
}
