/* Pages for people, of what is below the status handler: the frame around
 * them, the headers that guard them, and their forms. */
#ifndef TE_HTTP_PAGE_H
#define TE_HTTP_PAGE_H

#include "../base/html.h"
#include "request.h"

/* Whether a request of the status handler is one of a person in a browser: by
 * `format=html`, an Accept header that likes HTML better than JSON, or a form
 * that is sent. */
int te_page_wanted(request_rec *r);

/* Headers of all answers of the status handler: no cache, no frame, no guess
 * of the type, and of a page only our own style and script. */
void te_page_guard(request_rec *r, int is_page);

/* Make the secret of the forms. In post_config; kept over graceful restarts,
 * so that a page stays good. */
apr_status_t te_page_secret(void);

typedef enum { TE_PAGE_OVERVIEW, TE_PAGE_LETTERS, TE_PAGE_OTHER } te_page_e;

/* Begin a page.
 * @param title    what it shows
 * @param refresh  seconds until it looks again; 0: it stays */
void te_page_start(te_req_t *req, te_html_t *html, te_page_e which,
                   const char *title, int refresh);

/* End it and send it. @return DONE */
int te_page_send(te_req_t *req, te_html_t *html, int status);

/* An error as a page. faults: NULL or all that is wrong. @return DONE */
int te_page_problem(te_req_t *req, int status, const char *detail,
                    const apr_array_header_t *faults);

/* See that other page: the answer to a form. @return DONE */
int te_page_see(te_req_t *req, const char *path);

/* Begin a form that posts to path: <form> and the proof that it is ours and
 * this user's; the caller closes it. */
void te_page_form(te_req_t *req, te_html_t *html, const char *path);

/* Read such a form: its fields as an object of strings, the proof checked and
 * taken out.
 * @return OK; else what the handler must return, an answer was sent */
int te_page_read_form(te_req_t *req, json_t **fields);

/* Who it is that asks: the name for what is remembered, and the address for
 * the log, NULL when it is the name. */
void te_page_operator(const te_req_t *req, const char **name,
                      const char **peer);

/* A command was refused, which is worth a line in the log. */
void te_page_tell_refused(te_req_t *req, const char *why);

/* Numbers as people read them, in p: 12,345; 3.2 ms; 2 h 5 min. */
const char *te_page_count(apr_pool_t *p, apr_int64_t n);
const char *te_page_duration(apr_pool_t *p, double seconds);

/* "3 min ago" or "in 3 min", with the time itself in <time>. */
void te_page_time(te_html_t *html, apr_time_t t, apr_time_t now);

#endif
