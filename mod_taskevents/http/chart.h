/* The last hour as a drawing: SVG within a page, without a script. */
#ifndef TE_HTTP_CHART_H
#define TE_HTTP_CHART_H

#include "../base/html.h"
#include "../base/trend.h"

typedef enum { TE_CHART_RATE, TE_CHART_TIME, TE_CHART_COUNT } te_chart_unit_e;

/* One line of a chart: a member of te_trend_point_t by its offset. */
typedef struct te_chart_line_t {
    const char *name;                   /* NULL: the only one */
    apr_size_t offset;
} te_chart_line_t;

typedef struct te_chart_t {
    const char *title;
    te_chart_unit_e unit;
    te_chart_line_t lines[2];
    int n;                              /* lines */
} te_chart_t;

/* Draw it. points: TE_TREND_STEPS of them, oldest first. */
void te_chart_put(te_html_t *html, const te_chart_t *chart,
                  const te_trend_point_t *points);

#endif
