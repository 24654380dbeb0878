#include "unit.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <apr_time.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

apr_pool_t *pool;

static apr_uint64_t state = 1;

static void begin(void)
{
    apr_pool_create(&pool, NULL);
}

static void end(void)
{
    apr_pool_destroy(pool);
    pool = NULL;
}

TCase *unit_case(const char *name, double seconds)
{
    TCase *c = tcase_create(name);

    tcase_add_checked_fixture(c, begin, end);
    tcase_set_timeout(c, seconds);
    return c;
}

int unit_run(const char *suite, TCase *(*const cases[])(void))
{
    Suite *s = suite_create(suite);
    SRunner *runner;
    int i, failed;

    apr_initialize();
    for (i = 0; cases[i] != NULL; ++i) {
        suite_add_tcase(s, cases[i]());
    }
    runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    apr_terminate();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

unsigned int unit_seed(void)
{
    const char *given = getenv("TASKEVENTS_TEST_SEED");
    unsigned int seed = given != NULL
                            ? (unsigned int)strtoul(given, NULL, 10)
                            : (unsigned int)apr_time_now();

    printf("TASKEVENTS_TEST_SEED=%u\n", seed);
    fflush(stdout);
    state = 2 * (apr_uint64_t)seed + 1;
    return seed;
}

/* xorshift64* */
apr_uint64_t unit_random(apr_uint64_t n)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * APR_UINT64_C(2685821657736338717)) % n;
}

const char *unit_nasty_text(int n)
{
    static const char *const parts[] = {
        "\"", "\\", ",", "{", "}", "'", " ", "\t", "\n", "NULL", "null", "a",
        "Z", "0", "$1", "%s", "--", ";", "\\\\\"", "\x01", "\x7f", "é", "ß",
        "日本", "😀", "\xc2\xa0", "\xe2\x80\xa8", "\xef\xbf\xbf", "://",
    };
    const apr_uint64_t count = sizeof parts / sizeof parts[0];
    char *text = apr_palloc(pool, (apr_size_t)n + 1);
    apr_size_t used = 0;
    int left = (int)unit_random((apr_uint64_t)n + 1);

    for (; left > 0; --left) {
        const char *part = parts[unit_random(count)];

        if (used + strlen(part) > (apr_size_t)n) {
            break;
        }
        memcpy(text + used, part, strlen(part));
        used += strlen(part);
    }
    text[used] = '\0';
    return text;
}

apr_array_header_t *unit_texts(const char *first, ...)
{
    apr_array_header_t *texts = apr_array_make(pool, 4, sizeof(const char *));
    const char *text;
    va_list ap;

    va_start(ap, first);
    for (text = first; text != NULL; text = va_arg(ap, const char *)) {
        APR_ARRAY_PUSH(texts, const char *) = text;
    }
    va_end(ap);
    return texts;
}
