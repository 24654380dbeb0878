#include "parent.h"

#include <ap_listen.h>
#include <apr_portable.h>
#include <http_log.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE apr_time_from_sec(10)

APLOG_USE_MODULE(taskevents);

static pid_t parent;                    /* 0: not known */
static apr_time_t alone_since;

void te_parent_note(void)
{
    parent = getpid();
}

/* To the event MPM a listening socket that fails is a reason to end the child
 * gracefully (server/mpm/event/event.c, listener_thread: APR_EGENERAL of
 * accept_func; os/unix/unixd.c), and there is no other way to ask it: its pipe
 * of death is its own. A socket that is shut down no longer holds the port, in
 * none of the processes that share it. */
static void shut_listeners(void)
{
    ap_listen_rec *listener;
    apr_os_sock_t fd;

    for (listener = ap_listeners; listener; listener = listener->next) {
        if (listener->sd != NULL
            && apr_os_sock_get(&fd, listener->sd) == APR_SUCCESS) {
            shutdown(fd, SHUT_RDWR);
        }
    }
}

void te_parent_watch(server_rec *s, void (*leave)(void))
{
    /* with -X there is no child */
    if (parent == 0 || getpid() == parent || getppid() == parent) {
        return;
    }
    if (alone_since == 0) {
        alone_since = apr_time_now();
        ap_log_error(APLOG_MARK, APLOG_ALERT, 0, s, "TE0020: httpd's parent "
                     "process %d was killed; this child ends, and nobody "
                     "makes another: start httpd", (int)parent);
        leave();
        shut_listeners();
    }
    else if (apr_time_now() - alone_since > PATIENCE) {
        kill(getpid(), SIGKILL);        /* it does not listen to that */
    }
}
