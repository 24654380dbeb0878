#include "fault.h"

#include <apr_lib.h>
#include <string.h>

const char *te_fault_pointer(apr_pool_t *p, const char *member)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = apr_palloc(p, 3 * strlen(member) + 3), *o = out;

    *o++ = '#';
    *o++ = '/';
    for (; *member; ++member) {
        unsigned char c = (unsigned char)*member;

        if (c == '~' || c == '/') {
            *o++ = '~';
            *o++ = c == '~' ? '0' : '1';
        }
        else if (c < 0x80 && (apr_isalnum(c)
                              || strchr("-._!$&'()*+,;=:@?", c))) {
            *o++ = (char)c;
        }
        else {
            *o++ = '%';
            *o++ = hex[c >> 4];
            *o++ = hex[c & 15];
        }
    }
    *o = '\0';
    return out;
}
