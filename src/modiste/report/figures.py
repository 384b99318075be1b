"""The plots of the page, as plain Plotly figures.

Colours are names of the page's CSS variables, put in by its script: so the plots follow light and
dark. Texts of the shop's own are made harmless by :func:`plot_text`, as Plotly reads a little HTML.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import polars as pl

from modiste.candidates.descriptions import describe
from modiste.report.ranking import Curve
from modiste.report.results import (
    UNION,
    CalibrationBin,
    Group,
    ShownSource,
    SourceRecall,
    WindowScores,
    long_day,
    long_days,
    readable,
)
from modiste.report.shop import ShopStatistics
from modiste.report.training import NetworkTraining

Figure = dict[str, Any]

# Name, title, a sentence that says what one sees, figure.
Plot = tuple[str, str, str, Figure]

_ACCENT, _REFERENCE, _OTHER = "var(--accent)", "var(--reference)", "var(--other)"
_MUTED, _INK, _BAR = "var(--muted)", "var(--ink)", "var(--bar)"

_LONGEST_LABEL = 26
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_ROW_HEIGHT = 34

# Buckets of purchases per customer: first value of each.
_PURCHASE_BUCKETS = (0, 1, 2, 3, 5, 10, 20, 50, 100)


def plot_text(text: str, longest: int = _LONGEST_LABEL) -> str:
    """A text of the shop's, to be shown in a plot as it is, and cut where it is long."""
    text = " ".join(text.split())
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return html.escape(text, quote=False)


def map_by_model(scores: WindowScores, chosen: str, title: str, ceiling: float | None) -> Figure:
    """Every model's MAP with its interval, best on top, and the best possible one as a line."""
    models = scores.best_first()[::-1]
    figure: Figure = {
        "data": [
            _dots(
                [model for _, model in models],
                [_colour(name, chosen, scores.reference) for name, _ in models],
            )
        ],
        "layout": {
            "height": 80 + _ROW_HEIGHT * len(models),
            "xaxis": {"title": {"text": title}, "rangemode": "tozero"},
            "yaxis": _rows([readable(name) for name, _ in models]),
        },
    }
    if ceiling is not None:
        figure["layout"] |= _vertical_line(ceiling, f"best possible {ceiling:.4f}")
    return figure


def map_by_segment(
    kind: str, scores: WindowScores, shown: Sequence[str], chosen: str, title: str
) -> Figure:
    """MAP of some models in every segment of a kind, with its number of customers."""
    groups = scores.models[shown[0]].segments[kind]
    segments = list(groups)[::-1]
    customers = {segment: group.customers for segment, group in groups.items()}
    data = [
        _dots(
            [scores.models[name].segments[kind][segment] for segment in segments],
            _colour(name, chosen, scores.reference),
            # Models stand beside one another within a segment's row.
            offset=0.22 * ((len(shown) - 1) / 2 - place),
        )
        | {"name": readable(name)}
        for place, name in enumerate(shown)
    ]
    return {
        "data": data,
        "layout": {
            "height": 80 + 48 * len(segments),
            "xaxis": {"title": {"text": title}, "rangemode": "tozero"},
            "yaxis": _rows([f"{name} ({customers[name]:,})" for name in segments]),
        },
    }


def search(trials: pl.DataFrame, title: str) -> Figure:
    """MAP of all that was tried to choose settings, in this order."""
    numbered = trials.with_row_index("trial", 1)
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "markers",
                "x": shown["trial"].to_list(),
                "y": _rounded(shown["map"], 6),
                "text": [
                    plot_text(f"{step}: {setting} {value}")
                    for step, setting, value in shown.select("step", "setting", "value").iter_rows()
                ],
                "marker": {"color": colour, "size": size},
                "hovertemplate": "%{text}: %{y:.4f}<extra></extra>",
            }
            for shown, colour, size in (
                (numbered.filter(~pl.col("taken")), _OTHER, 5),
                (numbered.filter(pl.col("taken")), _ACCENT, 10),
            )
        ],
        "layout": {
            "xaxis": {"title": {"text": "trial"}},
            "yaxis": {"title": {"text": title}},
        },
    }


