/* Proofs that a form is one of ours and was made for who sends it: the time
 * and an HMAC-SHA256 over it and a name, by OpenSSL. */
#ifndef TE_BASE_NONCE_H
#define TE_BASE_NONCE_H

#include <apr_pools.h>
#include <apr_time.h>

#define TE_NONCE_SECRET_SIZE 32

/* How long one holds: a page may be read for a while before it is used. */
#define TE_NONCE_LIFE apr_time_from_sec(3600)

/* Hexadecimal digits and "-", in p.
 * @param secret  TE_NONCE_SECRET_SIZE bytes
 * @param whom    who may use it */
const char *te_nonce_make(apr_pool_t *p, const unsigned char *secret,
                          const char *whom, apr_time_t now);

/* @return 1 when nonce was made with this secret for whom, and still holds */
int te_nonce_holds(apr_pool_t *p, const unsigned char *secret,
                   const char *nonce, const char *whom, apr_time_t now);

#endif
