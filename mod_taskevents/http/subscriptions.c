/* What the Dapr sidecar asks for at its start: /dapr/subscribe. */
#include <httpd.h>
#include <apr_strings.h>

#include "reply.h"
#include "resources.h"

/* Of a batch: as many as daprd may have of the largest events within its 4 MiB
 * for a request, and no longer than an event can wait for others. A partition
 * with a backlog fills its batches at once. */
#define BULK_EVENTS 100
#define BULK_AWAIT_MS 10
/* Nobody notices that of a reminder, and many in one minute, which a partition
 * brings evenly, make batches that are worth it. */
#define BULK_AWAIT_REMINDERS_MS 50

static json_t *bulk(te_topic_e topic)
{
    return json_pack("{s:b,s:i,s:i}", "enabled", 1, "maxMessagesCount",
                     BULK_EVENTS, "maxAwaitDurationMs",
                     topic == TE_TOPIC_REMINDERS ? BULK_AWAIT_REMINDERS_MS
                                                 : BULK_AWAIT_MS);
}

static json_t *subscription(te_req_t *req, te_topic_e topic,
                            const char *route)
{
    const te_settings_t *settings = req->settings;
    json_t *json = json_pack("{s:s,s:s,s:s}", "pubsubname", settings->pubsub,
                             "topic", settings->topics[topic], "route",
                             apr_pstrcat(req->pool, req->conf->prefix, route,
                                         NULL));

    if (topic != TE_TOPIC_DEAD_LETTERS) {
        json_object_set_new(json, "deadLetterTopic", json_string(
            settings->topics[TE_TOPIC_DEAD_LETTERS]));
        if (settings->bulk == TE_BULK_ALL
            || (settings->bulk == TE_BULK_REMINDERS
                && topic == TE_TOPIC_REMINDERS)) {
            json_object_set_new(json, "bulkSubscribe", bulk(topic));
        }
    }
    return json;
}

/* Asked once in a sidecar's life: no database in here. */
int te_subscribe(te_req_t *req)
{
    json_t *all;

    if (req->settings->transport == TE_TRANSPORT_LOCAL) {
        return te_reply_problem(req, HTTP_NOT_FOUND,
                                te_problem_detail(HTTP_NOT_FOUND));
    }
    all = json_array();
    json_array_append_new(all, subscription(req, TE_TOPIC_TASKS,
                                            "/events/tasks"));
    json_array_append_new(all, subscription(req, TE_TOPIC_REMINDERS,
                                            "/events/reminders"));
    json_array_append_new(all, subscription(req, TE_TOPIC_DEAD_LETTERS,
                                            "/events/dead-letters"));
    return te_reply_json(req, HTTP_OK, all);
}