def training(network: NetworkTraining) -> list[Plot]:
    """Give the plots of the epochs that were tried; none where none could be validated.

    Returns
    -------
    For each plot its name, its title, a sentence that says what it shows, and the figure.
    """
    if not network.epochs:
        return []
    days = long_days(network.validation)
    best = network.earlier.best_epoch
    losses = {epoch.epoch: epoch.loss for epoch in network.epochs}
    ndcgs = {epoch.epoch: epoch.ndcg for epoch in network.epochs if epoch.ndcg is not None}
    return [
        (
            f"{network.name}-loss",
            "Loss by epoch",
            f"Mean loss of each epoch on the days before {days}. The chosen epoch, {best}, is the "
            f"large dot, with {losses[best]:.4f}.",
            _by_epoch(losses, best, "loss"),
        ),
        (
            f"{network.name}-ndcg",
            "NDCG@10 by epoch",
            f"NDCG@10 on {days}: one article of what each customer bought next is to stand among "
            f"the first ten. The chosen epoch, {best}, is the large dot, with {ndcgs[best]:.4f}.",
            _by_epoch(ndcgs, best, "NDCG@10"),
        ),
    ]


def found_by_source(found: Sequence[SourceRecall]) -> Figure:
    """Recall of each source as a bar, the best on top, and within it what it alone finds."""
    rows = sorted(found, key=lambda row: row.recall)
    places = list(range(len(rows)))
    return {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": [round(value, 6) for value in values],
                "y": places,
                "marker": {"color": colour},
                "hovertemplate": f"%{{x:.1%}} {what}<extra></extra>",
            }
            for values, colour, what in (
                ([row.recall for row in rows], _OTHER, "found"),
                ([row.adds or 0.0 for row in rows], _ACCENT, "found by no other"),
            )
        ],
        "layout": {
            "barmode": "overlay",
            "height": 80 + _ROW_HEIGHT * len(rows),
            "xaxis": {"tickformat": ".0%", "title": {"text": "recall"}, "rangemode": "tozero"},
            "yaxis": _rows([_union_text(row.source) for row in rows]),
        },
    }


def _union_text(source: str) -> str:
    return "all together" if source == UNION else describe(source).name


def shown_by_source(shown: Sequence[ShownSource]) -> Figure:
    """Share of the places shown that each source proposed, and within it those that it leads."""
    rows = sorted(shown, key=lambda row: (row.first, row.places))
    return {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": [round(value, 6) for value in values],
                "y": list(range(len(rows))),
                "marker": {"color": colour},
                "hovertemplate": f"%{{x:.1%}} {what}<extra></extra>",
            }
            for values, colour, what in (
                ([row.places for row in rows], _OTHER, "proposed"),
                ([row.first for row in rows], _ACCENT, "before all other sources"),
            )
        ],
        "layout": {
            "barmode": "overlay",
            "height": 80 + _ROW_HEIGHT * len(rows),
            "xaxis": {"tickformat": ".0%", "title": {"text": "share of the places shown"}},
            "yaxis": _rows([describe(row.source).name for row in rows]),
        },
    }


def calibration_curve(curves: Mapping[str, Sequence[CalibrationBin]]) -> Figure:
    """Bought share by predicted share of each ranker, on logarithmic scales, and the ideal.

    A bin of which nothing was bought has no place on such a scale, and is not drawn.
    """
    shares = [share for bins in curves.values() for each in bins for share in _both(each) if share]
    low, high = min(shares) / 1.3, min(1.0, max(shares) * 1.3)
    axis = {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        **_ticks(low, high, "{:.10g} %", 100),
    }
    ideal: Figure = {
        "type": "scatter",
        "mode": "lines",
        "x": [low, high],
        "y": [low, high],
        "line": {"color": _MUTED, "width": 1, "dash": "dot"},
        "hoverinfo": "skip",
    }
    return {
        "data": [
            ideal,
            *(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "x": [_digits(each.predicted) for each in bins],
                    "y": [_digits(each.observed) or None for each in bins],
                    "line": {"color": f"var(--s{place + 1})", "width": 1.5},
                    "marker": {"size": 7},
                    "hovertemplate": f"{readable(ranker)}: %{{x:.3%}} predicted, "
                    "%{y:.3%} bought<extra></extra>",
                }
                for place, (ranker, bins) in enumerate(curves.items())
            ),
        ],
        "layout": {
            "height": 420,
            "xaxis": {"title": {"text": "predicted share"}, **axis},
            "yaxis": {"title": {"text": "bought share"}, **axis},
        },
    }


