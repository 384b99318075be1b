"""The merge of what sources propose, and the quotas by segment."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from modiste.candidates.generator import CandidateGenerator, merge, rank_of, score_of
from modiste.candidates.settings import CandidateSettings, segment_of_customers
from modiste.data.dataset import Dataset
from modiste.evaluation.protocol import RECOMMENDATIONS

QUOTAS = {
    "cold": {"popularity": 7},
    "lately": {"popularity": 3, "repurchase": 2},
    "earlier": {"popularity": 5},
}


def proposed(rows: list[tuple[int, int, float, int]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=RECOMMENDATIONS, orient="row")


def test_the_merge_keeps_the_best_placed_and_every_source_of_each() -> None:
    merged = merge(
        {
            "popularity": proposed([(1, 10, 0.9, 1), (1, 11, 0.5, 2), (1, 12, 0.1, 3)]),
            "repurchase": proposed([(1, 12, 7.0, 1), (1, 13, 3.0, 2)]),
        },
        limit=3,
    )
    # 10 and 12 are somebody's first; of the seconds 11 is of the earlier source.
    assert merged["article"].to_list() == [10, 11, 12]
    assert merged[rank_of("popularity")].to_list() == [1, 2, 3]
    assert merged[score_of("popularity")].to_list() == pytest.approx([0.9, 0.5, 0.1])
    assert merged[score_of("repurchase")].to_list() == [None, None, 7.0]
    assert merged[rank_of("repurchase")].to_list() == [None, None, 1]


def test_a_source_that_returns_nothing_changes_nothing_but_its_columns() -> None:
    some = {"popularity": proposed([(1, 10, 0.9, 1), (2, 11, 0.5, 1)])}
    with_none = merge({**some, "content": proposed([])}, 5)
    assert_frame_equal(with_none.drop(score_of("content"), rank_of("content")), merge(some, 5))
    assert with_none[score_of("content")].null_count() == 2


def test_customers_are_asked_sources_by_how_lately_they_bought(small_shop: Dataset) -> None:
    history = small_shop.until(small_shop.next_day)
    generator = CandidateGenerator(CandidateSettings(quotas=QUOTAS)).fit(history)
    seen = set()
    for batch in history.batches():
        counts = {
            name: dict(frame.group_by("customer").len().iter_rows())
            for name, frame in generator.propose(batch).items()
        }
        for customer, segment in segment_of_customers(batch).iter_rows():
            seen.add(segment)
            quotas = QUOTAS[segment]
            assert counts["popularity"][customer] == quotas["popularity"]
            assert counts["repurchase"].get(customer, 0) <= quotas.get("repurchase", 0)
    assert {"cold", "lately"} <= seen


def test_a_customer_has_no_more_candidates_than_the_limit(small_shop: Dataset) -> None:
    history = small_shop.until(small_shop.next_day)
    generator = CandidateGenerator(CandidateSettings(limit=9)).fit(history)
    for batch in history.batches():
        found = generator.candidates(batch)
        assert found["customer"].unique().len() == batch.customers.height
        assert found.group_by("customer").len()["len"].max() == 9
        assert found.select("customer", "article").is_duplicated().sum() == 0


def test_a_saved_generator_proposes_the_same(small_shop: Dataset, tmp_path: Path) -> None:
    history = small_shop.until(small_shop.next_day)
    generator = CandidateGenerator(CandidateSettings(quotas=QUOTAS)).fit(history)
    generator.save(tmp_path)
    batch = history.partitions[1].read()
    loaded = CandidateGenerator().load(tmp_path)
    assert_frame_equal(loaded.candidates(batch), generator.candidates(batch), check_exact=True)


def test_quotas_of_unknown_segments_and_sources_are_refused() -> None:
    with pytest.raises(ValidationError, match="segments cold, lately, earlier"):
        CandidateSettings(quotas={"loyal": {"popularity": 1}})
    with pytest.raises(ValidationError, match="no source fame"):
        CandidateSettings(quotas={**QUOTAS, "cold": {"fame": 1}})
