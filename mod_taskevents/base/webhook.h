/* Signatures of Standard Webhooks (standard-webhooks/standard-webhooks,
 * spec/standard-webhooks.md 1.0.0): HMAC-SHA256, by OpenSSL. */
#ifndef TE_BASE_WEBHOOK_H
#define TE_BASE_WEBHOOK_H

#include <apr_pools.h>

/* What a secret has, in bytes. */
#define TE_WEBHOOK_SECRET_MIN 24
#define TE_WEBHOOK_SECRET_MAX 64

typedef struct te_webhook_secret_t {
    const unsigned char *bytes;         /* NULL: there is none */
    apr_size_t size;
} te_webhook_secret_t;

/* Read "whsec_" and base64.
 * @return 1 and *secret set, in p; 0 when the text is something else */
int te_webhook_secret(apr_pool_t *p, const char *text,
                      te_webhook_secret_t *secret);

/* "v1,<base64>" of "id.timestamp.body", in p; NULL when OpenSSL refuses.
 * @param timestamp  seconds since 1970, as the header says them */
const char *te_webhook_sign(apr_pool_t *p, const te_webhook_secret_t *secret,
                            const char *id, const char *timestamp,
                            const char *body);

#endif
