#include "uuid.h"

#include <apr_general.h>
#include <string.h>
#include <uuid/uuid.h>

/* Home of names whose namespace is no UUID (ids of foreign events). */
static const char own_space[] = "7d8a3c5e-52f1-4b0e-9c1d-3a6f0e9b2c47";

static const char *as_text(apr_pool_t *p, const uuid_t id)
{
    char *text = apr_palloc(p, UUID_STR_LEN);

    uuid_unparse_lower(id, text);
    return text;
}

const char *te_uuid_v4(apr_pool_t *p)
{
    uuid_t id;

    /* not uuid_generate_random: it makes five system calls more */
    if (apr_generate_random_bytes(id, sizeof id) != APR_SUCCESS) {
        uuid_generate_random(id);
    }
    id[6] = (unsigned char)((id[6] & 0x0f) | 0x40);     /* version 4 */
    id[8] = (unsigned char)((id[8] & 0x3f) | 0x80);     /* RFC 9562 */
    return as_text(p, id);
}

const char *te_uuid_of_bytes(apr_pool_t *p, const void *bytes,
                             apr_size_t size)
{
    uuid_t own, id;

    uuid_parse(own_space, own);
    uuid_generate_sha1(id, own, bytes, size);
    return as_text(p, id);
}

const char *te_uuid_v5(apr_pool_t *p, const char *space, const char *name)
{
    uuid_t ns, id;

    if (uuid_parse(space, ns) != 0) {
        uuid_parse(te_uuid_of_bytes(p, space, strlen(space)), ns);
    }
    uuid_generate_sha1(id, ns, name, strlen(name));
    return as_text(p, id);
}

int te_uuid_valid(const char *text)
{
    uuid_t id;

    return uuid_parse(text, id) == 0;
}
