"""What the page says of a hybrid: the climb, what was found, what counts, weights, rules, costs."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from browsing import browser, fits, needs_chromium, opened
from modiste.candidates.descriptions import describe
from modiste.data.dataset import Window
from modiste.ranking.rules import Rules
from modiste.report.examples import make_examples
from modiste.report.pictures import PictureFolder
from modiste.report.ranking import (
    RankingChoice,
    climb,
    costs,
    curves,
    main_ranker,
    shares,
    window_of,
)
from modiste.report.results import RunMetrics, readable
from outlines import Outline

OF_RANKING = ["climb", "shown", "found", "drivers", "weights", "probability", "rules"]


@pytest.fixture(scope="module")
def metrics(ranked_run: Any) -> RunMetrics:
    return RunMetrics.of(ranked_run.metrics)


@pytest.fixture(scope="module")
def text(ranked_page: Path) -> str:
    return ranked_page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def outline(text: str) -> Outline:
    return Outline(text)


def section(text: str, name: str) -> str:
    found = re.search(rf'<section id="{name}".*?</section>', text, re.DOTALL)
    assert found is not None
    return found.group()


def words(text: str) -> str:
    """A piece of the page as one reads it."""
    return " ".join(html.unescape(re.sub("<.*?>", "", text)).split())


def rows(text: str) -> list[list[str]]:
    """Cells of the bodies of all tables."""
    return [
        [words(cell) for cell in re.findall("<t[hd].*?</t[hd]>", row, re.DOTALL)]
        for body in re.findall("<tbody>(.*?)</tbody>", text, re.DOTALL)
        for row in re.findall("<tr.*?</tr>", body, re.DOTALL)
    ]


def drawn(text: str, name: str) -> Any:
    found = re.search(rf'<script [^>]*data-plot="plot-{name}">(.*?)</script>', text)
    assert found is not None
    return json.loads(found.group(1))


def minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


# --- the page as a whole --------------------------------------------------------------------------


def test_is_well_formed_and_every_reference_finds_its_element(outline: Outline) -> None:
    assert outline.open == []
    ids = Counter(attributes["id"] for _, attributes in outline.elements if "id" in attributes)
    assert max(ids.values()) == 1
    for tag, attributes in outline.elements:
        targets = (attributes.get("aria-labelledby") or "").split()
        if tag in ("a", "use"):
            targets.append((attributes["href"] or "").removeprefix("#"))
        if "data-plot" in attributes:
            targets.append(attributes["data-plot"] or "")
        assert set(targets) <= ids.keys()
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)]
    assert all(below - above <= 1 for above, below in pairwise(levels))


def test_sections_of_the_ranking_are_there_with_a_hybrid_alone(
    page: Path, text: str, outline: Outline
) -> None:
    sections = [attributes["id"] for attributes in outline.named("section")]
    assert sections[0] == "climb"
    assert set(OF_RANKING) < set(sections)
    without = page.read_text(encoding="utf-8")
    for name in OF_RANKING:
        assert f'href="#{name}"' in text
        assert f'href="#{name}"' not in without
        assert f'id="{name}"' not in without
    assert "hybrid" not in words(without.split("<script>")[0])


def test_hostile_texts_are_texts(outline: Outline) -> None:
    assert not [attributes for _, attributes in outline.elements if "onerror" in attributes]
    assert not outline.named("img")
    assert all((link["href"] or "").startswith("#") for link in outline.named("a"))
    said = " ".join(outline.texts)
    # A feature's meaning, its group, and a rule's value.
    assert "onerror=alert(1)>&amp;{{ 7 * 7 }}" in said
    assert "</script><script>alert('owned')</script>" in said
    assert '<a href="javascript:alert(2)">section</a>' in said


def test_only_the_timings_depend_on_time(ranked_run: Any, text: str, tmp_path: Path) -> None:
    slower = ranked_run.write(
        tmp_path / "slower.html",
        timings={"ranking_rows": {"seconds": 99.0, "peak_mib": 1.0}},
    )
    timed = '<section id="timings".*?</section>|<div id="took">.*?</div>'
    without = [re.sub(timed, "", page, flags=re.DOTALL) for page in (text, slower)]
    assert without[0] == without[1]
    assert ranked_run.write(tmp_path / "again.html") == text


# --- the first screen -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "answer", "certain"),
    [
        (0.001, 0.003, "Yes", "beyond chance"),
        (-0.003, -0.001, "No", "beyond chance"),
        (-0.001, 0.003, "Not clearly", "within what chance alone may do"),
    ],
)
def test_the_first_screen_says_whether_ranking_helps(
    ranked_run: Any, tmp_path: Path, low: float, high: float, answer: str, certain: str
) -> None:
    ranking = ranked_run.metrics["ranking"]
    mean = (low + high) / 2
    gains = {**ranking["gains"], "blend": {"difference": mean, "low": low, "high": high}}
    metrics = {**ranked_run.metrics, "ranking": {**ranking, "gains": gains}}
    text = replace(ranked_run, metrics=metrics).write(tmp_path / "page.html", customers=0)
    top = words(text[text.index("<header>") : text.index("</header>")])
    gain = minus(f"{mean:+.4f}")
    assert f"{answer}: the hybrid's MAP@12 is {gain} beside the blend's, {certain}." in top
    assert f"beside the blend{gain}" in top


def test_the_first_screen_answers_with_the_run_s_figures(text: str, metrics: RunMetrics) -> None:
    top = words(text[text.index("<header>") : text.index("</header>")])
    ranking = metrics.ranking
    assert ranking is not None
    union = ranking.found("union")
    assert union is not None
    assert f"{union.recall:.1%} of what customers then bought is among their candidates" in top
    assert f"MAP@12 {union.perfect_map:.4f}" in top
    assert f"MAP@12 of the hybrid{metrics.test.models['hybrid'].main.mean:.4f}" in top
    assert "44 % blend, 22 % LightGBM, 22 % TabNet, 11 % logistic regression" in top
    (together,) = [row for row in ranking.rules if row.rule == "all"]
    assert f"2 rules are in force and take {together.recommendations:,} places" in top
    assert "LightGBM tells them most by " in top
    first = max((row for row in ranking.shown if row.segment == "all"), key=lambda row: row.first)
    assert f"{100 * first.first:.0f} % go to {describe(first.source).proposes}" in top
    # Each part alone, with what the hybrid is more and its interval.
    parts = {
        row[0]: row[1:] for row in rows(text[text.index("<header>") : text.index("</header>")])
    }
    assert parts.keys() == {"blend", "LightGBM", "TabNet", "logistic regression"}
    for name in ("blend", "lightgbm"):
        gain = ranking.gains[name]
        assert parts[readable(name)] == [
            f"{metrics.test.models[name].main.mean:.4f}",
            minus(f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"),
        ]


# --- sections -------------------------------------------------------------------------------------


def test_the_climb_has_every_step_with_what_the_hybrid_is_more(
    text: str, metrics: RunMetrics
) -> None:
    ranking = metrics.ranking
    assert ranking is not None
    steps = rows(section(text, "climb"))[:8]
    assert [step[0].split(" ")[0] for step in steps] == [
        "popularity",
        "repurchase",
        "blend",
        "blend",
        "logistic",
        "LightGBM",
        "TabNet",
        "hybrid",
    ]
    for step, name in zip(steps, climb(metrics.test, ranking), strict=True):
        main = name.scores.main
        assert step[1] == f"{main.mean:.4f} [{main.low:.4f}, {main.high:.4f}]"
        if name.gain is None:
            assert step[2] == ""
        else:
            assert minus(f"[{name.gain.low:+.4f}, {name.gain.high:+.4f}]") in step[2]
            clear = name.gain.low > 0 or name.gain.high < 0
            assert bool(re.search("more|less", step[2])) == clear
        for cell, of_segment in zip(step[3:], ranking.segments.values(), strict=True):
            assert cell.startswith(f"{of_segment.map[name.model]:.4f}")
    assert {"never bought 6 customers", "bought in the last 30 days 50 customers"} <= {
        words(head.replace("<br>", " "))
        for head in re.findall("<th.*?</th>", section(text, "climb"))
    }


def test_metrics_of_an_earlier_version_have_no_segments(ranked_run: Any, tmp_path: Path) -> None:
    ranking = {**ranked_run.metrics["ranking"]}
    del ranking["segments"]
    run = replace(ranked_run, metrics={**ranked_run.metrics, "ranking": ranking})
    first = rows(section(run.write(tmp_path / "page.html", customers=0), "climb"))[0]
    assert len(first) == 3


def test_what_was_found(text: str, metrics: RunMetrics) -> None:
    ranking = metrics.ranking
    assert ranking is not None
    found = {row[0]: row[1:] for row in rows(section(text, "found"))}
    segments = ["all", "cold", "lately"]
    for source in ranking.sources:
        expected = [ranking.found(source, segment) for segment in segments]
        words_of = describe(source)
        assert found[f"{words_of.name} {readable(source)}: {words_of.proposes}"] == [
            figure for row in expected if row for figure in (f"{row.recall:.1%}", f"{row.adds:.1%}")
        ]
    union = [row for row in ranking.candidates if row.source == "union"]
    assert found["all together"][::2] == [f"{row.recall:.1%}" for row in union]
    assert found["MAP@12 of all in the best order"][::2] == [
        f"{row.perfect_map:.4f}" for row in union
    ]
    bars, alone = drawn(text, "found")["data"]
    assert max(bars["x"]) == pytest.approx(union[0].recall, abs=1e-6)
    assert all(small <= large for small, large in zip(alone["x"], bars["x"], strict=True))


def test_what_counts_is_said_in_words_and_by_ranker(text: str, metrics: RunMetrics) -> None:
    ranking = metrics.ranking
    assert ranking is not None
    drivers = section(text, "drivers")
    said = words(drivers)
    for ranker in ranking.rounds:
        for row in ranking.strongest(ranker, 10):
            assert " ".join(row.meaning.split()) in said
            assert f"{row.importance:.1%}" in said
    for means in ("lowered the loss", "deviation of what the feature adds", "the attention"):
        assert means in said
    groups = drawn(text, "groups")["data"]
    assert len(groups) == len(ranking.rounds)
    assert all(sum(trace["x"]) == pytest.approx(1, abs=1e-4) for trace in groups)
    names = {row.feature for row in ranking.importance}
    assert names <= {row[0] for row in rows(drivers)}


def test_how_scores_are_weighed(text: str) -> None:
    weights = section(text, "weights")
    table = {row[0]: row[1:] for row in rows(weights)}
    assert table["blend"] == ["–", "0.1100", *["1 44 %"] * 3]
    assert table["TabNet"][1:] == ["0.1300", *["0.5 22 %"] * 3]
    assert table["hybrid: all together"][1] == "0.1500"
    said = words(weights)
    assert "were chosen on 17–23 July 2020 with 17 customers" in said
    assert "learned from 1 earlier window, since 10 July 2020" in said
    assert "TabNet from customers who bought in the last 30 days; LightGBM from" in said
    assert "2 weights were tried, 1 taken" in said
    assert "Best with 50% blend and 50% LightGBM, the large dot: 0.3000" in said
    (trace,) = drawn(text, "curve-blend-lightgbm")["data"]
    assert trace["y"] == [0.1, 0.3, 0.2]
    sizes = trace["marker"]["size"]
    assert sizes.index(max(sizes)) == 1
    shown, folded = weights.split("<details>")
    assert "curve-blend-lightgbm" in shown
    assert "curve-lightgbm-tabnet" in folded


def test_probabilities_and_what_each_figure_means(text: str, metrics: RunMetrics) -> None:
    ranking = metrics.ranking
    assert ranking is not None
    part = section(text, "probability")
    table = {row[0]: row[1:] for row in rows(part)}
    for ranker, figures in ranking.probability.items():
        assert table[readable(ranker)][2] == f"{figures.rmse:#.4g}"
        assert len(table[readable(ranker)]) == 9
    assert part.count("<dd>") == 7
    rows_of = next(iter(ranking.probability.values())).rows
    assert f"These figures are of {rows_of:,} rows: every candidate of everybody" in words(part)


def test_the_calibration_is_drawn_and_in_tables(text: str, metrics: RunMetrics) -> None:
    ranking = metrics.ranking
    assert ranking is not None
    part = section(text, "probability")
    ideal, *curves_ = drawn(text, "calibration")["data"]
    assert ideal["x"] == ideal["y"]
    said = rows(part)
    for curve, (ranker, bins) in zip(curves_, ranking.calibration.items(), strict=True):
        assert readable(ranker) in curve["hovertemplate"]
        assert curve["x"] == pytest.approx([each.predicted for each in bins], rel=1e-4)
        assert curve["y"] == [
            pytest.approx(each.observed, rel=1e-4) if each.observed else None for each in bins
        ]
        figures = ranking.probability[ranker]
        assert sum(each.n for each in bins) == figures.rows
        assert sum(each.n * each.observed for each in bins) == pytest.approx(
            figures.rows * figures.observed
        )
        for each in bins:
            assert [f"{100 * each.predicted:.3g} %", f"{100 * each.observed:.3g} %"] in [
                row[1:3] for row in said
            ]


def test_what_is_shown_and_where_it_comes_from(
    ranked_run: Any, text: str, metrics: RunMetrics
) -> None:
    ranking = metrics.ranking
    assert ranking is not None
    part = section(text, "shown")
    assert part.count('<li class="tile">') == len(ranking.most_shown) == 12
    shares = [row.customers / metrics.test.customers for row in ranking.most_shown]
    assert shares == sorted(shares, reverse=True)
    for article, share in zip(ranking.most_shown, shares, strict=True):
        assert f"to {share:.1%} bought by {article.bought} of {article.customers}" in words(
            part.replace("</span>", " </span>")
        )
    # What leads adds up to all places but those that were filled up, and proposes them.
    for segment in ("all", "cold", "lately"):
        of_segment = [row for row in ranking.shown if row.segment == segment]
        assert 0 < sum(row.first for row in of_segment) <= 1 + 1e-9
        assert all(row.first <= row.places + 1e-9 for row in of_segment)
    table = {row[0]: row[1:] for row in rows(part)}
    for row in ranking.shown:
        if row.segment == "all":
            cells = table[f"{describe(row.source).name} {describe(row.source).proposes}"]
            assert cells[:2] == [f"{row.first:.1%}", f"{row.places:.1%}"]
    # A run that has not noted it has no such section.
    bare = {key: each for key, each in ranked_run.metrics["ranking"].items() if key != "shown"}
    run = replace(ranked_run, metrics={**ranked_run.metrics, "ranking": bare})
    assert 'id="shown"' not in run.write(ranked_run.images.parent / "bare.html", customers=0)


def test_what_is_not_defined_is_a_dash(ranked_run: Any, tmp_path: Path) -> None:
    ranking = ranked_run.metrics["ranking"]
    figures = {**ranking["probability"]["lightgbm"], "auc": float("nan"), "r2": float("nan")}
    probability = {**ranking["probability"], "lightgbm": figures}
    run = replace(
        ranked_run,
        metrics={**ranked_run.metrics, "ranking": {**ranking, "probability": probability}},
    )
    text = run.write(tmp_path / "page.html", customers=0)
    table = {row[0]: row[1:] for row in rows(section(text, "probability"))}
    assert table["LightGBM"].count("–") == 2
    assert "nan" not in words(section(text, "probability"))


def test_rules_and_the_cascade_with_their_cost(
    ranked_run: Any, text: str, metrics: RunMetrics, tmp_path: Path
) -> None:
    ranking = metrics.ranking
    assert ranking is not None
    part = section(text, "rules")
    table = {row[0]: row[1:] for row in rows(part)}
    customers = metrics.test.customers
    changes = {row.rule: row for row in ranking.rules}
    assert list(changes) == ["exclude", "at_most", "all"]
    for row, rule in (("exclude", "exclude"), ("at most", "at_most"), ("all together", "all")):
        found = changes[rule]
        assert table[row][1:] == [
            f"{found.articles:,}",
            f"{found.recommendations:,} {found.recommendations / (12 * customers):.1%}",
            f"{found.customers:,} {found.customers / customers:.1%}",
        ]
    assert table["at most"][0] == "{product_code: 1}"
    for what, name in {
        "the shop's rules": "hybrid_without_rules",
        "TabNet scoring only the first candidates": "hybrid_without_cascade",
    }.items():
        assert table[what][1].startswith(f"{metrics.test.models[name].main.mean:.4f}")
        assert table[what][2].startswith(minus(f"{ranking.gains[name].mean:+.4f}"))
    assert "only the first 5 candidates" in words(part)
    # Without rules, and without a model that shows a cost.
    models = {
        name: scores
        for name, scores in ranked_run.metrics["test"]["models"].items()
        if not name.startswith("hybrid_without")
    }
    test = {**ranked_run.metrics["test"], "models": models}
    bare = replace(ranked_run, metrics={**ranked_run.metrics, "test": test}).write(
        tmp_path / "bare.html", customers=0, rules=Rules()
    )
    said = words(section(bare, "rules"))
    assert "No rule of the shop is in force" in said
    assert "Nothing is cut short" in said


def test_the_blend_is_not_said_to_be_what_is_submitted(text: str) -> None:
    assert "How the blend is mixed" in text
    assert "The blend is one of the scores that the hybrid weighs." in text
    assert "by their share of the score" not in text
    assert "with its place in each one" in text


# --- customers ------------------------------------------------------------------------------------


def test_recommendations_say_which_sources_proposed_them(ranked_run: Any) -> None:
    window = RunMetrics.of(ranked_run.metrics).test.window
    examples = make_examples(
        ranked_run.dataset,
        window,
        ranked_run.hybrid,
        ranked_run.blend,
        k=12,
        n=6,
        seed=1,
        pictures=PictureFolder(None),
    )
    history = ranked_run.dataset.until(window.as_of)
    for batch in history.batches():
        ids = dict(batch.customers.select("customer_id", "customer").iter_rows())
        proposed = ranked_run.hybrid.generator.propose(batch)
        for example in examples:
            if example.customer_id not in ids:
                continue
            customer = ids[example.customer_id]
            assert example.recommended
            for place in example.recommended:
                assert place.sources == []
                ranks = [rank for _, rank in place.places]
                assert ranks == sorted(ranks)
                for source, rank in place.places:
                    row = proposed[source].filter(
                        customer=customer, article=place.tile.article["article"]
                    )
                    assert row["rank"].to_list() == [rank]


# --- pieces ---------------------------------------------------------------------------------------


def test_windows_are_read_as_they_are_written() -> None:
    for window in (Window(date(2020, 9, 19), 1), Window(date(2019, 12, 30), 7)):
        assert window_of(str(window)) == window


def test_shares_of_nothing_are_nothing() -> None:
    assert shares({"blend": 1.0, "lightgbm": 3.0}) == {"blend": 0.25, "lightgbm": 0.75}
    assert shares({"blend": 0.0}) == {"blend": 0.0}


def test_the_main_ranker_has_the_most_weight_of_customers(metrics: RunMetrics) -> None:
    ranking = metrics.ranking
    assert ranking is not None
    weights = {
        "cold": {"blend": 0.0, "logistic": 1.0},
        "lately": {"blend": 0.5, "tabnet": 1.0},
        "earlier": {"lightgbm": 1.0},
    }
    # Of the 56 customers, 6 are cold, 50 have bought lately, and none earlier.
    assert main_ranker(ranking.model_copy(update={"weights": weights})) == "tabnet"


def test_curves_to_show_first() -> None:
    pairs = [("blend", "lightgbm"), ("blend", "sasrec"), ("tabnet", "sasrec")]
    points = pl.DataFrame(
        [(one, other, share, 0.1) for one, other in pairs for share in (0.0, 1.0)],
        schema=["one", "other", "share", "map"],
        orient="row",
    )
    first, others = curves(RankingChoice(points, pl.DataFrame(), Rules(), 50))
    assert [(curve.one, curve.other) for curve in first] == [pairs[0], pairs[2]]
    assert [(curve.one, curve.other) for curve in others] == [pairs[1]]
    only = points.filter(pl.col("other") == "sasrec", pl.col("one") == "blend")
    first, others = curves(RankingChoice(only, pl.DataFrame(), Rules(), 50))
    assert [(curve.one, curve.other) for curve in first] == [pairs[1]]
    assert others == []


def test_what_each_step_takes(metrics: RunMetrics) -> None:
    ranking = metrics.ranking
    assert ranking is not None
    seconds = {
        "ingest": 1.0,
        "train_sasrec_earlier": 2.0,
        "train_sasrec": 4.0,
        "choose": 8.0,
        "ranking_rows": 16.0,
        "choose_ranking": 32.0,
        "learn_ranking": 64.0,
        "recommend": 128.0,
    }
    timings = {stage: {"seconds": each, "peak_mib": 10 * each} for stage, each in seconds.items()}
    steps = climb(metrics.test, ranking)
    found = {
        cost.step.model: cost
        for cost in costs(steps, ranking, {"popularity": 1.0, "sasrec": 1.0}, timings)
    }
    assert found["popularity"].seconds == 1
    assert found["blend"].seconds == 1 + 2 + 8
    assert found["lightgbm"].seconds == found["hybrid"].seconds == 1 + 8 + 16 + 32 + 64
    assert found["hybrid"].peak_mib == 640
    assert "recommend" not in found["hybrid"].stages
    untimed = costs(steps, ranking, {}, {"recommend": timings["recommend"]})
    assert {cost.seconds for cost in untimed} == {None}


# --- a browser ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as launched:
        yield launched


@needs_chromium
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1400, "dark")])
def test_in_a_browser(chromium: Any, ranked_page: Path, width: int, scheme: str) -> None:
    with opened(chromium, ranked_page, width, scheme=scheme) as tab:
        tab.wait_for_selector(f"html[data-drawn={scheme}]")
        assert fits(tab)
        if width > 1000:
            # What one wants to know of a ranking stands on the first screen.
            box = tab.locator(".answers").bounding_box()
            assert box["y"] + box["height"] < 900
        tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        tab.wait_for_timeout(200)
        assert fits(tab)
        # What was folded away is drawn as wide as its place.
        place = tab.locator("#plot-curve-lightgbm-tabnet")
        assert place.locator("svg.main-svg").first.bounding_box()["width"] == pytest.approx(
            place.bounding_box()["width"], abs=1
        )
