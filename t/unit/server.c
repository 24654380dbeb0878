#include "server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_REQUESTS 256
#define MOST_CONNECTIONS 64
#define HEAD_MAX 16384

struct server_t {
    answer_fn *answer;
    void *context;
    int listening, port;
    int bell[2];                        /* closed to end all threads */
    pthread_t acceptor;
    pthread_mutex_t mutex;              /* what follows */
    asked_t asked[MOST_REQUESTS];
    int count;
    pthread_t threads[MOST_CONNECTIONS];
    int thread_count;
};

typedef struct {
    server_t *server;
    int fd;
} connection_t;

/* Wait until fd has something to read. @return 0: the server ends */
static int readable(server_t *s, int fd)
{
    struct pollfd fds[2] = {{fd, POLLIN, 0}, {s->bell[0], POLLIN, 0}};

    return poll(fds, 2, -1) > 0 && fds[1].revents == 0;
}

/* Read until n bytes are there, or, with n = 0, until the empty line.
 * @return bytes in the buffer, 0 at the end */
static size_t fill(connection_t *c, char *buffer, size_t have, size_t n,
                   size_t room)
{
    while (n ? have < n : memmem(buffer, have, "\r\n\r\n", 4) == NULL) {
        ssize_t got;

        if (have == room || !readable(c->server, c->fd)) {
            return 0;
        }
        got = read(c->fd, buffer + have, room - have);
        if (got <= 0) {
            return 0;
        }
        have += (size_t)got;
    }
    return have;
}

static size_t content_length(const char *head)
{
    const char *line;

    for (line = head; line != NULL; line = strchr(line + 1, '\n')) {
        if (strncasecmp(line, "\nContent-Length:", 16) == 0) {
            return strtoul(line + 16, NULL, 10);
        }
    }
    return 0;
}

static void write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);

        if (sent <= 0) {
            return;
        }
        bytes += sent;
        size -= (size_t)sent;
    }
}

/* Answer one request. @return 0: the connection is over */
static int reply(connection_t *c, const asked_t *asked)
{
    server_t *s = c->server;
    answer_t a = s->answer(asked, s->context);
    size_t size = a.body ? (a.body_size ? a.body_size : strlen(a.body)) : 0;
    char head[200];
    int n;

    if (a.hang) {
        struct pollfd bell = {s->bell[0], POLLIN, 0};

        poll(&bell, 1, -1);
        return 0;
    }
    if (a.status == 0) {
        return 0;
    }
    n = a.status == 204
            ? snprintf(head, sizeof head, "HTTP/1.1 204 No Content\r\n\r\n")
            : snprintf(head, sizeof head, "HTTP/1.1 %d Said\r\n"
                       "%sContent-Length: %zu\r\n\r\n", a.status,
                       a.status / 100 == 3 ? "Location: /elsewhere\r\n" : "",
                       size);
    write_all(c->fd, head, (size_t)n);
    write_all(c->fd, a.body, size);
    return 1;
}

static const asked_t *remember(server_t *s, const char *head,
                               size_t head_size, char *body, size_t size)
{
    asked_t *asked;

    pthread_mutex_lock(&s->mutex);
    if (s->count == MOST_REQUESTS) {
        abort();
    }
    asked = &s->asked[s->count++];
    asked->number = s->count;
    asked->head = strndup(head, head_size);
    asked->body = body;
    asked->body_size = size;
    pthread_mutex_unlock(&s->mutex);
    return asked;
}

static void *serve_connection(void *data)
{
    connection_t *c = data;
    char buffer[HEAD_MAX + 1];
    size_t have;

    while ((have = fill(c, buffer, 0, 0, HEAD_MAX)) > 0) {
        size_t head, want, early;
        char *body;

        buffer[have] = '\0';
        head = (size_t)(strstr(buffer, "\r\n\r\n") + 4 - buffer);
        want = content_length(buffer);
        early = have - head < want ? have - head : want;
        body = malloc(want + 1);
        memcpy(body, buffer + head, early);
        body[want] = '\0';
        if (want > early && fill(c, body, early, want, want) == 0) {
            free(body);
            break;
        }
        if (!reply(c, remember(c->server, buffer, head, body, want))) {
            break;
        }
    }
    close(c->fd);
    free(c);
    return NULL;
}

static void *accept_connections(void *data)
{
    server_t *s = data;

    while (readable(s, s->listening)) {
        connection_t *c = malloc(sizeof *c);

        c->server = s;
        c->fd = accept(s->listening, NULL, NULL);
        if (c->fd < 0 || s->thread_count == MOST_CONNECTIONS) {
            abort();
        }
        pthread_create(&s->threads[s->thread_count++], NULL,
                       serve_connection, c);
    }
    return NULL;
}

static int bound_socket(int *port)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0
        || getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        abort();
    }
    *port = ntohs(address.sin_port);
    return fd;
}

server_t *server_start(answer_fn *answer, void *context)
{
    server_t *s = calloc(1, sizeof *s);

    s->answer = answer;
    s->context = context;
    s->listening = bound_socket(&s->port);
    pthread_mutex_init(&s->mutex, NULL);
    if (listen(s->listening, 64) != 0 || pipe(s->bell) != 0
        || pthread_create(&s->acceptor, NULL, accept_connections, s) != 0) {
        abort();
    }
    return s;
}

int server_port(const server_t *s)
{
    return s->port;
}

int server_count(server_t *s)
{
    int n;

    pthread_mutex_lock(&s->mutex);
    n = s->count;
    pthread_mutex_unlock(&s->mutex);
    return n;
}

const asked_t *server_asked(server_t *s, int n)
{
    const asked_t *asked = NULL;

    pthread_mutex_lock(&s->mutex);
    if (n < s->count) {
        asked = &s->asked[n];
    }
    pthread_mutex_unlock(&s->mutex);
    return asked;
}

void server_stop(server_t *s)
{
    int i;

    close(s->bell[1]);
    pthread_join(s->acceptor, NULL);
    for (i = 0; i < s->thread_count; ++i) {
        pthread_join(s->threads[i], NULL);
    }
    for (i = 0; i < s->count; ++i) {
        free((char *)s->asked[i].head);
        free((char *)s->asked[i].body);
    }
    close(s->bell[0]);
    close(s->listening);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

int closed_port(void)
{
    int port, fd = bound_socket(&port);

    close(fd);
    return port;
}
