/* base/nonce: whose form it is, and for how long. */
#include <apr_strings.h>
#include <string.h>

#include "../../mod_taskevents/base/nonce.h"
#include "cases.h"

#define NOW apr_time_from_sec(1764000000)

static const unsigned char secret[TE_NONCE_SECRET_SIZE] = "a secret";
static const unsigned char other[TE_NONCE_SECRET_SIZE] = "b secret";

static int holds(const char *nonce, const char *whom, apr_time_t now)
{
    return te_nonce_holds(pool, secret, nonce, whom, now);
}

START_TEST(it_holds_for_who_asked_and_for_an_hour)
{
    const char *nonce = te_nonce_make(pool, secret, "user alice", NOW);

    ck_assert(holds(nonce, "user alice", NOW));
    ck_assert(holds(nonce, "user alice", NOW + TE_NONCE_LIFE));
    ck_assert(!holds(nonce, "user alice",
                     NOW + TE_NONCE_LIFE + apr_time_from_sec(1)));
    ck_assert(!holds(nonce, "user alice", NOW - apr_time_from_sec(1)));
    ck_assert(!holds(nonce, "user alic", NOW));
    ck_assert(!holds(nonce, "peer alice", NOW));
    ck_assert(!te_nonce_holds(pool, other, nonce, "user alice", NOW));
}
END_TEST

START_TEST(none_can_be_made_of_another)
{
    const char *nonce = te_nonce_make(pool, secret, "a", NOW);
    apr_size_t i;

    for (i = 0; i < strlen(nonce); ++i) {
        char *wrong = apr_pstrdup(pool, nonce);

        wrong[i] = wrong[i] == '0' ? '1' : '0';
        ck_assert(!holds(wrong, "a", NOW));
        wrong[i] = '\0';
        ck_assert(!holds(wrong, "a", NOW));
    }
    ck_assert(!holds(apr_pstrcat(pool, nonce, "0", NULL), "a", NOW));
    ck_assert(!holds("", "a", NOW));
    ck_assert(!holds("-", "a", NOW));
    ck_assert(!holds("ffffffffffffffffffff-0", "a", NOW));
    /* a part of the name cannot become a part of the time */
    ck_assert_str_ne(nonce + 13, te_nonce_make(pool, secret, "-a", NOW) + 13);
}
END_TEST

TCase *nonce_tests(void)
{
    TCase *tc = unit_case("nonce", 10);

    tcase_add_test(tc, it_holds_for_who_asked_and_for_an_hour);
    tcase_add_test(tc, none_can_be_made_of_another);
    return tc;
}
