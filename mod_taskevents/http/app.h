/* What a child process has while it serves. */
#ifndef TE_HTTP_APP_H
#define TE_HTTP_APP_H

#include "../core/publisher.h"
#include "../core/settings.h"

typedef struct te_app_t {
    const te_settings_t *settings;
    te_db_pool_t *db;
    te_publisher_t *publisher;
} te_app_t;

/* NULL in the parent, and in a child where start-up failed. */
te_app_t *te_app(void);

#endif
