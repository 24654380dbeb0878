/* HTML put together in a pool. What is not a constant of ours is escaped:
 * there is no other way to put it in. */
#ifndef TE_BASE_HTML_H
#define TE_BASE_HTML_H

#include "json.h"

typedef struct te_html_t {
    apr_pool_t *pool;
    te_json_out_t out;
} te_html_t;

void te_html_start(te_html_t *html, apr_pool_t *p, apr_size_t room);

/* Markup with values in it, as printf: %s is text, escaped for an element's
 * content and for an attribute in double quotes (NULL: nothing); %d, %ld and
 * %.1f are numbers; %% a percent sign. */
void te_html_put(te_html_t *html, const char *markup, ...)
    __attribute__((format(printf, 2, 3)));

/* Text of any bytes, NUL included, escaped as %s is. */
void te_html_text(te_html_t *html, const char *bytes, apr_size_t size);

/* The bytes so that they can be looked at, in p: & < > " ' as references,
 * what is no UTF-8 and what cannot be seen (control characters but newline
 * and tab, marks that turn the direction of text) by its number. */
const char *te_html_escape(apr_pool_t *p, const char *bytes, apr_size_t size);

/* All of it, ended by a zero byte. */
const char *te_html_end(te_html_t *html);

#endif
