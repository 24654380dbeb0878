/* POST /job/{name}: the time of a reminder's job has come. */
#include <httpd.h>
#include <http_protocol.h>
#include <string.h>

#include "../base/log.h"
#include "../base/text.h"
#include "../base/uuid.h"
#include "../core/jobs.h"
#include "../core/sweep.h"
#include "reply.h"
#include "resources.h"

typedef struct {
    const char *reminder_id;
    te_fired_e fired;
    int wrote;
} callback_t;

static te_db_err_e fire(te_db_t *db, te_req_t *req, void *data, int again)
{
    callback_t *callback = data;

    (void)again;                /* the reminder's state tells */
    return te_sweep_one(req->settings, db, req->pool, callback->reminder_id,
                        &callback->fired, &callback->wrote);
}

/* The scheduler keeps a job until it is answered 2xx, or 404, which is never
 * given here: to Dapr that is "done", too. What it sent as the job's data is
 * not looked at, for the row knows. */
int te_job_route(te_req_t *req)
{
    apr_size_t n = sizeof TE_JOB_PREFIX - 1;
    callback_t callback;
    te_db_err_e err;

    if (req->settings->transport == TE_TRANSPORT_LOCAL) {
        return te_reply_problem(req, HTTP_NOT_FOUND,
                                te_problem_detail(HTTP_NOT_FOUND));
    }
    if (strncmp(req->match.id, TE_JOB_PREFIX, n) != 0
        || !te_uuid_valid(req->match.id + n)) {
        te_log(TE_LOG_INFO, 0, "TE0703", "a job that is none of ours was "
               "acknowledged and ignored: %s",
               te_text_printable(req->pool, req->match.id));
        te_request_note(req, "outcome", "ignored");
        return te_reply_empty(req, HTTP_OK);
    }
    memset(&callback, 0, sizeof callback);
    callback.reminder_id = req->match.id + n;
    err = te_request_try(req, fire, &callback);
    if (err != TE_DB_OK) {
        te_log(TE_LOG_WARNING, 0, "TE0704", "the job of a reminder was not "
               "carried out (database: %s); the scheduler calls again: "
               "reminder %s", te_db_err_name(err), callback.reminder_id);
        te_request_note(req, "outcome", "failed");
        return te_reply_empty(req, HTTP_SERVICE_UNAVAILABLE);
    }
    te_request_note(req, "outcome",
                    callback.fired == TE_FIRED_DONE ? "done" : "failed");
    if (callback.wrote) {
        te_request_wrote(req);
    }
    return te_reply_empty(req, callback.fired == TE_FIRED_DONE
                                   ? HTTP_OK : HTTP_SERVICE_UNAVAILABLE);
}
