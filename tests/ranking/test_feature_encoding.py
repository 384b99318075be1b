from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modiste.errors import DataError
from modiste.ranking import encoding
from modiste.ranking.encoding import Columns, FeatureEncoding
from modiste.ranking.rows import Feature, RankingRows
from ranking_lists import FEATURES, make_rows


def rows_of(**columns: list[float | int | None]) -> RankingRows:
    features = tuple(
        Feature(name, "group", "a meaning", 5 if name.startswith("kind") else None)
        for name in columns
    )
    types = {each.name: pl.Int32 if each.n_categories else pl.Float32 for each in features}
    return RankingRows(features, pl.DataFrame(columns, schema=types))


def test_numbers() -> None:
    rows = rows_of(price=[1, 2, 4, 1e30, -1e30], some=[0, None, 3, None, 0])
    learned = FeatureEncoding().fit(rows)
    assert learned.columns == Columns(2, (0, 1, 1), (), ())
    encoded = learned.transform(rows.frame)
    assert encoded.numbers.dtype == np.float32
    assert encoded.categories.shape == (5, 0)
    price, some, missing = encoded.numbers.T
    assert price.mean() == pytest.approx(0, abs=1e-6)
    assert price.std() == pytest.approx(1, rel=1e-6)
    # By hand: the median of the sizes is 4.
    by_hand = np.array([np.log1p(x / 4) for x in (1, 2, 4, 1e30)] + [-np.log1p(1e30 / 4)])
    assert price == pytest.approx((by_hand - by_hand.mean()) / by_hand.std(), rel=1e-5)
    assert missing.tolist() == [0, 1, 0, 1, 0]
    assert some[[1, 3]].tolist() == [0, 0]
    assert (np.diff(price[[4, 0, 1, 2, 3]]) > 0).all()


def test_what_was_not_missing_then_may_be_now() -> None:
    learned = FeatureEncoding().fit(rows_of(price=[1, 2, 4]))
    assert learned.columns.of_numbers == (0,)
    encoded = learned.transform(rows_of(price=[None, 2, np.nan]).frame)
    assert encoded.numbers[[0, 2], 0].tolist() == [0, 0]


def test_nothing_varies_or_is_known() -> None:
    learned = FeatureEncoding().fit(rows_of(same=[0.1] * 7, never=[None] * 7, zero=[0] * 7))
    encoded = learned.transform(rows_of(same=[5], never=[5], zero=[5]).frame)
    assert not encoded.numbers.any()


def test_infinite_is_far() -> None:
    learned = FeatureEncoding().fit(rows_of(price=[1, 2, 4, np.inf]))
    encoded = learned.transform(rows_of(price=[np.inf, -np.inf, 3e38]).frame).numbers[:, 0]
    assert np.isfinite(encoded).all()
    assert encoded[0] == pytest.approx(encoded[2], rel=0.1)
    assert encoded[1] < 0 < encoded[0]
    mostly = FeatureEncoding().fit(rows_of(price=[1, np.inf, np.inf]))
    assert np.isfinite(mostly.transform(rows_of(price=[1, np.inf]).frame).numbers).all()


def test_most_are_all_but_zero() -> None:
    """Scores that decay leave numbers that float32 can hardly hold, beside whole ones."""
    rows = rows_of(score=[1e-42, 2e-42, 3e-42, 1, 2])
    encoded = FeatureEncoding().fit(rows).transform(rows.frame).numbers[:, 0]
    assert np.isfinite(encoded).all()
    assert (np.diff(encoded) >= 0).all()
    assert encoded[3] > encoded[2]


def test_categories() -> None:
    learned = FeatureEncoding().fit(rows_of(kind=[0, 4, None, 4], kind_too=[1, 1, 1, 1]))
    assert learned.columns == Columns(2, (), (0, 1), (6, 6))
    met = learned.transform(rows_of(kind=[0, 4, None, 3, 17, -5], kind_too=[1] * 6).frame)
    assert met.categories.dtype == np.int32
    assert met.categories[:, 0].tolist() == [1, 5, 0, 0, 0, 0]
    assert met.categories[:, 1].tolist() == [2] * 6


def test_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = make_rows(20)
    learned = FeatureEncoding().fit(rows)
    whole = learned.transform(rows.frame)
    monkeypatch.setattr(encoding, "_ROWS_IN_A_BLOCK", 7)
    pieces = learned.transform(rows.frame)
    assert np.array_equal(whole.numbers, pieces.numbers)
    assert np.array_equal(whole.categories, pieces.categories)


def test_saved_and_loaded(tmp_path: Path) -> None:
    rows = make_rows(20)
    learned = FeatureEncoding().fit(rows)
    learned.save(tmp_path)
    loaded = FeatureEncoding().load(tmp_path)
    assert loaded.features == FEATURES
    assert loaded.columns == learned.columns
    one, other = learned.transform(rows.frame), loaded.transform(rows.frame)
    assert np.array_equal(one.numbers, other.numbers)
    assert np.array_equal(one.categories, other.categories)


def test_no_rows() -> None:
    with pytest.raises(DataError, match="there are no rows"):
        FeatureEncoding().fit(RankingRows(FEATURES, make_rows(1).frame.clear()))
