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
        return apr_psprintf(p, v > 0 && v < 9.95 ? "%.1f/s" : "%.0f/s", v);
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

/* The next of 1, 2, 5, 10, …: where the scale ends. */
static double round_up(double most)
{
    double step = pow(10, floor(log10(most)));

    return most <= step ? step : most <= 2 * step ? 2 * step
                             : most <= 5 * step   ? 5 * step : 10 * step;
}

/* Runs of known points as one path each; a run of one is a dot. */
static void put_line(te_html_t *html, const te_trend_point_t *points,
                     const te_chart_line_t *line, double top, int number,
                     int filled)
{
    int i, from = -1;

    for (i = 0; i <= TE_TREND_STEPS; ++i) {
        double v = i < TE_TREND_STEPS ? value(points, i, line) : NAN;

        if (!isnan(v)) {
            if (from < 0) {
                from = i;
                te_html_put(html, "<path class=\"l%d\" d=\"M", number);
            }
            te_html_put(html, "%d %.1f ", i, HEIGHT - v / top * HEIGHT);
            continue;
        }
        if (from >= 0) {
            te_html_put(html, "h.01\"/>");
        }
        if (from >= 0 && filled) {
            int j;

            te_html_put(html, "<path class=\"a%d\" d=\"M%d %.0f ", number,
                        from, HEIGHT);
            for (j = from; j < i; ++j) {
                te_html_put(html, "%d %.1f ", j,
                            HEIGHT - value(points, j, line) / top * HEIGHT);
            }
            te_html_put(html, "%d %.0fz\"/>", i - 1, HEIGHT);
        }
        from = -1;
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

    top = isnan(most) || most <= 0 ? 1 : round_up(most);
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
        te_html_put(html, "<p class=\"none\">nothing to show yet</p>");
    }
    else {
        te_html_put(html, "<p class=\"top\">%s</p>",
                    in_words(html->pool, chart->unit, top));
    }
    te_html_put(html, "</div><p class=\"axis\"><span>1 h ago</span>"
                "<span>30 min</span><span>now</span></p></figure>");
}
