#include "publisher.h"

#include <apr_atomic.h>
#include <apr_strings.h>
#include <apr_thread_cond.h>
#include <apr_thread_proc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/log.h"
#include "../store/idempotency.h"
#include "../store/outbox.h"
#include "breaker.h"
#include "transport.h"

#define STREAMS_PER_READ 512
#define EVENTS_PER_STREAM 16
#define LONGEST_SLEEP apr_time_from_sec(1)
#define BUDGET apr_time_from_sec(3)
#define POOLER_SLEEP apr_time_from_sec(10)
#define HOUSEKEEPING apr_time_from_sec(60)

struct te_publisher_t {
    const te_settings_t *settings;
    te_db_pool_t *ids;
    apr_pool_t *pool;                   /* the thread's own */
    apr_pool_t *round;                  /* cleared for each read */
    apr_thread_t *thread;
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *bell;
    volatile apr_uint32_t rung;
    volatile apr_uint32_t stopping;

    te_db_t *db;
    int db_checked;                     /* it is no transaction pooler */
    int db_was_away;
    te_transport_t *transport;
    te_breaker_t breaker;
    unsigned int seed;
    apr_time_t retry_at;                /* earliest of the waits we set */
    apr_time_t clean_at;                /* next housekeeping */
    const char *after_user, *after_topic;
    char last_user[160], last_topic[256];
};

static int is_stopping(te_publisher_t *pub)
{
    return apr_atomic_read32(&pub->stopping) != 0;
}

/* --- waiting ----------------------------------------------------------- */

/* The flag is cleared before the outbox is read, so that a ring during the
 * read is not lost. While the breaker is open there is nothing to wake for. */
static void wait_for_bell(te_publisher_t *pub)
{
    apr_time_t now = apr_time_now();
    apr_time_t until = now + LONGEST_SLEEP * 3 / 4
                       + rand_r(&pub->seed) % (LONGEST_SLEEP / 2);
    int is_open = pub->breaker.state == TE_BREAKER_OPEN;

    if (pub->retry_at != 0 && pub->retry_at < until) {
        until = pub->retry_at;
        pub->retry_at = 0;
    }
    if (is_open && pub->breaker.probe_at < until) {
        until = pub->breaker.probe_at;
    }
    apr_thread_mutex_lock(pub->mutex);
    while ((is_open || !apr_atomic_read32(&pub->rung)) && !is_stopping(pub)
           && (now = apr_time_now()) < until) {
        apr_thread_cond_timedwait(pub->bell, pub->mutex, until - now);
    }
    apr_atomic_set32(&pub->rung, 0);
    apr_thread_mutex_unlock(pub->mutex);
}

/* A pause that only stopping ends early. */
static void pause_for(te_publisher_t *pub, apr_interval_time_t pause)
{
    apr_time_t until = apr_time_now() + pause, now;

    apr_thread_mutex_lock(pub->mutex);
    while (!is_stopping(pub) && (now = apr_time_now()) < until) {
        apr_thread_cond_timedwait(pub->bell, pub->mutex, until - now);
    }
    apr_thread_mutex_unlock(pub->mutex);
}

/* --- the connection ---------------------------------------------------- */

static int connection_ready(te_publisher_t *pub)
{
    te_db_err_e err = te_db_reopen(pub->db, BUDGET);
    int direct;

    if (err != TE_DB_OK) {
        if (!pub->db_was_away) {
            te_log(TE_LOG_ERR, 0, "TE0501", "the publisher cannot connect to "
                   "PostgreSQL; events wait in the outbox: %s",
                   te_db_error(pub->db));
        }
        pub->db_was_away = 1;
        return 0;
    }
    if (pub->db_was_away) {
        te_log(TE_LOG_NOTICE, 0, "TE0506", "the publisher is connected to "
               "PostgreSQL again");
        pub->db_was_away = 0;
    }
    direct = pub->db_checked ? 1 : te_db_is_direct(pub->db);
    if (direct == 0) {
        te_log(TE_LOG_ERR, 0, "TE0502", "TaskEventsDatabase leads through a "
               "transaction pooler, whose sessions cannot hold the "
               "publisher's locks; name PostgreSQL's own host and port "
               "there. Nothing is published until then");
        te_db_close(pub->db);
        pause_for(pub, POOLER_SLEEP);
    }
    pub->db_checked = direct > 0;
    return direct > 0;
}

