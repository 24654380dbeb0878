#include "nonce.h"

#include <apr_escape.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <openssl/hmac.h>
#include <string.h>

#include "text.h"

/* The seconds, as many digits each time, come first: no name can be taken for
 * a part of them. */
static const char *signed_time(apr_pool_t *p, const unsigned char *secret,
                               const char *seconds, const char *whom)
{
    const char *text = apr_pstrcat(p, seconds, "-", whom, NULL);
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned int size = 0;

    if (HMAC(EVP_sha256(), secret, TE_NONCE_SECRET_SIZE,
             (const unsigned char *)text, strlen(text), mac, &size) == NULL) {
        return NULL;
    }
    return apr_pstrcat(p, seconds, "-",
                       apr_pescape_hex(p, mac, size, 0), NULL);
}

const char *te_nonce_make(apr_pool_t *p, const unsigned char *secret,
                          const char *whom, apr_time_t now)
{
    return signed_time(p, secret,
                       apr_psprintf(p, "%012" APR_UINT64_T_HEX_FMT,
                                    (apr_uint64_t)apr_time_sec(now)), whom);
}

int te_nonce_holds(apr_pool_t *p, const unsigned char *secret,
                   const char *nonce, const char *whom, apr_time_t now)
{
    apr_size_t n = strcspn(nonce, "-");
    const char *seconds = apr_pstrmemdup(p, nonce, n), *made;
    apr_time_t since;

    if (n != 12 || strspn(seconds, "0123456789abcdef") != n) {
        return 0;
    }
    made = signed_time(p, secret, seconds, whom);
    if (made == NULL || !te_text_same_secret(made, nonce)) {
        return 0;
    }
    /* of ours, and so a time that there is: 12 digits may say more */
    since = now - apr_time_from_sec(apr_strtoi64(seconds, NULL, 16));
    return since >= 0 && since <= TE_NONCE_LIFE;
}
