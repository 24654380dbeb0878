/* The OpenAPI document of the API, as JSON. */
#ifndef TE_HTTP_OPENAPI_DOCUMENT_H
#define TE_HTTP_OPENAPI_DOCUMENT_H

/* Made from docs/openapi.yaml. Its first "url" is the server's, "/api". */
extern const char te_openapi_document[];

#endif
