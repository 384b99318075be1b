"""Tables for the terminal: the account of an ingest, the results of a run, the scores of a file.

A table that is wider than the terminal is printed as several, each with the first column, rather
than with figures cut off.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from modiste.data.manifest import Manifest
from modiste.report.results import (
    BLEND,
    MAIN_METRIC,
    Interval,
    RunMetrics,
    few_digits,
    metric_titles,
    readable,
    signed,
    verdict,
)

if TYPE_CHECKING:
    # The ranking comes with SciPy, and most tables do without.
    from modiste.ranking.explanation import Evidence, Explanation
    from modiste.report.comparison import Comparison

# Columns of the output where there is no terminal to ask: a log or a pipe is not cut to 80.
_PIPE_WIDTH = 160


class Results(Protocol):
    """Where a run lies, and the content of its ``metrics.json``."""

    @property
    def folder(self) -> Path:
        """The run's folder."""

    @property
    def metrics(self) -> dict[str, Any]:
        """The content of ``metrics.json``."""


# Features of a ranker that are shown, the strongest.
_SHOWN_FEATURES = 12
_LOOKED_AT = 5

# Categories of characters that a terminal may obey instead of showing: controls, formats (which
# turn the direction of writing), halves of characters, separators of lines.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = frozenset({"\u200c", "\u200d"})

# Purchases that are shown of a customer who is like another.
_SHOWN_PURCHASES = 3


def print_ingest_account(
    manifest: Manifest, folder: Path | None = None, console: Console | None = None
) -> None:
    """Print where each table's rows went, and why rows were rejected or repaired.

    Parameters
    ----------
    manifest
        Of the prepared folder.
    folder
        The prepared folder, to say where the rejected rows lie.
    console
        Where to print; by default standard output.
    """
    console = console or _console()
    _print_table(
        console,
        "Rows of the ingest",
        ["table", "in", "out", "rejected", "repaired", "added"],
        [
            [
                name,
                _count(account.rows_in),
                _count(account.rows_out),
                _count(account.rows_rejected),
                _count(sum(account.repaired.values())),
                _count(account.added),
            ]
            for name, account in manifest.tables.items()
        ],
    )
    reasons = [
        [f"{name}: {what}", reason, _count(rows)]
        for name, account in manifest.tables.items()
        for what, by_reason in (("rejected", account.rejected), ("repaired", account.repaired))
        for reason, rows in by_reason.items()
    ]
    if reasons:
        _print_table(console, "Reasons", ["rows", "reason", "number"], reasons, texts=2)
    if any(account.rows_rejected for account in manifest.tables.values()):
        place = folder / "rejects" if folder else "rejects/ in the folder of prepared tables"
        _print_line(console, f"Rejected rows, with file, line and reason: {place}")
    _print_line(
        console,
        f"Days {manifest.first_day} to {manifest.last_day}, in {manifest.partitions:,} "
        f"partition{'s' if manifest.partitions != 1 else ''} of up to "
        f"{manifest.partition_customers:,} customers.",
    )


def print_results(result: Results, console: Console | None = None) -> None:
    """Print what every model scored on the test window, and where the outputs lie.

    What the submission is made with comes first, then the others, best first.

    Parameters
    ----------
    result
        A run.
    console
        Where to print; by default standard output.
    """
    console = console or _console()
    metrics = RunMetrics.of(result.metrics)
    test, settings = metrics.test, metrics.settings
    further = [f"recall@{depth}" for depth in settings.recall_at]
    titles = metric_titles(settings.k, ["average_precision", "recall", *further, "hit"])
    main, *others = titles.values()
    rows = []
    for name, model in test.best_first(metrics.recommender):
        row = [readable(name), f"{model.main.mean:.4f}", _interval(model.main)]
        gap = model.main.difference
        row += [signed(gap.mean), _interval(gap, signed)] if gap else ["reference", ""]
        row += [f"{model.metrics[other].mean:.4f}" for other in list(titles)[1:]]
        coverage = model.catalogue.get("coverage")
        rows.append([*row, "" if coverage is None else f"{coverage:.1%}"])
    level = f"{settings.level:.0%} interval"
    _print_table(
        console,
        f"Test window {test.window}: {test.customers:,} customers",
        ["model", main, level, f"vs. {readable(test.reference)}", level, *others, "coverage"],
        rows,
    )
    gain = metrics.ranking and metrics.ranking.gains.get(BLEND)
    if gain:
        certain = "beyond chance" if verdict(gain) else "within what chance alone may do"
        _print_line(
            console,
            f"Ranking: {signed(gain.mean)} {main} {_interval(gain, signed)} beside the blend on "
            f"the same customers, {certain}.",
        )
    for name in ("submission.csv", "metrics.json", "report.html"):
        if (result.folder / name).exists():
            _print_line(console, f"{name:<15} {result.folder / name}")


