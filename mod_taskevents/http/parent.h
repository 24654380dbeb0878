/* httpd's parent process, from the side of a child. */
#ifndef TE_HTTP_PARENT_H
#define TE_HTTP_PARENT_H

#include <httpd.h>

/* post_config, in the parent: who it is. */
void te_parent_note(void);

/* In a child, once a second: when the parent was killed nobody would ever end
 * this child, and as long as it listens no new httpd can. So it ends itself,
 * as after a graceful stop: requests in progress are finished. Any thread.
 * @param leave  called first: publish nothing more */
void te_parent_watch(server_rec *s, void (*leave)(void));

#endif
