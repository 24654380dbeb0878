/* Answers: JSON, problem+json (RFC 9457), nothing. Each sends the whole
 * response and returns DONE, so that a handler may `return te_reply_…`. */
#ifndef TE_HTTP_REPLY_H
#define TE_HTTP_REPLY_H

#include <httpd.h>
#include <jansson.h>

#include "../core/fault.h"
#include "request.h"

/* value is released when the request ends. */
int te_reply_json(te_req_t *req, int status, json_t *value);

/* JSON text. */
int te_reply_text(te_req_t *req, int status, const char *json);

/* An answer that is kept for repeats, with its ETag and Location. */
int te_reply_answer(te_req_t *req, const te_stored_answer_t *answer);

/* An error with a sentence for the client. */
int te_reply_problem(te_req_t *req, int status, const char *detail);

/* 422 (or another status) with every fault at once. */
int te_reply_faults(te_req_t *req, int status, const char *detail,
                    const apr_array_header_t *faults);

/* 503 with Retry-After: the database cannot be used, for this reason. */
int te_reply_unavailable(te_req_t *req, te_db_err_e err);

/* A status without a body (200, 204, 304, 500 …). */
int te_reply_empty(te_req_t *req, int status);

/* The text of a problem, for those who send it themselves. */
const char *te_problem_text(request_rec *r, int status, const char *detail,
                            const apr_array_header_t *faults);

/* A sentence for a status that httpd itself came to. */
const char *te_problem_detail(int status);

#endif
