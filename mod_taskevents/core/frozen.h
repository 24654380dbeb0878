/* Peers that hold one of our locks and do not move any more. */
#ifndef TE_CORE_FROZEN_H
#define TE_CORE_FROZEN_H

#include "../store/db.h"

typedef struct te_frozen_t {
    apr_time_t look_at;                 /* not before; 0: now */
} te_frozen_t;

/* Somebody else has a lock that we want: end its session if it froze. Looked
 * at rarely, for it reads all locks of the server. p: for the call. */
te_db_err_e te_frozen_end(te_frozen_t *frozen, te_db_t *db, apr_pool_t *p);

#endif