def _both(each: CalibrationBin) -> tuple[float, float]:
    return each.predicted, each.observed


def _digits(share: float) -> float:
    return float(f"{share:.5g}")


def importance_by_group(
    groups: Mapping[str, Mapping[str, float]], rankers: Sequence[str]
) -> Figure:
    """Importance of each group of features, a bar a ranker, the group that counts most on top."""
    names = list(groups)[::-1]
    width = 0.8 / len(rankers)
    return {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": [round(groups[name][ranker], 6) for name in names],
                "y": [row + width * ((len(rankers) - 1) / 2 - place) for row in range(len(names))],
                "width": width,
                "marker": {"color": f"var(--s{place + 1})"},
                "hovertemplate": f"{readable(ranker)}: %{{x:.1%}}<extra></extra>",
            }
            for place, ranker in enumerate(rankers)
        ],
        "layout": {
            "height": 80 + max(_ROW_HEIGHT, 22 * len(rankers)) * len(names),
            "xaxis": {"tickformat": ".0%", "title": {"text": "importance"}},
            "yaxis": _rows(names, longest=44),
        },
    }


def weight_curve(curve: Curve, title: str) -> Plot:
    """MAP of two scorers by the share of the one."""
    one, other = readable(curve.one), readable(curve.other)
    best = curve.best
    sentence = (
        f"Best with {curve.share[best]:.0%} {one} and {1 - curve.share[best]:.0%} {other}, the "
        f"large dot: {curve.map[best]:.4f}; with {one} alone {curve.map[-1]:.4f}, with {other} "
        f"alone {curve.map[0]:.4f}."
    )
    points = range(len(curve.share))
    return (
        f"curve-{curve.one}-{curve.other}",
        f"{one} and {other}",
        sentence,
        {
            "data": [
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "x": [round(share, 4) for share in curve.share],
                    "y": [round(value, 6) for value in curve.map],
                    "line": {"color": _OTHER, "width": 1.5},
                    "marker": {
                        "color": [_ACCENT if point == best else _OTHER for point in points],
                        "size": [12 if point == best else 5 for point in points],
                        "opacity": 1,
                    },
                    "hovertemplate": f"%{{x:.0%}} {one}: {title} %{{y:.4f}}<extra></extra>",
                }
            ],
            "layout": {
                "xaxis": {
                    "tickformat": ".0%",
                    "title": {"text": f"share of {one}; the rest is {other}"},
                },
            },
        },
    )


def shop_figures(shop: ShopStatistics) -> list[Plot]:
    """Give the plots of the shop that its columns allow.

    Returns
    -------
    For each plot its name, its title, a sentence that says what it shows, and the figure.
    """
    plots: list[Plot] = []
    if shop.transactions:
        plots += _sales(shop)
    if shop.customers:
        plots.append(_purchases(shop))
    optional = (_gaps, _baskets, _lives, _lorenz, _sections, _ages, _prices)
    return plots + [plot for draw in optional if (plot := draw(shop)) is not None]


def _sales(shop: ShopStatistics) -> list[Plot]:
    days, weekdays = shop.sales_by_day, shop.sales_by_weekday
    busiest = days.sort("sales", "day", descending=[True, False]).row(0, named=True)
    by_day = {
        "data": [
            {
                "type": "scatter",
                "mode": "lines",
                "x": [day.isoformat() for day in days["day"]],
                "y": days["sales"].to_list(),
                "line": {"color": _ACCENT, "width": 1.5},
                "fill": "tozeroy",
                "fillcolor": "var(--accent-soft)",
                "hovertemplate": "%{x|%a %d %b %Y}: %{y:,}<extra></extra>",
            }
        ],
        "layout": {"yaxis": {"title": {"text": "pieces"}, "rangemode": "tozero"}},
    }
    top = weekdays.sort("sales", "weekday", descending=[True, False]).row(0, named=True)
    return [
        (
            "sales-by-day",
            "Sales by day",
            f"Pieces sold on each day, {shop.transactions:,} in all. The busiest day was "
            f"{long_day(busiest['day'])} with {busiest['sales']:,}.",
            by_day,
        ),
        (
            "sales-by-weekday",
            "Week",
            f"Mean pieces of each day of the week. The strongest is "
            f"{_WEEKDAYS[top['weekday'] - 1]} with {top['sales']:,.0f}.",
            _bars(
                [_WEEKDAYS[weekday - 1] for weekday in weekdays["weekday"]],
                _rounded(weekdays["sales"], 1),
                y="pieces",
            ),
        ),
    ]


