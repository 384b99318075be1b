"""Metrics against hand-worked answers, Kaggle's definition word for word, and trec_eval."""

from __future__ import annotations

from random import Random

import numpy as np
import polars as pl
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.evaluation.metrics import coverage, gini, metric_names, novelty, score_customers

Lists = dict[int, list[int]]

K = 5
DEEP = 8


def frame_of(lists: Lists) -> pl.DataFrame:
    """Recommendations from each customer's list, best first."""
    rows = [
        (customer, article, 0.5, place)
        for customer, articles in lists.items()
        for place, article in enumerate(articles, start=1)
    ]
    schema = {
        "customer": pl.Int32,
        "article": pl.Int32,
        "score": pl.Float32,
        "rank": pl.UInt16,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def labels_of(bought: dict[int, set[int]]) -> pl.DataFrame:
    rows = [(customer, article) for customer, articles in bought.items() for article in articles]
    return pl.DataFrame(rows, schema={"customer": pl.Int32, "article": pl.Int32}, orient="row")


def kaggle_average_precision(actual: set[int], predicted: list[int], k: int) -> float:
    """Kaggle's definition as everybody copies it (Ben Hamner's ml_metrics, apk)."""
    predicted = predicted[:k]
    score = hits = 0.0
    for i, p in enumerate(predicted):
        if p in actual and p not in predicted[:i]:
            hits += 1
            score += hits / (i + 1.0)
    return score / min(len(actual), k)


def test_hand_worked() -> None:
    lists = {1: [10, 11, 12, 13], 2: [20, 21], 4: [40]}
    bought = {1: {10, 12, 99}, 2: {98}, 3: {30}}
    scores = score_customers(frame_of(lists), labels_of(bought), k=3, recall_at=(1,))
    assert scores["customer"].to_list() == [1, 2, 3]
    assert scores["n_labels"].to_list() == [3, 1, 1]
    best = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert scores.row(0, named=True) == pytest.approx(
        {
            "customer": 1,
            "n_labels": 3,
            "average_precision": (1 / 1 + 2 / 3) / 3,
            "recall": 2 / 3,
            "hit": 1.0,
            "ndcg": (1 + 1 / np.log2(4)) / best,
            "reciprocal_rank": 1.0,
            "recall@1": 1 / 3,
        }
    )
    assert scores.row(1)[2:] == scores.row(2)[2:] == (0.0,) * 6


def test_more_labels_than_places() -> None:
    scores = score_customers(frame_of({0: [0, 1]}), labels_of({0: {0, 1, 2, 3}}), k=2)
    assert scores.row(0, named=True) == {
        "customer": 0,
        "n_labels": 4,
        "average_precision": 1.0,
        "recall": 0.5,
        "hit": 1.0,
        "ndcg": 1.0,
        "reciprocal_rank": 1.0,
    }


def test_repeated_articles_count_once_at_their_first_place_and_keep_their_places() -> None:
    scores = score_customers(frame_of({0: [7, 5, 5, 6]}), labels_of({0: {5, 6}}), k=4)
    assert scores["average_precision"][0] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert scores["recall"][0] == 1.0


def test_repeated_labels_count_once() -> None:
    bought = labels_of({0: {1, 2}})
    once = score_customers(frame_of({0: [1]}), bought)
    assert once.equals(score_customers(frame_of({0: [1]}), pl.concat([bought, bought])))


def test_no_recommendations_and_no_labels() -> None:
    nothing = frame_of({})
    scores = score_customers(nothing, labels_of({3: {1}, 2: {1}}), recall_at=(100,))
    assert scores["customer"].to_list() == [2, 3]
    assert scores.select(metric_names((100,))).sum_horizontal().to_list() == [0.0, 0.0]
    empty = score_customers(frame_of({0: [1]}), labels_of({}))
    assert empty.is_empty()
    assert empty.columns == scores.columns[:-1]


def test_cut_after_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="one article or more"):
        score_customers(frame_of({}), labels_of({}), k=0)


@st.composite
def cases(draw: st.DrawFn, *, repeats: bool) -> tuple[Lists, dict[int, set[int]]]:
    """Lists shorter and longer than the cut-offs; fewer and more labels than places."""
    articles = st.integers(0, 14)
    lists = draw(
        st.dictionaries(
            st.integers(0, 8), st.lists(articles, max_size=DEEP + 3, unique=not repeats), max_size=8
        )
    )
    bought = draw(
        st.dictionaries(
            st.integers(0, 8), st.sets(articles, min_size=1, max_size=9), min_size=1, max_size=8
        )
    )
    return lists, bought