def print_comparison(
    comparison: Comparison, files: Sequence[Path], console: Console | None = None
) -> None:
    """Print runs side by side: settings that differ, the main metric, differences, stages.

    Parameters
    ----------
    comparison
        Of the runs.
    files
        Where all of it was written.
    console
        Where to print; by default standard output.
    """
    # SciPy comes with these, and the other tables do without.
    from modiste.report.comparison_page import models_best_first, setting_text
    from modiste.report.saved_run import TEST

    console = console or _console()
    names = comparison.names
    for title, values in (
        ("Settings that differ", comparison.settings),
        ("Weights of the blend", comparison.weights),
        ("Weights of the hybrid", comparison.ranking_weights),
    ):
        if values:
            rows = [
                [key, *(setting_text(of_runs, name) for name in names)]
                for key, of_runs in values.items()
            ]
            _print_table(console, title, ["", *names], rows, texts=1)
        elif values is comparison.settings:
            _print_line(console, "\nAll settings are the same.")
    level = f"{comparison.intervals.level:.0%} interval"
    of_test = comparison.main_figures(TEST)
    order = models_best_first(comparison, TEST)
    columns, rows = ["recommender"], [[readable(model)] for model in order]
    for name in names:
        columns += [name, level]
        for model, row in zip(order, rows, strict=True):
            figure = of_test[model].get(name)
            row += ["–", ""] if figure is None else [f"{figure.mean:.4f}", _interval(figure)]
    for name in names[1:]:
        found = [comparison.difference(name, model, MAIN_METRIC) for model in order]
        if any(found):
            columns += [f"{name} − {names[0]}", level]
            for gap, row in zip(found, rows, strict=True):
                row += ["–", ""] if gap is None else [signed(gap.mean), _interval(gap, signed)]
    _print_table(console, f"{comparison.titles[MAIN_METRIC]} in the test window", columns, rows)
    if comparison.gains:
        columns = ["hybrid beside", *(text for name in names for text in (name, level))]
        rows = []
        for gained in comparison.gains:
            row = [readable(gained.model)]
            for name in names:
                gain = gained.runs.get(name)
                row += ["–", ""] if gain is None else [signed(gain.mean), _interval(gain, signed)]
            rows.append(row)
        _print_table(
            console, f"What the hybrid's {comparison.titles[MAIN_METRIC]} is more", columns, rows
        )
    if comparison.probability:
        rows = [
            [
                readable(figure.ranker),
                readable(figure.metric),
                *(few_digits(figure.runs.get(name)) for name in names),
            ]
            for figure in comparison.probability
        ]
        _print_table(console, "Probabilities", ["ranker", "figure", *names], rows, texts=2)
    for each in comparison.not_compared:
        _print_line(
            console,
            f"{each.run} and {each.base}, {each.window}: not compared; {'; '.join(each.reasons)}",
        )
    _print_table(
        console,
        "Seconds and peak MiB of each stage",
        ["stage", *(f"{name}{unit}" for name in names for unit in (", s", ", MiB"))],
        [
            [
                readable(stage),
                *(
                    text
                    for name in names
                    for text in (
                        (f"{used[name].seconds:,.1f}", f"{used[name].peak_mib:,.0f}")
                        if name in used
                        else ("–", "–")
                    )
                ),
            ]
            for stage, used in comparison.stages.items()
        ],
    )
    _print_line(console, "")
    for file in files:
        _print_line(console, f"{file.name:<15} {file}")


def print_scores(
    scores: pl.DataFrame,
    k: int = 12,
    console: Console | None = None,
    ceiling: float | None = None,
) -> None:
    """Print the means of a submission's scores.

    Parameters
    ----------
    scores
        As of :func:`modiste.evaluation.metrics.score_customers`.
    k
        Number of recommendations that were scored.
    console
        Where to print; by default standard output.
    ceiling
        Expected MAP of the best possible lists for the same days, where the truth is known.
    """
    console = console or _console()
    names = [name for name in scores.columns if name not in ("customer", "n_labels")]
    means = scores.select(pl.col(names).mean()).row(0, named=True)
    titles = metric_titles(k, names)
    _print_table(
        console,
        f"Means over {scores.height:,} customers who bought",
        ["metric", "mean"],
        [[titles[name], "" if mean is None else f"{mean:.5f}"] for name, mean in means.items()],
    )
    if ceiling:
        share = f"{means[MAIN_METRIC] / ceiling:.1%} of the best possible {titles[MAIN_METRIC]}"
        _print_line(
            console,
            f"That is {share}: {ceiling:.5f} is expected of the best lists, by the shop's own "
            "truth (truth.json).",
        )