def _purchases(shop: ShopStatistics) -> Plot:
    bounds = [*_PURCHASE_BUCKETS, None]
    names, counts = [], []
    for low, after in pairwise(bounds):
        of_bucket = shop.purchases.filter(
            pl.col("value") >= low, pl.lit(True) if after is None else pl.col("value") < after
        )
        last = None if after is None else after - 1
        names.append(f"{low}+" if last is None else f"{low}" if last == low else f"{low}–{last}")
        counts.append(_total(of_bucket))
    return (
        "purchases",
        "Purchases per customer",
        f"Customers by the pieces they have bought so far. {shop.buyers:,} of "
        f"{shop.customers:,} have bought anything; half of these at most "
        f"{_quantile(shop.purchases.filter(pl.col('value') > 0), 0.5):,}.",
        _bars(names, counts, x="pieces", y="customers"),
    )


def _gaps(shop: ShopStatistics) -> Plot | None:
    if shop.gaps.is_empty():
        return None
    quartiles = [_quantile(shop.gaps, share) for share in (0.25, 0.5, 0.75)]
    last = 60
    longer = _total(shop.gaps.filter(pl.col("value") > last)) / _total(shop.gaps)
    return (
        "gaps",
        "Days between purchases",
        f"Days from one purchase day of a customer to the next: median {quartiles[1]}, quartiles "
        f"{quartiles[0]} and {quartiles[2]}."
        + (f" {longer:.1%} are longer than {last} days and not drawn." if longer else ""),
        _histogram(shop.gaps.filter(pl.col("value") <= last), x="days", y="times"),
    )


def _baskets(shop: ShopStatistics) -> Plot | None:
    if shop.baskets.is_empty():
        return None
    last = 10
    within = shop.baskets.filter(pl.col("value") <= last)
    names = [*(str(value) for value in within["value"]), f"{last + 1}+"]
    more = _total(shop.baskets.filter(pl.col("value") > last))
    return (
        "baskets",
        "Baskets",
        f"Pieces that a customer buys on one day: median {_quantile(shop.baskets, 0.5)}, upper "
        f"quartile {_quantile(shop.baskets, 0.75)}.",
        _bars(names, [*within["count"].to_list(), more], x="pieces", y="baskets"),
    )


def _lives(shop: ShopStatistics) -> Plot | None:
    if shop.lives.is_empty():
        return None
    weeks = (
        shop.lives.group_by(value=(pl.col("value") - 1) // 7 + 1)
        .agg(pl.col("count").sum())
        .sort("value")
    )
    return (
        "lives",
        "Life of an article",
        "Weeks from an article's first sale to its last one so far: half of them live at most "
        f"{_quantile(shop.lives, 0.5):,} days. Articles still on sale are not at their end yet.",
        _histogram(weeks, x="weeks", y="articles"),
    )


def _lorenz(shop: ShopStatistics) -> Plot | None:
    if shop.lorenz.is_empty():
        return None
    least = shop.lorenz.filter(pl.col("articles") <= 0.9)["sales"][-1]
    ticks = {"tickformat": ".0%", "range": [0, 1]}
    return (
        "lorenz",
        "Concentration of sales",
        "The share of sales (upright) of the share of articles (across), the least sold ones "
        f"first. The best tenth has {1 - least:.0%} of all sales; the Gini coefficient is "
        f"{shop.gini:.3f} (0: all sell alike, 1: one sells all). {shop.sold_articles:,} of "
        f"{shop.articles:,} articles have sold.",
        {
            "data": [
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": [0, 1],
                    "y": [0, 1],
                    "line": {"color": _MUTED, "width": 1, "dash": "dot"},
                    "hoverinfo": "skip",
                },
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": _rounded(shop.lorenz["articles"], 4),
                    "y": _rounded(shop.lorenz["sales"], 5),
                    "line": {"color": _ACCENT, "width": 2.5},
                    "fill": "tozeroy",
                    "fillcolor": "var(--accent-soft)",
                    "hovertemplate": "%{x:.0%} of the articles: %{y:.1%} of sales<extra></extra>",
                },
            ],
            "layout": {
                "xaxis": ticks | {"title": {"text": "articles"}},
                "yaxis": ticks | {"title": {"text": "sales"}},
            },
        },
    )


