"""What rankers learn from in a run."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from modiste.candidates.settings import CandidateSettings, segment_of_customers
from modiste.data.dataset import Dataset, Window
from modiste.evaluation.splits import RankerWindows
from modiste.models.blend import Artifacts, BlendSettings
from modiste.ranking.rows import RankingRows
from modiste.ranking.rules import Rules
from modiste.ranking.settings import RankingSettings, Segment
from modiste.ranking_stages import RankingParts, write_rows


def rows_learned_from(
    dataset: Dataset, segments: tuple[Segment, ...], folder: Path
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Of one window the rows to learn from, and of the other the watched ones."""
    watched = Window(dataset.next_day, 7).earlier()
    before = watched.earlier()
    parts = RankingParts(
        BlendSettings(),
        CandidateSettings(),
        RankingSettings(rankers=("logistic",), segments={"logistic": segments}),
        Rules(),
        Artifacts(),
    )
    folder.mkdir()
    write_rows(dataset, RankerWindows(watched, (before,), (before,)), parts, folder)
    return (
        pl.read_parquet(folder / f"rows-{before.as_of}-7.parquet"),
        pl.read_parquet(folder / "watched.parquet"),
    )


def test_rankers_learn_from_the_segments_that_are_wanted(
    small_shop: Dataset, tmp_path: Path
) -> None:
    every, watched = rows_learned_from(small_shop, ("cold", "lately", "earlier"), tmp_path / "all")
    lately, same = rows_learned_from(small_shop, ("lately",), tmp_path / "lately")
    as_of = Window(small_shop.next_day, 7).earlier().earlier().as_of
    segments = pl.concat(
        segment_of_customers(partition.read()) for partition in small_shop.until(as_of).partitions
    )
    wanted = segments.filter(pl.col("segment") == "lately")
    assert set(lately["customer"]) == set(every["customer"]) & set(wanted["customer"])
    assert lately["bought"].any()
    # All are ordered in the end, so all are watched.
    assert_frame_equal(watched, same)


@pytest.mark.parametrize("segment", ["cold", "earlier"])
def test_where_none_of_them_bought_all_others_are_learned_from(
    small_shop: Dataset, tmp_path: Path, segment: Segment
) -> None:
    found, _ = rows_learned_from(small_shop, (segment,), tmp_path / "some")
    assert found["bought"].any()


def test_each_ranker_learns_from_its_own_segments(small_shop: Dataset, tmp_path: Path) -> None:
    frame, _ = rows_learned_from(small_shop, ("cold", "lately", "earlier"), tmp_path / "all")
    rows = RankingRows((), frame)
    lately = rows.of_segments(["lately"]).frame
    assert_frame_equal(lately, frame.filter(pl.col("segment") == "lately"))
    assert rows.of_segments(["lately", "cold", "earlier"]).frame.equals(frame)
    # Who bought nothing teaches nothing.
    nothing = RankingRows((), frame.with_columns(bought=False))
    assert nothing.of_segments(["lately"]).frame.equals(nothing.frame)


def test_a_ranker_that_is_not_named_learns_from_all() -> None:
    ranking = RankingSettings(segments={"lightgbm": ("lately",)})
    assert ranking.segments_of("lightgbm") == ("lately",)
    assert set(ranking.segments_of("logistic")) == {"cold", "lately", "earlier"}
    assert ranking.segments_learned_from == {"cold", "lately", "earlier"}
    only = RankingSettings(rankers=("lightgbm",), segments={"lightgbm": ("lately",)})
    assert only.segments_learned_from == {"lately"}