@given(cases(repeats=True), st.integers(1, 12), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_average_precision_is_kaggles(
    case: tuple[Lists, dict[int, set[int]]], k: int, random: Random
) -> None:
    lists, bought = case
    shuffled = frame_of(lists).sample(fraction=1, shuffle=True, seed=random.randint(0, 99))
    scores = score_customers(shuffled, labels_of(bought), k=k)
    expected = {
        customer: kaggle_average_precision(actual, lists.get(customer, []), k)
        for customer, actual in bought.items()
    }
    assert dict(scores.select("customer", "average_precision").iter_rows()) == pytest.approx(
        expected
    )


@st.composite
def scored_cases(
    draw: st.DrawFn,
) -> tuple[dict[int, dict[int, int]], dict[int, set[int]]]:
    """Scores of a few distinct values, so that most lists have ties."""
    lists, bought = draw(cases(repeats=False))
    scored = {
        customer: {article: draw(st.integers(0, 3)) for article in articles}
        for customer, articles in lists.items()
    }
    return scored, bought


def trec_order(scored: dict[int, int]) -> list[int]:
    """trec_eval ranks by falling score, tied ones by falling document name."""
    return sorted(scored, key=lambda article: (scored[article], f"{article:02d}"), reverse=True)


@given(scored_cases())
@settings(max_examples=150, deadline=None)
def test_against_trec_eval(
    case: tuple[dict[int, dict[int, int]], dict[int, set[int]]],
) -> None:
    scored, bought = case
    lists = {customer: trec_order(articles) for customer, articles in scored.items()}
    scores = score_customers(frame_of(lists), labels_of(bought), k=K, recall_at=(DEEP,))
    oracle = pytrec_eval.RelevanceEvaluator(
        {str(c): {f"{a:02d}": 1 for a in articles} for c, articles in bought.items()},
        {f"map_cut.{K}", f"recall.{K},{DEEP}", f"ndcg_cut.{K}", f"success.{K}"},
    ).evaluate(
        {str(c): {f"{a:02d}": float(s) for a, s in found.items()} for c, found in scored.items()}
    )
    for row in scores.iter_rows(named=True):
        # trec_eval leaves customers without a list out; they score 0 here.
        trec = oracle.get(str(row["customer"]), {})
        n_labels = row["n_labels"]
        # trec_eval divides by the number of labels, Kaggle by no more than k.
        map_cut = trec.get(f"map_cut_{K}", 0.0) * n_labels / min(n_labels, K)
        assert row["average_precision"] == pytest.approx(map_cut)
        assert row["recall"] == pytest.approx(trec.get(f"recall_{K}", 0.0))
        assert row[f"recall@{DEEP}"] == pytest.approx(trec.get(f"recall_{DEEP}", 0.0))
        assert row["ndcg"] == pytest.approx(trec.get(f"ndcg_cut_{K}", 0.0))
        assert row["hit"] == trec.get(f"success_{K}", 0.0)


def test_many_customers_against_trec_eval() -> None:
    rng = np.random.default_rng(3)
    lists = {c: rng.permutation(60)[: rng.integers(1, 13)].tolist() for c in range(400)}
    bought = {c: set(rng.integers(0, 60, rng.integers(1, 30)).tolist()) for c in range(400)}
    scores = score_customers(frame_of(lists), labels_of(bought), k=12)
    oracle = pytrec_eval.RelevanceEvaluator(
        {str(c): {str(a): 1 for a in articles} for c, articles in bought.items()},
        {"map_cut.12", "recip_rank", "ndcg_cut.12"},
    ).evaluate(
        {
            str(c): {str(a): -float(place) for place, a in enumerate(articles)}
            for c, articles in lists.items()
        }
    )
    trec = [oracle[str(customer)] for customer in scores["customer"]]
    denominators = scores["n_labels"].to_numpy() / np.minimum(scores["n_labels"].to_numpy(), 12)
    assert scores["average_precision"].to_numpy() == pytest.approx(
        np.array([t["map_cut_12"] for t in trec]) * denominators
    )
    assert scores["reciprocal_rank"].to_list() == pytest.approx([t["recip_rank"] for t in trec])
    assert scores["ndcg"].to_list() == pytest.approx([t["ndcg_cut_12"] for t in trec])


def test_same_bytes_for_any_order_of_rows() -> None:
    rng = np.random.default_rng(5)
    frame = frame_of({c: rng.permutation(40)[:12].tolist() for c in range(3000)})
    labels = labels_of({c: set(rng.integers(0, 40, 6).tolist()) for c in range(3000)})
    first = score_customers(frame, labels)
    for seed in range(3):
        again = score_customers(
            frame.sample(fraction=1, shuffle=True, seed=seed),
            labels.sample(fraction=1, shuffle=True, seed=seed),
        )
        assert first.equals(again)


def test_coverage() -> None:
    frame = frame_of({0: [1, 2, 9], 1: [1]})
    assert coverage(frame, [1, 2, 3, 4]) == 0.5
    assert coverage(frame, []) == 0.0


def test_novelty_is_the_mean_self_information_of_the_places() -> None:
    # Shares after one sale is added to each: 4/8, 2/8, 1/8, 1/8.
    sales = [3, 1, 0, 0]
    assert novelty(frame_of({0: [0, 1], 1: [2, 0]}), sales) == pytest.approx((1 + 2 + 3 + 1) / 4)
    assert np.isnan(novelty(frame_of({}), sales))


def naive_gini(places: list[int]) -> float:
    differences = sum(abs(a - b) for a in places for b in places)
    return differences / (2 * len(places) ** 2 * (sum(places) / len(places)))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=9).filter(any))
@settings(max_examples=60, deadline=None)
def test_gini_is_half_the_relative_mean_difference(places: list[int]) -> None:
    frame = frame_of({0: [article for article, n in enumerate(places) for _ in range(n)] + [99]})
    assert gini(frame, range(len(places))) == pytest.approx(naive_gini(places))


def test_gini_of_nothing_is_undefined() -> None:
    assert np.isnan(gini(frame_of({0: [5]}), [1, 2]))