def print_similar(
    question: str,
    filters: Sequence[str],
    found: pl.DataFrame,
    console: Console | None = None,
) -> None:
    """Print the articles that a look-up found, nearest first.

    Parameters
    ----------
    question
        What was asked.
    filters
        Each in words.
    found
        As :meth:`modiste.lookup.ArticleLookup.similar` gives them.
    console
        Where to print; by default standard output.
    """
    console = console or _console()
    title = f"Like {question}" + (f" ({'; '.join(filters)})" if filters else "")
    if found.is_empty():
        _print_line(console, f"{title}: nothing meets the filters")
        return
    named = {
        "article_id": "article",
        "prod_name": "name",
        "product_type_name": "type",
        "colour_group_name": "colour",
        "section_name": "section",
    }
    rows = [
        [
            *(row[column] or "" for column in named),
            "same product" if row["same_product"] else "",
            "" if row["price"] is None else f"{row['price']:.4g}",
            f"{row['score']:.3f}",
        ]
        for row in found.iter_rows(named=True)
    ]
    heads = [*named.values(), "", "price", "cosine"]
    _print_table(console, title, heads, rows, texts=len(named) + 1)


def similar_json(question: str, filters: Sequence[str], found: pl.DataFrame) -> str:
    """The same as JSON: an object with ``question``, ``filters`` and ``found``, a list of rows."""
    rows = found.with_columns(pl.col("score").cast(pl.Float64).round(6)).to_dicts()
    answer = {"question": question, "filters": list(filters), "found": rows}
    return json.dumps(answer, indent=2, ensure_ascii=False)


def print_similar_customers(
    customer: str,
    found: pl.DataFrame,
    suggested: pl.DataFrame,
    console: Console | None = None,
) -> None:
    """Print the customers that a look-up found, nearest first, and the articles for the one.

    Parameters
    ----------
    customer
        The id that was asked about, as it may be shown.
    found, suggested
        As :class:`modiste.customer_lookup.CustomerLookup` gives them; ids as they may be shown.
    console
        Where to print; by default standard output.
    """
    console = console or _console()
    rows = []
    one_customer = ("rank", "customer_id", "score")
    for (_, who, score), bought in found.group_by(one_customer, maintain_order=True):
        latest = bought.head(_SHOWN_PURCHASES).iter_rows(named=True)
        names = [f"{row['prod_name'] or row['article_id']} ({row['t_dat']})" for row in latest]
        rows.append([str(who), "; ".join(names), f"{score:.3f}"])
    _print_table(console, f"Like {customer}", ["customer", "bought last", "cosine"], rows, 2)
    names = [f"{row['prod_name'] or ''}" for row in suggested.iter_rows(named=True)]
    ids = suggested["article_id"].to_list()
    _print_table(
        console,
        "Articles on sale that go best with it",
        ["article", "name"],
        [list(each) for each in zip(ids, names, strict=True)],
        2,
    )


def similar_customers_json(customer: str, found: pl.DataFrame, suggested: pl.DataFrame) -> str:
    """The same as JSON: ``customer``, ``similar`` and ``suggested``, lists of rows."""
    rows = found.with_columns(
        pl.col("score").cast(pl.Float64).round(6), pl.col("t_dat").cast(pl.String)
    ).to_dicts()
    answer = {"customer": customer, "similar": rows, "suggested": suggested.to_dicts()}
    return json.dumps(answer, indent=2, ensure_ascii=False)


def print_reasons(
    customer: str, as_of: date, listed: Sequence[Evidence], console: Console | None = None
) -> None:
    """Print the articles that a customer is shown, each with its reason.

    Parameters
    ----------
    customer
        Its id, as it may be shown.
    as_of
        The day that is recommended for.
    listed
        As :meth:`modiste.ranking.explanation.ExplainedCustomer.listed` gives them.
    console
        Where to print; by default standard output.
    """
    from modiste.ranking.reasons import reason

    rows = [
        [str(place), each.article.article_id, each.article.words, reason(each)]
        for place, each in enumerate(listed, start=1)
    ]
    title = f"Shown to customer {plain(customer)} as of {as_of}"
    _print_table(console or _console(), title, ["", "article", "name", "why"], rows, texts=4)


