/* What a page of the status handler brings along, made from http/status.css
 * and http/status.js. */
#ifndef TE_HTTP_STATUS_ASSETS_H
#define TE_HTTP_STATUS_ASSETS_H

extern const char te_status_style[], te_status_script[];

/* The Content-Security-Policy that allows them, by their digests, and nothing
 * else. */
extern const char te_status_policy[];

#endif
