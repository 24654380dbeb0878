/* Bulk deliveries: taken apart whatever is in them, and answered by entry. */
#include <apr_strings.h>
#include <string.h>

#include "../../mod_taskevents/core/bulk.h"
#include "cases.h"

#define BULK(entries) "{\"id\":\"7f1d\",\"entries\":[" entries "]," \
    "\"metadata\":{\"a\":[\"}\",{}]},\"pubsubname\":\"kafka-pubsub\"," \
    "\"topic\":\"tasks\",\"type\":\"com.dapr.event.sent.bulk\"}"
#define ENTRY(id, event) "{\"entryId\":\"" id "\",\"event\":" event "," \
    "\"contentType\":\"application/cloudevents+json\",\"metadata\":null}"

/* "id=event;" of each entry. */
static const char *parsed(const char *text)
{
    apr_size_t n = strlen(text);
    char *bytes = apr_pmemdup(pool, text, n);   /* no zero byte behind */
    apr_array_header_t *entries = te_bulk_parse(pool, bytes, n);
    const char *all = "";
    int i;

    for (i = 0; entries != NULL && i < entries->nelts; ++i) {
        te_bulk_entry_t *e = &APR_ARRAY_IDX(entries, i, te_bulk_entry_t);

        all = apr_pstrcat(pool, all, e->id ? e->id : "?", "=",
                          apr_pstrmemdup(pool, e->event, e->size), ";", NULL);
    }
    return entries ? all : NULL;
}

static const struct {
    const char *text, *entries;
} bulks[] = {
    {BULK(ENTRY("0", "{\"a\":1}") "," ENTRY("1", "{}")), "0={\"a\":1};1={};"},
    {"  { \"type\" : \"com.dapr.event.sent.bulk\" , \"entries\" : [ { "
     "\"event\" : { \"x\" : [ 1 , 2 ] } , \"entryId\" : \"a\" } , 7 ] } ",
     "a={ \"x\" : [ 1 , 2 ] };?=;"},
    /* brackets and quotes within strings */
    {BULK(ENTRY("0", "{\"t\":\"}]\\\",{\\\\\"}")), "0={\"t\":\"}]\\\",{\\\\\"};"},
    /* what is no object is somebody's event all the same */
    {BULK(ENTRY("0", "null") "," ENTRY("1", "\"QUJD\"") "," ENTRY("2", "-1.5e3")
          "," ENTRY("3", "[[]]")), "0=null;1=\"QUJD\";2=-1.5e3;3=[[]];"},
    {BULK(ENTRY("a\\u0041\\\"", "{}")), "aA\"={};"},
    {BULK("{\"entryId\":1,\"event\":{}},{\"entryId\":\"x\"},{}"),
     "?={};x=;?=;"},
    /* one entry that is no good JSON leaves the others readable */
    {BULK(ENTRY("0", "{\"a\":\"\\u0000\"}") "," ENTRY("1", "{\"a\":1,\"a\":2}")
          "," ENTRY("2", "{\"b\":tru}") "," ENTRY("3", "{\"ok\":1}")),
     "0={\"a\":\"\\u0000\"};1={\"a\":1,\"a\":2};2={\"b\":tru};3={\"ok\":1};"},
    /* broken ones have what can be read of them */
    {BULK(""), ""},
    {"{\"type\":\"com.dapr.event.sent.bulk\"}", ""},
    {"{\"type\":\"com.dapr.event.sent.bulk\",\"entries\":{}}", ""},
    {"{\"type\":\"com.dapr.event.sent.bulk\",\"entries\":null}", ""},
    {"{\"type\":\"com.dapr.event.sent.bulk\",\"entries\":[" ENTRY("0", "{}"),
     ""},
    /* and these are none */
    {"", NULL},
    {"x", NULL},
    {"[\"com.dapr.event.sent.bulk\"]", NULL},
    {"{\"type\":\"task.created\",\"data\":{\"title\":"
     "\"com.dapr.event.sent.bulk\"}}", NULL},
    {"{\"data\":{\"type\":\"com.dapr.event.sent.bulk\",\"entries\":[]}}",
     NULL},
    {"{\"specversion\":\"1.0\",\"type\":\"com.dapr.event.sent.bulk\"}", NULL},
    {"{\"type\":\"com.dapr.event.sent.bulk", NULL},
};

START_TEST(the_entries_of_a_bulk_delivery_are_found)
{
    const char *found = parsed(bulks[_i].text);

    if (bulks[_i].entries == NULL) {
        ck_assert_ptr_null(found);
    }
    else {
        ck_assert_ptr_nonnull(found);
        ck_assert_str_eq(found, bulks[_i].entries);
    }
}
END_TEST

START_TEST(an_event_too_deep_for_a_parser_hides_no_other)
{
    char *deep = apr_palloc(pool, 20001);

    memset(deep, '[', 10000);
    memset(deep + 10000, ']', 10000);
    deep[20000] = '\0';
    ck_assert_str_eq(
        parsed(apr_pstrcat(pool, "{\"type\":\"com.dapr.event.sent.bulk\","
                           "\"entries\":[{\"entryId\":\"0\",\"event\":", deep,
                           "}," ENTRY("1", "{}") "]}", NULL)),
        apr_pstrcat(pool, "0=", deep, ";1={};", NULL));
}
END_TEST

/* Cut anywhere, or with any byte changed, it is taken apart without harm. */
START_TEST(any_bytes_are_survived)
{
    static const char whole[] =
        BULK(ENTRY("0", "{\"a\":[\"\\\"\"]}") "," ENTRY("1", "{}"));
    static const char bytes[] = "{}[]\",:\\ a";
    apr_size_t i, j;

    for (i = 0; i < sizeof whole - 1; ++i) {
        char *text = apr_pmemdup(pool, whole, i);

        te_bulk_parse(pool, text, i);
        for (j = 0; j < sizeof bytes; ++j) {
            text = apr_pmemdup(pool, whole, sizeof whole - 1);
            text[i] = bytes[j];
            te_bulk_parse(pool, text, sizeof whole - 1);
        }
    }
}
END_TEST

START_TEST(each_entry_with_an_id_has_its_status)
{
    static const char text[] =
        BULK(ENTRY("0", "{}") "," ENTRY("b\\\"", "{}") ",{\"event\":{}},"
             ENTRY("2", "{}"));
    apr_array_header_t *entries = te_bulk_parse(pool, text, sizeof text - 1);
    static const char done[] = {1, 0, 1, 1};

    ck_assert_str_eq(te_bulk_answer(pool, entries, done),
                     "{\"statuses\":[{\"entryId\":\"0\",\"status\":\"SUCCESS\"},"
                     "{\"entryId\":\"b\\\"\",\"status\":\"RETRY\"},"
                     "{\"entryId\":\"2\",\"status\":\"SUCCESS\"}]}");
}
END_TEST

TCase *bulk_tests(void)
{
    TCase *c = unit_case("bulk", 10);

    tcase_add_loop_test(c, the_entries_of_a_bulk_delivery_are_found, 0,
                        sizeof bulks / sizeof bulks[0]);
    tcase_add_test(c, an_event_too_deep_for_a_parser_hides_no_other);
    tcase_add_test(c, any_bytes_are_survived);
    tcase_add_test(c, each_entry_with_an_id_has_its_status);
    return c;
}