def reasons_json(customer: str, as_of: date, listed: Sequence[Evidence]) -> str:
    """The same as JSON: ``customer``, ``as_of`` and ``shown``, each with its evidence."""
    from modiste.ranking.reasons import reason

    shown = [
        {"place": place, "reason": reason(each), **asdict(each)}
        for place, each in enumerate(listed, start=1)
    ]
    return _json_text({"customer": customer, "as_of": as_of, "shown": shown})


def print_explanation(
    customer: str, explanation: Explanation, console: Console | None = None
) -> None:
    """Print why an article is shown to a customer, or not: in words first, then in figures.

    Parameters
    ----------
    customer
        Its id, as it may be shown.
    explanation
        Of the article in the customer's list.
    console
        Where to print; by default standard output.
    """
    from modiste.ranking.reasons import SEGMENTS, ago, purchase_in_words, source_in_words

    console = console or _console()
    evidence = explanation.evidence
    article = evidence.article
    title = f"{article.words} ({article.article_id}) for customer {customer}"
    console.print(Text(plain(f"{title}, as of {explanation.as_of}"), style="bold"))
    for line in _in_words(explanation):
        console.print(Text(plain(line)))
    if evidence.purchases:
        rows = [
            [each.article.words, ago(each.days_ago), str(each.day), "; ".join(words)]
            for each in evidence.purchases
            if (words := purchase_in_words(each))
        ]
        _print_table(
            console, "The customer bought", ["article", "last", "", "to this one"], rows, texts=4
        )
    if evidence.proposals:
        rows = [
            [
                source_in_words(each.source),
                _count(each.rank),
                f"{each.score:.4g}",
                "–" if each.part is None else f"{each.part:.4g}",
            ]
            for each in evidence.proposals
        ]
        heads = ["source", "place", "score", "in the blend"]
        _print_table(console, "Proposed by", heads, rows)
    absence = explanation.absence
    if absence is not None and any(each.rank is not None for each in absence.missed):
        rows = [
            [
                source_in_words(each.source),
                "–" if each.rank is None else _count(each.rank),
                _count(each.quota),
            ]
            for each in absence.missed
        ]
        _print_table(
            console, "Places in the lists of the sources", ["source", "place", "that count"], rows
        )
    if explanation.score is not None:
        _print_scores_of(explanation, SEGMENTS[explanation.segment], console)


def explanation_json(customer: str, explanation: Explanation) -> str:
    """The same as JSON: every field of an explanation, with ``customer``, ``reason``, ``why_not``.

    The parts of scorers and the groups of features, which follow from the rest, are there, too.
    """
    from modiste.ranking.reasons import reason, why_not

    found: dict[str, Any] = asdict(explanation)
    for scorer, said in zip(explanation.scorers, found["scorers"], strict=True):
        said["part"] = scorer.part
    for ranker, said in zip(explanation.rankers, found["rankers"], strict=True):
        said["groups"] = ranker.groups
    shown = explanation.shown_at is not None
    words = {
        "customer": customer,
        "reason": reason(explanation.evidence) if shown else None,
        "why_not": why_not(explanation),
    }
    return _json_text({**words, **found})


def _in_words(explanation: Explanation) -> list[str]:
    """The first lines: where it stands and why."""
    from modiste.ranking.reasons import reason, why_not

    where = f"of {explanation.candidates:,} candidates"
    place, shown = explanation.place, explanation.shown_at
    if shown is None:
        at = f": it has place {place:,} {where}" if place is not None else ""
        lines = [f"Not shown{at}.", f"Why not: {why_not(explanation)}"]
        if explanation.evidence.proposals:
            lines.append(f"What speaks for it: {reason(explanation.evidence)}.")
        return lines
    if place is None:
        return [
            f"Shown at place {shown}: no candidate, but the shop's rules left too few of those, "
            "and best sellers fill the list."
        ]
    moved = "" if place == shown else f", which the shop's rules brought up from place {place:,}"
    if place < shown:
        moved = f", which the shop's rules put down from place {place:,}"
    lifted = explanation.factor
    rule = "" if lifted == 1 else f" A rule multiplies its score by {lifted:g}."
    return [
        f"Shown at place {shown} {where}{moved}.{rule}",
        f"Why: {reason(explanation.evidence)}.",
    ]


