#include "chart.h"

#include <httpd.h>
#include <apr_strings.h>
#include <math.h>

#include "page.h"

#define HEIGHT 60.0
/* What is told as "now" may be a few samples old. */
#define NOW_STEPS 6

static double value(const te_trend_point_t *points, int i,
                    const te_chart_line_t *line)
{
    return *(const double *)(const void *)((const char *)&points[i]
                                           + line->offset);
}

static const char *in_words(apr_pool_t *p, te_chart_unit_e unit, double v)
{
    if (isnan(v)) {
        return "–";
    }
    switch (unit) {
    case TE_CHART_RATE:
        return apr_psprintf(p, v < 9.95 && v > floor(v) ? "%.1f/s"
                                                        : "%.0f/s", v);
    case TE_CHART_TIME:
        return te_page_duration(p, v);
    case TE_CHART_COUNT:
        break;
    }
    return te_page_count(p, (apr_int64_t)v);
}

static double highest(const te_chart_t *chart, const te_trend_point_t *points)
{
    double most = NAN;
    int i, j;

    for (j = 0; j < chart->n; ++j) {
        for (i = 0; i < TE_TREND_STEPS; ++i) {
            most = fmax(most, value(points, i, &chart->lines[j]));
        }
    }
    return most;
}

static double latest(const te_trend_point_t *points,
                     const te_chart_line_t *line)
{
    double v = NAN;
    int i;

    for (i = TE_TREND_STEPS - NOW_STEPS; i < TE_TREND_STEPS; ++i) {
        double one = value(points, i, line);

        v = isnan(one) ? v : one;
    }
    return v;
}

/* Where the scale ends: the next of 1, 2, 5, 10, …, or, of times that are
 * told in minutes and hours, the next round one. */
static double round_up(te_chart_unit_e unit, double most)
{
    static const double times[] = {30, 60, 120, 300, 600, 1800, 3600, 7200,
                                   21600, 43200, 86400};
    apr_size_t i;
    double step;

    for (i = 0; unit == TE_CHART_TIME && most > 10
                && i < sizeof times / sizeof times[0]; ++i) {
        if (most <= times[i]) {
            return times[i];
        }
    }
    step = pow(10, floor(log10(most)));
    return most <= step ? step : most <= 2 * step ? 2 * step
                             : most <= 5 * step   ? 5 * step : 10 * step;
}

/* The points from one on that are known: where they end. */
static int run_end(const te_trend_point_t *points, int from,
                   const te_chart_line_t *line)
{
    while (from < TE_TREND_STEPS && !isnan(value(points, from, line))) {
        ++from;
    }
    return from;
}

static void put_points(te_html_t *html, const te_trend_point_t *points,
                       int from, int to, const te_chart_line_t *line,
                       double top)
{
    for (; from < to; ++from) {
        te_html_put(html, "%d %.1f ", from,
                    HEIGHT - value(points, from, line) / top * HEIGHT);
    }
}

/* Each run of known points is a path of its own; one point is a dot. */
static void put_line(te_html_t *html, const te_trend_point_t *points,
                     const te_chart_line_t *line, double top, int number,
                     int filled)
{
    int from, to;

    for (from = 0; from < TE_TREND_STEPS; from = to + 1) {
        to = run_end(points, from, line);
        if (to == from) {
            continue;
        }
        if (filled) {
            te_html_put(html, "<path class=\"a%d\" d=\"M%d %.0f ", number,
                        from, HEIGHT);
            put_points(html, points, from, to, line, top);
            te_html_put(html, "%d %.0fz\"/>", to - 1, HEIGHT);
        }
        te_html_put(html, "<path class=\"l%d%s\" d=\"M", number,
                    to - from == 1 ? " dot" : "");
        put_points(html, points, from, to, line, top);
        te_html_put(html, "h.01\"/>");
    }
}

static void put_caption(te_html_t *html, const te_chart_t *chart,
                        const te_trend_point_t *points)
{
    int j;

    te_html_put(html, "<figcaption><b>%s</b>", chart->title);
    for (j = 0; j < chart->n; ++j) {
        const te_chart_line_t *line = &chart->lines[j];

        te_html_put(html, "<span class=\"k%d\">", j);
        if (line->name != NULL) {
            te_html_put(html, "<i>%s</i> ", line->name);
        }
        te_html_put(html, "%s</span>",
                    in_words(html->pool, chart->unit, latest(points, line)));
    }
    te_html_put(html, "</figcaption>");
}

void te_chart_put(te_html_t *html, const te_chart_t *chart,
                  const te_trend_point_t *points)
{
    double most = highest(chart, points), top;
    const char *peak = in_words(html->pool, chart->unit, most);
    int j;

    top = isnan(most) || most <= 0 ? 1 : round_up(chart->unit, most);
    te_html_put(html, "<figure class=\"chart\">");
    put_caption(html, chart, points);
    te_html_put(html, "<div class=\"plot\"><svg viewBox=\"0 0 %d %.0f\" "
                "preserveAspectRatio=\"none\" role=\"img\" aria-label=\"%s "
                "over the last hour; the highest was %s\">"
                "<path class=\"grid\" d=\"M0 0H%d M0 %.0fH%d M0 %.0fH%d\"/>",
                TE_TREND_STEPS - 1, HEIGHT, chart->title, peak,
                TE_TREND_STEPS - 1, HEIGHT / 2, TE_TREND_STEPS - 1, HEIGHT,
                TE_TREND_STEPS - 1);
    for (j = chart->n - 1; j >= 0; --j) {
        put_line(html, points, &chart->lines[j], top, j,
                 chart->unit != TE_CHART_TIME && j == 0);
    }
    te_html_put(html, "</svg>");
    if (isnan(most)) {
        te_html_put(html, "<p class=\"none\">nothing in the last hour</p>");
    }
    else {
        te_html_put(html, "<p class=\"top\">%s</p>",
                    in_words(html->pool, chart->unit, top));
    }
    te_html_put(html, "</div><p class=\"axis\"><span>1 h ago</span>"
                "<span>30 min</span><span>now</span></p></figure>");
}
