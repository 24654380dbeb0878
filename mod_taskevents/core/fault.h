/* What is wrong with an input: every fault at once, each with the JSON
 * pointer (RFC 6901, as a URI fragment) of the member it is about. */
#ifndef TE_CORE_FAULT_H
#define TE_CORE_FAULT_H

#include <apr_tables.h>

typedef struct te_fault_t {
    const char *pointer;        /* "#/title" */
    const char *detail;         /* a sentence part: "must be a string" */
} te_fault_t;

/* The pointer to a member of the top object; what neither a pointer (section
 * 3) nor a URI fragment (section 6) may hold is escaped. In p. */
const char *te_fault_pointer(apr_pool_t *p, const char *member);

#endif
