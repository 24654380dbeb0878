#include <apr_strings.h>
#include <string.h>

#include "effects.h"
#include "transport.h"

#define HANDLING_BUDGET apr_time_from_sec(3)
#define WAVE_BYTES (1024 * 1024)

typedef struct {
    te_transport_t base;
    const te_settings_t *settings;
    te_db_pool_t *ids;
    te_db_t *db;
} local_t;

/* The handler's transaction also removes the row, so an event is handled or
 * still in the outbox, never neither. */
static void handle(local_t *local, te_sending_t *sending, apr_pool_t *p)
{
    te_delivery_t delivery;
    te_event_outcome_e outcome;
    te_db_err_e err;
    int followed;

    memset(&delivery, 0, sizeof delivery);
    delivery.bytes = sending->row->event;
    delivery.size = sending->row->event_size;
    delivery.full_size = (apr_off_t)sending->row->event_size;
    delivery.topic = sending->row->topic;
    delivery.row = sending->row;
    te_db_renew(local->db, HANDLING_BUDGET);
    err = te_event_handle(local->settings, local->ids, local->db, p,
                          &delivery, &outcome, &followed);
    if (err == TE_DB_OK) {
        sending->result = TE_SENT_SETTLED;
        return;
    }
    /* a copy: what is called next with the connection clears its own */
    sending->error = apr_pstrdup(p, te_db_error(local->db));
    sending->reason = "database";
    sending->result = err == TE_DB_AWAY || err == TE_DB_LOST
                          ? TE_SENT_UNKNOWN : TE_SENT_FAILED;
}

typedef struct {
    te_sending_t *wave;
    int n;
    apr_pool_t *pool;
} begun_t;

/* Nothing goes on by itself here: the end does it all. */
static void *local_begin(te_transport_t *transport, te_sending_t *wave, int n,
                         apr_pool_t *p)
{
    begun_t *begun = apr_palloc(p, sizeof *begun);

    (void)transport;
    begun->wave = wave;
    begun->n = n;
    begun->pool = p;
    return begun;
}

static void local_end(te_transport_t *transport, void *data)
{
    begun_t *begun = data;
    int i;

    for (i = 0; i < begun->n; ++i) {
        handle((local_t *)transport, &begun->wave[i], begun->pool);
    }
}

static int local_wait_for(te_transport_t *transport, void *const *begun,
                          int n)
{
    int i = 0;

    (void)transport;
    while (i < n - 1 && begun[i] == NULL) {
        ++i;
    }
    return i;
}

/* 1 s, 2 s, 4 s. */
static apr_interval_time_t local_backoff(int attempts, unsigned int chance)
{
    (void)chance;
    return apr_time_from_sec(1) << (attempts < 3 ? attempts - 1 : 2);
}

static void local_stop(te_transport_t *transport)
{
    (void)transport;            /* a handler has its own, short budget */
}

apr_status_t te_transport_local(te_transport_t **out,
                                const te_settings_t *settings,
                                te_db_pool_t *ids, te_db_t *db,
                                apr_pool_t *p)
{
    local_t *local = apr_pcalloc(p, sizeof *local);

    local->base.name = "local";
    local->base.max_attempts = 3;
    local->base.stage = "handle";
    local->base.side_by_side = 1;
    local->base.bytes = WAVE_BYTES;
    local->base.begin = local_begin;
    local->base.wait_for = local_wait_for;
    local->base.end = local_end;
    local->base.backoff = local_backoff;
    local->base.longest_wait_alone = local_backoff(3, 0);
    local->base.stop = local_stop;
    local->settings = settings;
    local->ids = ids;
    local->db = db;
    *out = &local->base;
    return APR_SUCCESS;
}
