/* Idempotency-Key (IETF draft-ietf-httpapi-idempotency-key-header): a POST
 * that comes twice is done once, and answered twice alike. */
#include <httpd.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#include "../base/uuid.h"
#include "reply.h"

#define KEY_MAX 255

/* A work between the claim of its key and the storing of its answer. */
typedef struct {
    te_work_fn *work;
    te_answer_fn *answer;
    void *data;
    te_key_state_e state;
    te_stored_answer_t stored;
    int ours;                           /* an earlier try of this request */
} keyed_t;

static te_db_err_e run_keyed(te_db_t *db, te_req_t *req, void *data,
                             int again)
{
    keyed_t *keyed = data;
    te_stored_answer_t *answer;
    te_db_err_e err = te_key_claim(db, req->pool, req->key,
                                   req->settings->keep_answers,
                                   &keyed->state, &keyed->stored);

    keyed->ours = again;
    if (err != TE_DB_OK || keyed->state != TE_KEY_NEW) {
        return err;             /* giving the connection back rolls back */
    }
    err = keyed->work(db, req, keyed->data, again);
    if (err != TE_DB_OK) {
        return err;
    }
    answer = keyed->answer(req, keyed->data);
    return answer == NULL ? TE_DB_OK
                          : te_key_answer(db, req->pool, req->key, answer);
}

static int replay(te_req_t *req, const keyed_t *keyed)
{
    apr_table_t *out = req->r->headers_out;
    const te_stored_answer_t *stored = &keyed->stored;

    if (keyed->ours) {
        te_request_wrote(req);
    }
    else {
        apr_table_setn(out, "Idempotent-Replayed", "true");
        te_request_note(req, "outcome", "replayed");
    }
    return te_reply_answer(req, stored);
}

/* Printable ASCII; spaces inside are fine. */
static int is_key(const char *text)
{
    apr_size_t n = strlen(text), i;

    for (i = 0; i < n; ++i) {
        if (text[i] < ' ' || text[i] > '~') {
            return 0;
        }
    }
    return n >= 1 && n <= KEY_MAX;
}

static const te_key_t *key_of(te_req_t *req, const char *text)
{
    te_key_t *key = apr_pcalloc(req->pool, sizeof *key);

    key->user_id = req->match.user_id;
    key->scope = apr_pstrcat(req->pool, req->r->method, " ", req->r->uri,
                             NULL);
    key->key = text;
    key->fingerprint = te_uuid_of_bytes(req->pool,
                                        req->body ? req->body : "",
                                        req->body_size);
    return key;
}

int te_request_post(te_req_t *req, te_shortcut_fn *shortcut,
                    te_work_fn *work, te_answer_fn *answer, void *data)
{
    const char *text = apr_table_get(req->r->headers_in, "Idempotency-Key");
    keyed_t keyed;

    if (text == NULL) {
        return te_request_work_or(req, shortcut, work, data) ? OK : DONE;
    }
    if (!is_key(text)) {
        return te_reply_problem(req, HTTP_BAD_REQUEST,
                                "Idempotency-Key must have 1 to 255 "
                                "printable characters.");
    }
    memset(&keyed, 0, sizeof keyed);
    keyed.work = work;
    keyed.answer = answer;
    keyed.data = data;
    req->key = key_of(req, text);
    if (!te_request_work(req, run_keyed, &keyed)) {
        return DONE;
    }
    switch (keyed.state) {
    case TE_KEY_RUNNING:
        apr_table_setn(req->r->headers_out, "Retry-After", "1");
        return te_reply_problem(req, HTTP_CONFLICT, "A request with this "
                                "Idempotency-Key is still under way.");
    case TE_KEY_OTHER:
        return te_reply_problem(req, HTTP_UNPROCESSABLE_ENTITY,
                                "This Idempotency-Key was used with another "
                                "body.");
    case TE_KEY_ANSWERED:
        return replay(req, &keyed);
    case TE_KEY_NEW:
        break;
    }
    return OK;
}
