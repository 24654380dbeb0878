/* bare URL TOKEN FILE [BATCH [FLIGHTS]]: publishes the events of the file (a
 * line each: id, tab, user, tab, event) with Dapr's bulk API, and does nothing
 * else: the least that publishing them can cost. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    CURL *curl;
    char *body;
    size_t size, room;
} flight_t;

static FILE *events;
static int batch = 256, bad;
static struct curl_slist *headers;
static const char *url;

static size_t drop(char *text, size_t size, size_t n, void *data)
{
    (void)text;
    (void)data;
    return size * n;
}

static void append(flight_t *f, const char *text)
{
    size_t n = strlen(text);

    if (f->size + n + 1 > f->room) {
        f->room = (f->size + n + 1) * 2;
        f->body = realloc(f->body, f->room);
    }
    memcpy(f->body + f->size, text, n + 1);
    f->size += n;
}

/* The next request; 0: no more events. */
static int load(flight_t *f)
{
    static char *line;
    static size_t room;
    char *id, *user, *event;
    int n;

    f->size = 0;
    for (n = 0; n < batch && getline(&line, &room, events) > 0; ++n) {
        id = strtok(line, "\t");
        user = strtok(NULL, "\t");
        event = strtok(NULL, "\n");
        append(f, n ? "," : "[");
        append(f, "{\"entryId\":\"");
        append(f, id);
        append(f, "\",\"contentType\":\"application/cloudevents+json\","
                  "\"metadata\":{\"partitionKey\":\"");
        append(f, user);
        append(f, "\"},\"event\":");
        append(f, event);
        append(f, "}");
    }
    if (n == 0) {
        return 0;
    }
    append(f, "]");
    curl_easy_setopt(f->curl, CURLOPT_URL, url);
    curl_easy_setopt(f->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(f->curl, CURLOPT_POSTFIELDS, f->body);
    curl_easy_setopt(f->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)f->size);
    curl_easy_setopt(f->curl, CURLOPT_WRITEFUNCTION, drop);
    curl_easy_setopt(f->curl, CURLOPT_PRIVATE, f);
    return 1;
}

/* Answered requests are followed by the next ones. @return how many ended */
static int collect(CURLM *multi)
{
    int left, ended = 0;
    CURLMsg *message;

    while ((message = curl_multi_info_read(multi, &left)) != NULL) {
        CURL *curl = message->easy_handle;
        flight_t *f;
        long status = 0;

        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(curl, CURLINFO_PRIVATE, &f);
        bad += status != 204;
        curl_multi_remove_handle(multi, curl);
        if (load(f)) {
            curl_multi_add_handle(multi, curl);
        }
        else {
            ++ended;
        }
    }
    return ended;
}

int main(int argc, char **argv)
{
    int i, running, flights = 4, in_flight = 0;
    char token[256];
    CURLM *multi;

    if (argc < 4 || (events = fopen(argv[3], "r")) == NULL) {
        return 2;
    }
    url = argv[1];
    snprintf(token, sizeof token, "dapr-api-token: %s", argv[2]);
    batch = argc > 4 ? atoi(argv[4]) : batch;
    flights = argc > 5 ? atoi(argv[5]) : flights;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    headers = curl_slist_append(curl_slist_append(NULL, token),
                                "Content-Type: application/json");
    headers = curl_slist_append(headers, "Expect:");
    multi = curl_multi_init();
    for (i = 0; i < flights; ++i) {
        flight_t *f = calloc(1, sizeof *f);

        f->curl = curl_easy_init();
        if (load(f)) {
            curl_multi_add_handle(multi, f->curl);
            ++in_flight;
        }
    }
    while (in_flight > 0) {
        curl_multi_perform(multi, &running);
        in_flight -= collect(multi);
        curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    printf("%d\n", bad);
    return bad != 0;
}
