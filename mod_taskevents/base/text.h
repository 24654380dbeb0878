/* Text in UTF-8, by libunistring where Unicode matters. */
#ifndef TE_BASE_TEXT_H
#define TE_BASE_TEXT_H

#include <apr_pools.h>

/* Number of characters (code points); text is valid UTF-8. */
apr_size_t te_text_length(const char *text);

/* text without the white space (Unicode's) at both ends, in p. */
const char *te_text_trim(apr_pool_t *p, const char *text);

/* text for a log line: cut at 64 bytes, "?" for what is not printable ASCII.
 * In p. */
const char *te_text_printable(apr_pool_t *p, const char *text);

/* @return 1 when a and b differ at most in case (Unicode case folding) */
int te_text_same_ignoring_case(const char *a, const char *b);

/* @return 1 when secret and given are the same bytes; the time taken tells
 * only their lengths */
int te_text_same_secret(const char *secret, const char *given);

/* base64url without padding (RFC 4648 section 5), in p; decode returns NULL
 * on anything else, a NUL byte inside included. */
const char *te_text_base64url(apr_pool_t *p, const char *text);
const char *te_text_unbase64url(apr_pool_t *p, const char *text);

/* A whole positive decimal number without sign or leading zero, below 2^63.
 * @return 1 and *out set, or 0 */
int te_text_to_id(const char *text, apr_int64_t *out);

#endif
