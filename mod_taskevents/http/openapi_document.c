/* Made from docs/openapi.yaml by t/openapi/generate; do not edit. */
#include "openapi_document.h"

const char te_openapi_document[] = "{}";