def _ages(shop: ShopStatistics) -> Plot | None:
    if shop.ages.is_empty():
        return None
    known = _total(shop.ages)
    return (
        "ages",
        "Age of customers",
        f"Customers by age, known of {known:,} of {shop.customers:,}: median "
        f"{_quantile(shop.ages, 0.5)} years.",
        _histogram(shop.ages, x="years", y="customers"),
    )


def _sections(shop: ShopStatistics) -> Plot | None:
    if shop.sections.is_empty():
        return None
    top = shop.sections.head(12)
    shares = (top["sales"] / shop.transactions).to_list()
    return (
        "sections",
        "Sections",
        f"Share of all sales of the {top.height} best-selling sections, of "
        f"{shop.sections.height}: together {sum(shares):.0%}.",
        {
            "data": [
                {
                    "type": "bar",
                    "orientation": "h",
                    "x": [round(share, 5) for share in shares[::-1]],
                    "y": list(range(top.height)),
                    "marker": {"color": _BAR},
                    "hovertemplate": "%{x:.1%}<extra></extra>",
                }
            ],
            "layout": {
                "xaxis": {"tickformat": ".0%", "title": {"text": "share of pieces"}},
                "yaxis": _rows(top["section"].to_list()[::-1]),
            },
        },
    )


def _prices(shop: ShopStatistics) -> Plot | None:
    if shop.prices.is_empty():
        return None
    prices = shop.prices
    edges = _rounded(prices["low"], 6), _rounded(prices["high"], 6)
    below = prices["count"].cum_sum() < _total(prices) / 2
    median = prices.filter(~below).row(0, named=True)
    return (
        "prices",
        "Prices",
        "Pieces sold by price, in the shop's unit; the scale is logarithmic. Half of all pieces "
        f"cost at most {median['high']:,.3g}.",
        {
            "data": [
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": [edges[0][0], *edges[0], edges[1][-1]],
                    "y": [0, *prices["count"].to_list(), 0],
                    "line": {"color": _ACCENT, "width": 1.5, "shape": "hv"},
                    "fill": "tozeroy",
                    "fillcolor": "var(--accent-soft)",
                    "hovertemplate": "from %{x:.3g}: %{y:,}<extra></extra>",
                }
            ],
            "layout": {
                "xaxis": {"type": "log", "title": {"text": "price"}}
                | _ticks(edges[0][0], edges[1][-1]),
                "yaxis": {"title": {"text": "pieces"}, "rangemode": "tozero"},
            },
        },
    )


def _by_epoch(values: Mapping[int, float], best: int, title: str) -> Figure:
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": list(values),
                "y": [round(value, 6) for value in values.values()],
                "line": {"color": _OTHER, "width": 1.5},
                "marker": {
                    "color": [_ACCENT if epoch == best else _OTHER for epoch in values],
                    "size": [12 if epoch == best else 5 for epoch in values],
                    "opacity": 1,  # dots of unequal size let others through otherwise
                },
                "hovertemplate": f"epoch %{{x}}: {title} %{{y:.4f}}<extra></extra>",
            }
        ],
        "layout": {
            # Whole numbers only: there is no half an epoch.
            "xaxis": {"title": {"text": "epoch"}, "dtick": math.ceil(max(values) / 10)},
            "yaxis": {"title": {"text": title}},
        },
    }


