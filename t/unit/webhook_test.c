/* Signatures of Standard Webhooks. */
#include "../../mod_taskevents/base/webhook.h"

#include <string.h>

#include "cases.h"

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

/* The example that libraries of Standard Webhooks verify themselves with. */
START_TEST(the_known_message_has_the_known_signature)
{
    te_webhook_secret_t secret;

    ck_assert(te_webhook_secret(pool, SECRET, &secret));
    ck_assert_uint_eq(secret.size, 24);
    ck_assert_str_eq(te_webhook_sign(pool, &secret,
                                     "msg_p5jXN8AQM9LWM0D4loKWxJek",
                                     "1614265330", "{\"test\": 2432232314}"),
                     "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}
END_TEST

static const char *const no_secrets[] = {
    "", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    /* 23 bytes, 65 bytes, another alphabet, padding left out, and blanks */
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaQ=",
    ("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa_-",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAA",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw ",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2La%LaSw",
};

START_TEST(what_is_no_secret_is_refused)
{
    te_webhook_secret_t secret;

    ck_assert(!te_webhook_secret(pool, no_secrets[_i], &secret));
}
END_TEST

START_TEST(every_part_is_signed)
{
    te_webhook_secret_t secret, other;
    const char *signature;

    ck_assert(te_webhook_secret(pool, SECRET, &secret));
    ck_assert(te_webhook_secret(pool,
                                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx",
                                &other));
    signature = te_webhook_sign(pool, &secret, "a", "1", "b");
    ck_assert_str_ne(signature, te_webhook_sign(pool, &secret, "c", "1",
                                                "b"));
    ck_assert_str_ne(signature, te_webhook_sign(pool, &secret, "a", "2",
                                                "b"));
    ck_assert_str_ne(signature, te_webhook_sign(pool, &secret, "a", "1",
                                                "c"));
    ck_assert_str_ne(signature, te_webhook_sign(pool, &other, "a", "1", "b"));
}
END_TEST

TCase *webhook_tests(void)
{
    TCase *tc = unit_case("webhook", 10);

    tcase_add_test(tc, the_known_message_has_the_known_signature);
    tcase_add_loop_test(tc, what_is_no_secret_is_refused, 0,
                        (int)(sizeof no_secrets / sizeof no_secrets[0]));
    tcase_add_test(tc, every_part_is_signed);
    return tc;
}