/* Any failure: the session goes, and with it its locks. */
static void drop_connection(te_publisher_t *pub, te_db_err_e err)
{
    if (!pub->db_was_away) {
        te_log(TE_LOG_WARNING, 0, "TE0503", "the publisher's connection "
               "failed (%s) and is opened again: %s", te_db_err_name(err),
               te_db_error(pub->db));
    }
    te_db_close(pub->db);
    pub->db_checked = 0;
}

/* --- one read of the outbox -------------------------------------------- */

static int same_stream(const te_outbox_row_t *a, const te_outbox_row_t *b)
{
    return strcmp(a->user_id, b->user_id) == 0
           && strcmp(a->topic, b->topic) == 0;
}

/* What one event's failure means: wait and try again, or give it up. */
static te_db_err_e event_failed(te_publisher_t *pub, const te_sending_t *s)
{
    int attempts = s->row->attempts + 1;
    int max = pub->transport->max_attempts;
    const char *error = s->error ? s->error : "no reason given";
    apr_interval_time_t wait;
    apr_time_t retry_at;

    te_db_renew(pub->db, BUDGET);
    if (max > 0 && attempts > max) {
        te_db_err_e err = te_outbox_park(pub->db, pub->round, s->row,
                                         "handle", pub->settings->source,
                                         error);

        if (err == TE_DB_OK) {
            te_log(TE_LOG_ALERT, 0, "TE0401", "an event is a dead letter "
                   "(handle) and waits in taskevents.dead_letters: id %s, "
                   "given up after %d attempts", s->row->event_id, attempts);
        }
        return err;
    }
    wait = pub->transport->wait(attempts,
                                (unsigned int)rand_r(&pub->seed));
    retry_at = apr_time_now() + wait;
    if (pub->retry_at == 0 || retry_at < pub->retry_at) {
        pub->retry_at = retry_at;
    }
    te_log(TE_LOG_WARNING, 0, "TE0504", "event %s failed (attempt %d) and is "
           "tried again in %d ms; the later events of its user wait: %s",
           s->row->event_id, attempts, (int)apr_time_as_msec(wait), error);
    return te_outbox_failed(pub->db, pub->round, s->row, wait, error);
}

static void note_transport(te_publisher_t *pub, int works, const char *error)
{
    if (works && te_breaker_succeeded(&pub->breaker)) {
        te_log(TE_LOG_NOTICE, 0, "TE0508", "the %s transport works again",
               pub->transport->name);
    }
    if (!works && te_breaker_failed(&pub->breaker, apr_time_now())) {
        te_log(TE_LOG_ERR, 0, "TE0507", "the %s transport does not take "
               "events; they wait in the outbox and it is tried again every "
               "%d ms: %s", pub->transport->name,
               (int)apr_time_as_msec(pub->settings->breaker_cooldown),
               error ? error : "no answer");
    }
}

/* Send one wave and settle it.
 * @param goes_on  per stream: cleared when its event was not taken
 * @param works    cleared when the transport as a whole did not work */
static te_db_err_e send_wave(te_publisher_t *pub, te_sending_t *wave,
                             const int *streams, int n, char *goes_on,
                             int *works)
{
    apr_array_header_t *accepted =
        apr_array_make(pub->round, n, sizeof(te_outbox_row_t *));
    const char *error = NULL;
    te_db_err_e err = TE_DB_OK;
    int i, taken = 0, unknown = 0;

    pub->transport->send(pub->transport, wave, n, pub->round);
    for (i = 0; i < n && err == TE_DB_OK; ++i) {
        switch (wave[i].result) {
        case TE_SENT_ACCEPTED:
            APR_ARRAY_PUSH(accepted, const te_outbox_row_t *) = wave[i].row;
            ++taken;
            continue;
        case TE_SENT_SETTLED:
            ++taken;
            continue;
        case TE_SENT_FAILED:
            err = event_failed(pub, &wave[i]);
            break;
        case TE_SENT_UNKNOWN:
            ++unknown;
            error = wave[i].error;
            break;
        }
        goes_on[streams[i]] = 0;
    }
    if (taken > 0 || unknown > 0) {
        note_transport(pub, unknown == 0, error);
    }
    *works = unknown == 0;
    if (accepted->nelts > 0 && err == TE_DB_OK) {
        te_db_renew(pub->db, BUDGET);
        err = te_outbox_accepted(pub->db, pub->round, accepted);
    }
    return err;
}

/* Send what was read, wave by wave: the first event of every stream, then
 * the second of those whose first was taken, and so on. */
