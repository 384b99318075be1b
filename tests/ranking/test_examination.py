"""What is shown and where it comes from, by hand."""

from __future__ import annotations

import polars as pl
import pytest

from modiste.ranking.examination import most_shown, shown_by_source

# Two customers with two places each; the last place was filled up and comes from no source.
SHOWN = pl.DataFrame(
    {
        "customer": [0, 0, 1, 1],
        "article": [7, 8, 7, 9],
        "rank": [1, 2, 1, 2],
        "segment": ["cold", "cold", "lately", "lately"],
        "popularity_rank": [1, 2, 3, None],
        "repurchase_rank": [None, 2, 1, None],
        "bought": [True, False, False, False],
    },
    schema_overrides={"popularity_rank": pl.UInt16, "repurchase_rank": pl.UInt16},
)


def test_shown_by_source() -> None:
    found = {
        (row["segment"], row["source"]): (row["places"], row["first"], row["bought"])
        for row in shown_by_source(SHOWN).iter_rows(named=True)
    }
    assert list(found) == [
        (segment, source)
        for segment in ("all", "cold", "lately")
        for source in ("popularity", "repurchase")
    ]
    # The second place is led by both, half each.
    assert found["all", "popularity"] == pytest.approx((3 / 4, 1.5 / 4, 1 / 3))
    assert found["all", "repurchase"] == pytest.approx((2 / 4, 1.5 / 4, 0))
    assert found["cold", "popularity"] == pytest.approx((1, 0.75, 1 / 2))
    assert found["lately", "repurchase"] == pytest.approx((1 / 2, 1 / 2, 0))


def test_a_source_that_has_nothing_shown_has_no_share_bought() -> None:
    nothing = SHOWN.with_columns(repurchase_rank=pl.lit(None, pl.UInt16))
    row = shown_by_source(nothing).row(1, named=True)
    assert (row["source"], row["places"], row["first"], row["bought"]) == ("repurchase", 0, 0, None)


def test_most_shown() -> None:
    articles = pl.DataFrame({"article": [7, 8, 9], "article_id": ["a7", "a8", "a9"]})
    found = most_shown(SHOWN, articles, 12)
    assert found.to_dicts() == [
        # Each source has it first once: the earlier one is named.
        {"article_id": "a7", "customers": 2, "bought": 1, "source": "popularity"},
        {"article_id": "a8", "customers": 1, "bought": 0, "source": "popularity"},
        {"article_id": "a9", "customers": 1, "bought": 0, "source": None},
    ]
    assert most_shown(SHOWN, articles, 1)["article_id"].to_list() == ["a7"]
