/* The tests that need nothing but the library. */
#include "../../mod_taskevents/base/httpclient.h"
#include "../../mod_taskevents/base/json.h"
#include "cases.h"

int main(void)
{
    static TCase *(*const cases[])(void) = {
        timefmt_tests, text_tests, json_tests, uuid_tests, log_tests,
        flood_tests,
        webhook_tests, lines_tests,
        metrics_tests, trend_tests, html_tests, nonce_tests, pools_tests,
        fault_tests, task_read_tests, task_patch_tests, task_json_tests,
        event_tests,
        recurrence_tests, breaker_tests, bulk_tests, backoff_tests, store_tests,
        http_client_tests, http_failures_tests, transport_dapr_tests, NULL,
    };

    te_http_global_init();
    te_json_global_init();
    return unit_run("taskevents", cases);
}