static te_db_err_e send_rows(te_publisher_t *pub,
                             const apr_array_header_t *rows, int *works)
{
    int n = rows->nelts, streams = 0, depth, deepest = 0, i;
    apr_size_t room = (apr_size_t)n;
    int *stream_of = apr_palloc(pub->round, sizeof(int) * room);
    int *place_of = apr_palloc(pub->round, sizeof(int) * room);
    int *wave_streams = apr_palloc(pub->round, sizeof(int) * room);
    char *goes_on = apr_palloc(pub->round, room);
    te_sending_t *wave = apr_palloc(pub->round, sizeof *wave * room);
    te_db_err_e err = TE_DB_OK;

    for (i = 0; i < n; ++i) {
        if (i > 0 && same_stream(APR_ARRAY_IDX(rows, i, te_outbox_row_t *),
                                 APR_ARRAY_IDX(rows, i - 1,
                                               te_outbox_row_t *))) {
            stream_of[i] = stream_of[i - 1];
            place_of[i] = place_of[i - 1] + 1;
        }
        else {
            stream_of[i] = streams++;
            place_of[i] = 0;
        }
        deepest = place_of[i] > deepest ? place_of[i] : deepest;
    }
    memset(goes_on, 1, (apr_size_t)streams);
    *works = 1;
    for (depth = 0; depth <= deepest; ++depth) {
        int count = 0;

        for (i = 0; i < n; ++i) {
            if (place_of[i] == depth && goes_on[stream_of[i]]) {
                memset(&wave[count], 0, sizeof wave[count]);
                wave[count].row = APR_ARRAY_IDX(rows, i, te_outbox_row_t *);
                wave[count].result = TE_SENT_UNKNOWN;
                wave_streams[count++] = stream_of[i];
            }
        }
        if (count == 0 || (depth > 0 && is_stopping(pub))) {
            break;
        }
        err = send_wave(pub, wave, wave_streams, count, goes_on, works);
        if (err != TE_DB_OK || !*works) {
            break;
        }
    }
    return err;
}

/* --- draining ---------------------------------------------------------- */

static void remember_place(te_publisher_t *pub, const apr_array_header_t *rows)
{
    const te_outbox_row_t *last =
        APR_ARRAY_IDX(rows, rows->nelts - 1, const te_outbox_row_t *);

    apr_cpystrn(pub->last_user, last->user_id, sizeof pub->last_user);
    apr_cpystrn(pub->last_topic, last->topic, sizeof pub->last_topic);
    pub->after_user = pub->last_user;
    pub->after_topic = pub->last_topic;
}

static void start_over(te_publisher_t *pub)
{
    pub->after_user = pub->after_topic = "";
}

/* Publish until nothing is due in the shards we hold. */
static te_db_err_e drain(te_publisher_t *pub, const char *shards)
{
    te_db_err_e err = TE_DB_OK;
    apr_array_header_t *rows;
    int works = 1, probing;

    start_over(pub);
    while (!is_stopping(pub) && works
           && te_breaker_allows(&pub->breaker, apr_time_now())) {
        apr_pool_clear(pub->round);
        te_db_renew(pub->db, BUDGET);
        probing = pub->breaker.state == TE_BREAKER_HALF_OPEN;
        err = te_outbox_heads(pub->db, pub->round, shards, pub->after_user,
                              pub->after_topic,
                              probing ? 1 : STREAMS_PER_READ,
                              probing ? 1 : EVENTS_PER_STREAM, &rows);
        if (err != TE_DB_OK) {
            break;
        }
        if (rows->nelts == 0) {
            if (*pub->after_user == '\0') {
                break;
            }
            start_over(pub);
            continue;
        }
        remember_place(pub, rows);
        err = send_rows(pub, rows, &works);
        if (err != TE_DB_OK) {
            break;
        }
    }
    return err;
}

/* Whether anything is due anywhere: who found our shards locked went away in
 * the belief that we would see its row. */
static te_db_err_e look_again(te_publisher_t *pub, int *more)
{
    char all[TE_OUTBOX_SHARDS];
    apr_array_header_t *rows;
    te_db_err_e err;

    memset(all, 1, sizeof all);
    err = te_outbox_heads(pub->db, pub->round, all, "", "", 1, 1, &rows);
    *more = err == TE_DB_OK && rows->nelts > 0;
    return err;
}

