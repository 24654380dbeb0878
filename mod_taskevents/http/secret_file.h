/* Secrets of the configuration: read from files whose permissions are looked
 * at, and not shown where httpd shows its directives. */
#ifndef TE_HTTP_SECRET_FILE_H
#define TE_HTTP_SECRET_FILE_H

#include <httpd.h>
#include <http_config.h>

/* Read up to `most` tokens, each of printable characters on a line of its own.
 * A file that everybody may write to is refused. One that everybody may read,
 * that its group may write to, or that belongs to somebody other than root and
 * the account that starts httpd, is taken, and a sentence about it is added to
 * loose (of const char *).
 * @return NULL, or the sentence that ends the start */
const char *te_secret_file_read(cmd_parms *cmd, const char *arg,
                                const char **tokens, int most,
                                apr_array_header_t *loose);

/* From now on mod_info and -D DUMP_CONFIG show `instead` as the value of this
 * directive. */
void te_secret_hide(cmd_parms *cmd, const char *instead);

#endif
