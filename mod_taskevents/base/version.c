#include "version.h"

/* a file of its own: httpd's headers have these macros too */
#include "config.h"

const char *te_version(void)
{
    return PACKAGE_VERSION;
}