def _print_scores_of(explanation: Explanation, segment: str, console: Console) -> None:
    """The figures: what adds up to the score, and to each ranker's."""
    from modiste.ranking.reasons import group_in_words

    weighted = [each for each in explanation.scorers if each.weight]
    rows = [
        [
            readable(each.scorer),
            "–" if each.raw is None else f"{each.raw:.4g}",
            signed(each.comparable),
            f"{each.weight:.3g}",
            signed(each.part),
        ]
        for each in weighted
    ]
    rows.append(["together", "", "", "", signed(explanation.score or 0.0)])
    heads = ["scorer", "score", "in this list", "weight", "adds"]
    _print_table(console, f"The score, by the weights for {segment}", heads, rows)
    _print_line(console, "In this list: 0 is the mean of the candidates, 1 the standard deviation.")
    used = {each.scorer for each in weighted}
    for parts in (each for each in explanation.rankers if each.ranker in used):
        shown, rest = parts.features[:_SHOWN_FEATURES], parts.features[_SHOWN_FEATURES:]
        rows = [[each.meaning, _value(each.value), signed(each.part)] for each in shown]
        if rest:
            left = f"{len(rest)} more features"
            rows.append([left, "", signed(sum(each.part for each in rest))])
        rows.append(["of any candidate", "", signed(parts.base)])
        rows.append(["together", "", signed(parts.score)])
        name = readable(parts.ranker)
        _print_table(console, f"What features add to {name}", ["feature", "value", "adds"], rows)
        groups = ", ".join(
            f"{group_in_words(group)} {signed(part)}" for group, part in parts.groups.items()
        )
        _print_line(console, f"By group: {groups}")
    for looked in (each for each in explanation.attention if each.ranker in used):
        rows = [
            [str(number), looked.meanings.get(name, name), f"{share:.0%}"]
            for number, step in enumerate(looked.steps, start=1)
            for name, share in list(step.items())[:_LOOKED_AT]
        ]
        title = f"Where {readable(looked.ranker)} looked, step by step"
        _print_table(console, title, ["step", "feature", "attention"], rows, texts=2)


def _value(value: float | str | None) -> str:
    if value is None:
        return "not known"
    return value if isinstance(value, str) else f"{value:.4g}"


def plain(text: str) -> str:
    """A text from a table or a user as a terminal may have it: one line, and no commands to it.

    Characters that move the cursor, change colours or turn the direction of writing are replaced;
    those that join letters stay, as some languages are written with them.
    """
    return "".join(
        "\ufffd" if unicodedata.category(each) in _UNSEEN and each not in _JOINERS else each
        for each in text
    )


def _json_text(value: object) -> str:
    """JSON in which what a terminal would obey is escaped; dates as ISO 8601."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    # All of these stand within strings, but for the line ends between the lines.
    return "".join(
        json.dumps(each)[1:-1]
        if unicodedata.category(each) in _UNSEEN and each not in _JOINERS | {"\n"}
        else each
        for each in text
    )


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)


def _count(rows: int) -> str:
    return f"{rows:,}"


def _interval(interval: Interval, number: Any = "{:.4f}".format) -> str:
    return f"[{number(interval.low)}, {number(interval.high)}]"


def _print_line(console: Console, line: str) -> None:
    # A path is for copying: it goes on one line, however long.
    console.print(Text(line), soft_wrap=True)


def _print_table(
    console: Console,
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    texts: int = 1,
) -> None:
    """Print a table; ``texts`` of its first columns are texts, the others figures."""
    console.print(Text(f"\n{title}", style="bold"))
    without_end = console.options.update(width=10_000)
    shown = list(range(texts, len(columns)))
    if not shown:
        console.print(_table(columns, rows, range(texts), texts))
    while shown:
        # As many figures as fit, but one at least: rather than go without one, texts are folded.
        for n, widest in product(range(len(shown), 0, -1), (None, console.width // 2)):
            table = _table(columns, rows, [*range(texts), *shown[:n]], texts, widest)
            if Measurement.get(console, without_end, table).maximum <= console.width:
                break
        console.print(table)
        shown = shown[n:]
        if shown:
            console.print()


def _table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    shown: Sequence[int],
    texts: int,
    widest: int | None = None,
) -> Table:
    """A table of some columns; a text is folded where it is wider than ``widest``."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for index in shown:
        is_text = index < texts
        table.add_column(
            Text(columns[index]),
            justify="left" if is_text else "right",
            no_wrap=not is_text,
            overflow="fold",
            max_width=widest if is_text else None,
        )
    for row in rows:
        table.add_row(*(Text(plain(row[index])) for index in shown))
    return table
