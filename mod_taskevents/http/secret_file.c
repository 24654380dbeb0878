#include "secret_file.h"

#include <apr_file_io.h>
#include <apr_strings.h>
#include <unistd.h>

#define FILE_MAX_BYTES 8192
#define SECRET_INFO (APR_FINFO_PROT | APR_FINFO_USER | APR_FINFO_TYPE)

/* What is wrong with who may do what with it; NULL: nothing. Of a symbolic
 * link, such as those of a Kubernetes volume, the file counts. */
static const char *looseness(const apr_finfo_t *info)
{
    if (info->filetype != APR_REG) {
        return NULL;                    /* a pipe has no permissions to mind */
    }
    if (info->protection & APR_FPROT_WREAD) {
        return "everybody may read it";
    }
    if (info->protection & APR_FPROT_GWRITE) {
        return "its group may write to it";
    }
    return info->user == 0 || info->user == geteuid()
               ? NULL
               : "it belongs neither to root nor to the account that starts "
                 "httpd";
}

static const char *check_permissions(cmd_parms *cmd, const char *arg,
                                     apr_file_t *file,
                                     apr_array_header_t *loose)
{
    apr_finfo_t info;
    const char *what;

    /* incomplete where the system has no such thing: then there is nothing
     * to say */
    if (apr_file_info_get(&info, SECRET_INFO, file) != APR_SUCCESS) {
        return NULL;
    }
    if (info.filetype == APR_REG && (info.protection & APR_FPROT_WWRITE)) {
        return apr_psprintf(cmd->pool, "%s: everybody may write to '%s'; it "
                            "takes a file that only root or the account that "
                            "starts httpd may write to, such as one of mode "
                            "0600", cmd->cmd->name, arg);
    }
    what = looseness(&info);
    if (what != NULL) {
        APR_ARRAY_PUSH(loose, const char *) =
            apr_psprintf(cmd->pool, "%s '%s': %s", cmd->cmd->name, arg, what);
    }
    return NULL;
}

static const char *read_file(cmd_parms *cmd, const char *arg, char *bytes,
                             apr_array_header_t *loose)
{
    const char *path = ap_server_root_relative(cmd->pool, arg);
    const char *message = NULL;
    apr_size_t size = FILE_MAX_BYTES;
    apr_file_t *file;
    apr_status_t rv = apr_file_open(&file, path ? path : arg, APR_READ, 0,
                                    cmd->pool);

    if (rv == APR_SUCCESS) {
        message = check_permissions(cmd, arg, file, loose);
        rv = apr_file_read_full(file, bytes, size, &size);
        apr_file_close(file);
    }
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EOF(rv)) {
        message = apr_psprintf(cmd->pool, "%s: cannot read '%s': %pm",
                               cmd->cmd->name, arg, &rv);
    }
    return message;
}

static const char *refuse(cmd_parms *cmd, const char *arg,
                          const char *allowed)
{
    return apr_psprintf(cmd->pool, "%s: '%s' is not allowed; it takes %s",
                        cmd->cmd->name, arg, allowed);
}

const char *te_secret_file_read(cmd_parms *cmd, const char *arg,
                                const char **tokens, int most,
                                apr_array_header_t *loose)
{
    char *bytes = apr_pcalloc(cmd->pool, FILE_MAX_BYTES + 1), *last, *line;
    const char *message = read_file(cmd, arg, bytes, loose);
    int n = 0;

    for (line = apr_strtok(bytes, "\r\n", &last);
         line != NULL && message == NULL;
         line = apr_strtok(NULL, "\r\n", &last)) {
        const char *c;

        for (c = line; *c > ' ' && *c < 0x7f; ++c) {
        }
        if (*c != '\0' || n == most) {
            message = refuse(cmd, arg, most == 1
                             ? "a file with one token of printable characters "
                               "on one line"
                             : "a file with one token, or two while one "
                               "replaces the other, each of printable "
                               "characters on a line of its own");
        }
        else {
            tokens[n++] = line;
        }
    }
    if (message != NULL || n > 0) {
        return message;
    }
    return refuse(cmd, arg, "a file with a token; this one is empty");
}

/* httpd keeps the text of each directive for those who ask to see them; what
 * it means was taken from it by now. */
void te_secret_hide(cmd_parms *cmd, const char *instead)
{
    ((ap_directive_t *)cmd->directive)->args = instead;
}
