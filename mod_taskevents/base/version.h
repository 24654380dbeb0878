/* The version of this build. */
#ifndef TE_BASE_VERSION_H
#define TE_BASE_VERSION_H

/* "0.1.0" */
const char *te_version(void);

#endif
