#include "webhook.h"

#include <apr_encode.h>
#include <apr_strings.h>
#include <openssl/hmac.h>
#include <string.h>

#define PREFIX "whsec_"

int te_webhook_secret(apr_pool_t *p, const char *text,
                      te_webhook_secret_t *secret)
{
    apr_size_t n = sizeof PREFIX - 1, size = 0;

    if (strncmp(text, PREFIX, n) != 0) {
        return 0;
    }
    text += n;
    secret->bytes = apr_pdecode_base64_binary(p, text, APR_ENCODE_STRING,
                                              APR_ENCODE_NONE, &size);
    secret->size = size;
    /* apr reads more spellings than one; receivers may not */
    return secret->bytes != NULL && size >= TE_WEBHOOK_SECRET_MIN
           && size <= TE_WEBHOOK_SECRET_MAX
           && strcmp(apr_pencode_base64_binary(p, secret->bytes,
                                               (apr_ssize_t)size,
                                               APR_ENCODE_NONE, NULL),
                     text) == 0;
}

const char *te_webhook_sign(apr_pool_t *p, const te_webhook_secret_t *secret,
                            const char *id, const char *timestamp,
                            const char *body)
{
    const char *text = apr_pstrcat(p, id, ".", timestamp, ".", body, NULL);
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned int size = 0;

    if (HMAC(EVP_sha256(), secret->bytes, (int)secret->size,
             (const unsigned char *)text, strlen(text), mac, &size) == NULL) {
        return NULL;
    }
    return apr_pstrcat(p, "v1,",
                       apr_pencode_base64_binary(p, mac, (apr_ssize_t)size,
                                                 APR_ENCODE_NONE, NULL),
                       NULL);
}
