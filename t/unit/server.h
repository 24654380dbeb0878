/* A tiny HTTP server on loopback inside the test: it answers as the test
 * says, and remembers what it was asked. */
#ifndef TE_T_UNIT_SERVER_H
#define TE_T_UNIT_SERVER_H

#include <stddef.h>

typedef struct server_t server_t;

/* One request as it came. */
typedef struct {
    const char *head;           /* request line and headers */
    const char *body;
    size_t body_size;
    int number;                 /* 1: the first that the server got */
} asked_t;

/* What comes back. */
typedef struct {
    int status;                 /* 0: close without an answer */
    const char *body;           /* NULL: none */
    size_t body_size;           /* 0: strlen(body) */
    int hang;                   /* no answer until the server ends */
} answer_t;

typedef answer_t answer_fn(const asked_t *asked, void *context);

/* Listen on a free port; answers come from other threads. */
server_t *server_start(answer_fn *answer, void *context);

int server_port(const server_t *server);

/* How many requests it got so far; one of them, n from 0. */
int server_count(server_t *server);
const asked_t *server_asked(server_t *server, int n);

/* End it, and free what it remembers. */
void server_stop(server_t *server);

/* A loopback port that nobody listens on. */
int closed_port(void);

#endif