static te_db_err_e publish(te_publisher_t *pub)
{
    char shards[TE_OUTBOX_SHARDS];
    te_db_err_e err = TE_DB_OK;
    int held, more = 1, round;

    for (round = 0; round < 2 && more && !is_stopping(pub)
                    && te_breaker_allows(&pub->breaker, apr_time_now());
         ++round) {
        te_db_renew(pub->db, BUDGET);
        err = te_outbox_lock(pub->db, shards, &held);
        if (err != TE_DB_OK || held == 0) {
            break;
        }
        err = drain(pub, shards);
        te_db_renew(pub->db, BUDGET);
        if (err != TE_DB_OK
            || (err = te_outbox_unlock(pub->db)) != TE_DB_OK) {
            break;
        }
        err = look_again(pub, &more);
        if (err != TE_DB_OK) {
            break;
        }
    }
    return err;
}

/* What may be forgotten is deleted a little at a time; that several children
 * do so at once costs nothing but the look. */
static te_db_err_e clean_up(te_publisher_t *pub)
{
    apr_time_t now = apr_time_now();

    if (now < pub->clean_at) {
        return TE_DB_OK;
    }
    pub->clean_at = now + HOUSEKEEPING;
    apr_pool_clear(pub->round);
    te_db_renew(pub->db, BUDGET);
    return te_keys_forget(pub->db, pub->round, pub->settings->keep_answers);
}

/* --- the thread -------------------------------------------------------- */

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *data)
{
    te_publisher_t *pub = data;
    te_db_err_e err;

    (void)thread;
    while (!is_stopping(pub)) {
        if (connection_ready(pub)) {
            err = publish(pub);
            if (err == TE_DB_OK && !is_stopping(pub)) {
                err = clean_up(pub);
            }
            if (err != TE_DB_OK) {
                drop_connection(pub, err);
            }
        }
        wait_for_bell(pub);
    }
    te_db_close(pub->db);
    return NULL;                /* not apr_thread_exit: it leaves the stack
                                 * by force, which sanitizers cannot follow */
}

apr_status_t te_publisher_start(te_publisher_t **out,
                                const te_settings_t *settings,
                                te_db_pool_t *ids, apr_pool_t *p)
{
    te_publisher_t *pub = apr_pcalloc(p, sizeof *pub);
    apr_status_t rv;

    pub->settings = settings;
    pub->ids = ids;
    pub->seed = (unsigned int)(apr_time_now() ^ ((apr_time_t)getpid() << 20));
    rv = apr_pool_create_unmanaged_ex(&pub->pool, NULL, NULL);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_pool_create(&pub->round, pub->pool);
    pub->db = te_db_standalone(pub->pool, &settings->db);
    te_breaker_init(&pub->breaker, settings->breaker_failures,
                    settings->breaker_cooldown);
    if ((rv = settings->transport == TE_TRANSPORT_LOCAL
                  ? te_transport_local(&pub->transport, settings, ids,
                                       pub->db, pub->pool)
                  : te_transport_dapr(&pub->transport, settings, pub->pool))
            != APR_SUCCESS
        || (rv = apr_thread_mutex_create(&pub->mutex,
                                         APR_THREAD_MUTEX_DEFAULT,
                                         pub->pool)) != APR_SUCCESS
        || (rv = apr_thread_cond_create(&pub->bell, pub->pool))
               != APR_SUCCESS) {
        apr_pool_destroy(pub->pool);
        return rv;
    }
    *out = pub;
    return apr_thread_create(&pub->thread, NULL, run, pub, p);
}

static void wake(te_publisher_t *pub)
{
    apr_thread_mutex_lock(pub->mutex);
    apr_thread_cond_signal(pub->bell);
    apr_thread_mutex_unlock(pub->mutex);
}

/* Who finds the bell rung already leaves the waking to who rang it: the
 * thread has not cleared the flag yet, so it still has to read. */
void te_publisher_ring(te_publisher_t *pub)
{
    if (apr_atomic_xchg32(&pub->rung, 1) == 0) {
        wake(pub);
    }
}

void te_publisher_stop(te_publisher_t *pub)
{
    apr_atomic_set32(&pub->stopping, 1);
    pub->transport->stop(pub->transport);
    wake(pub);
}

void te_publisher_join(te_publisher_t *pub)
{
    apr_status_t ended;

    if (pub->thread != NULL) {
        apr_thread_join(&ended, pub->thread);
        pub->thread = NULL;
        apr_pool_destroy(pub->pool);
    }
}
