/* pace URL RATE SECONDS USERS BODY: creates tasks at an even pace, of users
 * taken in turn, over connections that stay open. A request that is late is
 * sent at once, so the pace holds on average. Ends with one line: requests,
 * seconds, answers that were not 201, p50 and p99 in ms. */
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define THREADS 8
#define LATEST 0.5              /* seconds that are made up for */

static char host[64], port[16];
static const char *body;
static double rate, seconds, began;
static int users;

typedef struct {
    pthread_t thread;
    int number, n, bad;
    double *took;
} writer_t;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int connect_to(void)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *a;
    struct timeval patience = {.tv_sec = 10};
    int fd = -1;

    if (getaddrinfo(host, port, &hints, &a) == 0) {
        fd = socket(a->ai_family, a->ai_socktype, 0);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
        freeaddrinfo(a);
    }
    return fd;
}

/* The status of the answer, after all of it was read; 0: none. */
static int answer(int fd)
{
    char text[16384];
    size_t have = 0, whole = 0;
    ssize_t n;

    for (;;) {
        n = recv(fd, text + have, sizeof text - 1 - have, 0);
        if (n <= 0) {
            return 0;
        }
        have += (size_t)n;
        text[have] = '\0';
        if (whole == 0) {
            const char *end = strstr(text, "\r\n\r\n");
            const char *length = strcasestr(text, "\r\nContent-Length:");

            if (end != NULL && length != NULL) {
                whole = (size_t)(end + 4 - text) + strtoul(length + 17, NULL, 10);
            }
        }
        if (whole > 0 && have >= whole) {
            return atoi(text + 9);
        }
    }
}

static int post(int *fd, int user)
{
    char text[4096];
    int status = 0;
    int n = snprintf(text, sizeof text,
                     "POST /api/%d/tasks HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                     "Content-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n%s", user, strlen(body), body);

    if (*fd < 0) {
        *fd = connect_to();
    }
    if (*fd >= 0 && send(*fd, text, (size_t)n, MSG_NOSIGNAL) == n) {
        status = answer(*fd);
    }
    if (status == 0 && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return status;
}

static void *work(void *data)
{
    writer_t *w = data;
    double step = THREADS / rate, due = began + step * w->number / THREADS;
    int fd = -1, user = w->number;

    while (due < began + seconds) {
        double start = now();

        if (start < due) {
            struct timespec wait = {(time_t)(due - start),
                                    (long)((due - start - (double)(time_t)(due - start)) * 1e9)};
            nanosleep(&wait, NULL);
            start = now();
        }
        user = (user + THREADS) % users;
        w->bad += post(&fd, user + 1) != 201;
        w->took[w->n++] = now() - start;
        due += step;
        if (due < now() - LATEST) {
            due = now() - LATEST;
        }
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    static writer_t writers[THREADS];
    double *all, lasted;
    int i, n = 0, bad = 0;

    if (argc != 6 || sscanf(argv[1], "http://%63[^:]:%15[0-9]", host, port) != 2) {
        return 2;
    }
    rate = atof(argv[2]);
    seconds = atof(argv[3]);
    users = atoi(argv[4]);
    body = argv[5];
    began = now();
    for (i = 0; i < THREADS; ++i) {
        writers[i].number = i;
        writers[i].took = calloc((size_t)(rate * seconds / THREADS) + 1000,
                                 sizeof(double));
        pthread_create(&writers[i].thread, NULL, work, &writers[i]);
    }
    all = calloc((size_t)(rate * seconds) + 1000 * THREADS, sizeof(double));
    for (i = 0; i < THREADS; ++i) {
        pthread_join(writers[i].thread, NULL);
        memcpy(all + n, writers[i].took, sizeof(double) * (size_t)writers[i].n);
        n += writers[i].n;
        bad += writers[i].bad;
    }
    lasted = now() - began;
    qsort(all, (size_t)n, sizeof(double), compare);
    printf("%d %.3f %d %.2f %.2f\n", n, lasted, bad, all[n / 2] * 1e3,
           all[n * 99 / 100] * 1e3);
    return 0;
}