def _dots(
    scores: Sequence[Group],
    colour: str | list[str],
    offset: float = 0.0,
) -> Figure:
    """Means as dots with their intervals, in rows 0, 1, … from the bottom, moved by ``offset``."""
    mains = [group.main for group in scores]
    return {
        "type": "scatter",
        "mode": "markers",
        "cliponaxis": False,
        "x": [round(main.mean, 6) for main in mains],
        "y": [row + offset for row in range(len(mains))],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [round(main.high - main.mean, 6) for main in mains],
            "arrayminus": [round(main.mean - main.low, 6) for main in mains],
            "thickness": 1.5,
            "width": 4,
            "color": colour if isinstance(colour, str) else _MUTED,
        },
        "marker": {"color": colour, "size": 10},
        "customdata": [[group.main.low, group.main.high, group.customers] for group in scores],
        "hovertemplate": "%{x:.4f} [%{customdata[0]:.4f}, %{customdata[1]:.4f}], "
        "%{customdata[2]:,} customers<extra></extra>",
    }


def _rows(names: Sequence[str], longest: int = _LONGEST_LABEL) -> Figure:
    """An axis of names, by number: two names may be the same once they are cut."""
    return {
        "tickvals": list(range(len(names))),
        "ticktext": [plot_text(name, longest) for name in names],
        "range": [-0.6, len(names) - 0.4],
        "showgrid": False,
        "zeroline": False,
    }


def _colour(name: str, chosen: str, reference: str) -> str:
    return _ACCENT if name == chosen else _REFERENCE if name == reference else _OTHER


def _ticks(low: float, high: float, text: str = "{:,.10g}", scale: float = 1.0) -> Figure:
    """Ticks of a logarithmic axis: 1, 2, 5, 10, … or powers of ten alone where it is long."""
    steps = (1, 2, 5) if high < 1000 * low else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**power for power in powers for step in steps]
    return {"tickvals": ticks, "ticktext": [text.format(scale * tick) for tick in ticks]}


def _vertical_line(at: float, text: str) -> Mapping[str, Any]:
    return {
        "shapes": [
            {
                "type": "line",
                "x0": at,
                "x1": at,
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "line": {"color": _INK, "width": 1.5, "dash": "dash"},
            }
        ],
        "annotations": [
            {
                "x": at,
                "y": 1,
                "yref": "paper",
                "yanchor": "bottom",
                "xanchor": "right",
                "text": text,
                "showarrow": False,
                "font": {"color": _INK},
            }
        ],
    }


def _bars(names: Sequence[str], values: Sequence[float], x: str = "", y: str = "") -> Figure:
    return {
        "data": [
            {
                "type": "bar",
                "x": list(names),
                "y": list(values),
                "marker": {"color": _BAR},
                "hovertemplate": "%{x}: %{y:,}<extra></extra>",
            }
        ],
        "layout": {
            "xaxis": {"type": "category", "title": {"text": x}, "showgrid": False},
            "yaxis": {"title": {"text": y}, "rangemode": "tozero"},
        },
    }


def _histogram(counts: pl.DataFrame, x: str, y: str) -> Figure:
    """One bar a whole number, without gaps."""
    return {
        "data": [
            {
                "type": "bar",
                "x": counts["value"].to_list(),
                "y": counts["count"].to_list(),
                "marker": {"color": _BAR},
                "hovertemplate": f"%{{x}} {x}: %{{y:,}} {y}<extra></extra>",
            }
        ],
        "layout": {
            "bargap": 0.08,
            "xaxis": {"title": {"text": x}, "showgrid": False},
            "yaxis": {"title": {"text": y}, "rangemode": "tozero"},
        },
    }


def _quantile(counts: pl.DataFrame, share: float) -> int:
    """The smallest value that a share of the counted things does not exceed."""
    if counts.is_empty():
        return 0
    reached = counts["count"].cum_sum() >= share * _total(counts)
    return int(counts.filter(reached)["value"][0])


def _total(counts: pl.DataFrame) -> int:
    return int(counts["count"].sum())


def _rounded(values: pl.Series, digits: int) -> list[float]:
    return values.cast(pl.Float64).round(digits).to_list()
