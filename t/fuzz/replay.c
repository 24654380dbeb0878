/* make check: every input of corpus/ through its target. */
#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_strings.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

static void replay_file(const fuzz_target_t *target, const char *name,
                        apr_pool_t *p)
{
    apr_finfo_t info;
    apr_file_t *file;
    char *bytes;
    apr_size_t size;

    if (apr_file_open(&file, name, APR_FOPEN_READ, 0, p) != APR_SUCCESS
        || apr_file_info_get(&info, APR_FINFO_SIZE, file) != APR_SUCCESS) {
        fprintf(stderr, "%s: cannot be read\n", name);
        exit(1);
    }
    size = (apr_size_t)info.size;
    bytes = apr_palloc(p, size + 1);
    if (apr_file_read_full(file, bytes, size, NULL) != APR_SUCCESS
        && size > 0) {
        fprintf(stderr, "%s: cannot be read\n", name);
        exit(1);
    }
    apr_file_close(file);
    fuzz_run(target, bytes, size);
}

/* @return how many there were */
static int replay(const fuzz_target_t *target, const char *corpus,
                  apr_pool_t *whole)
{
    const char *dir = apr_pstrcat(whole, corpus, "/", target->name, NULL);
    apr_finfo_t info;
    apr_pool_t *p;
    apr_dir_t *d;
    int n = 0;

    if (apr_dir_open(&d, dir, whole) != APR_SUCCESS) {
        return 0;
    }
    apr_pool_create(&p, whole);
    while (apr_dir_read(&info, APR_FINFO_NAME | APR_FINFO_TYPE, d)
           == APR_SUCCESS) {
        if (info.name[0] != '.') {
            const char *name = apr_pstrcat(p, dir, "/", info.name, NULL);

            /* the last line of the log of a crash */
            printf("%s\n", name);
            fflush(stdout);
            replay_file(target, name, p);
            apr_pool_clear(p);
            ++n;
        }
    }
    apr_dir_close(d);
    return n;
}

int main(void)
{
    const char *src = getenv("TASKEVENTS_SRC");
    const fuzz_target_t *target;
    apr_pool_t *p;
    int missing = 0;

    fuzz_init();
    apr_pool_create(&p, NULL);
    for (target = fuzz_targets; target->name != NULL; ++target) {
        int n = replay(target, apr_pstrcat(p, src ? src : ".",
                                           "/t/fuzz/corpus", NULL), p);

        printf("%s: %d inputs\n", target->name, n);
        missing += n == 0;
    }
    apr_pool_destroy(p);
    return missing > 0;
}
