"""Ids to codes: every id its own code, whatever the hashes; lost zeros only where unambiguous."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.data import encoding
from modiste.data.encoding import AMBIGUOUS, UNKNOWN, Vocabulary

_IDS = st.lists(st.text(alphabet="01ab", max_size=4), max_size=40)


def _series(ids: Sequence[str | None]) -> pl.Series:
    return pl.Series("id", ids, dtype=pl.String)


def _collide(ids: pl.Series) -> npt.NDArray[np.uint64]:
    """Give three hashes only, the smallest and the largest among them."""
    spread = np.array([0, 1 << 40, (1 << 64) - 1], np.uint64)
    hashes: npt.NDArray[np.uint64] = spread[(ids.hash() % 3).to_numpy()]
    return hashes


@pytest.mark.parametrize("collide", [False, True])
@settings(max_examples=150, deadline=None)
@given(known=_IDS, asked=_IDS)
def test_codes_are_positions(collide: bool, known: list[str], asked: list[str]) -> None:
    known = list(dict.fromkeys(known))
    with pytest.MonkeyPatch.context() as patch:
        if collide:
            patch.setattr(encoding, "_hash", _collide)
        codes = Vocabulary(_series(known)).codes(_series([*known, *asked, None]))
    position = {each: code for code, each in enumerate(known)}
    assert codes.tolist() == [position.get(each, UNKNOWN) for each in [*known, *asked]] + [UNKNOWN]


def test_many_codes() -> None:
    ids = _series([f"{number * 7919:x}" for number in range(100_000)])
    order = np.random.default_rng(0).permutation(100_000)
    assert np.array_equal(Vocabulary(ids).codes(ids.gather(order)), order)


@settings(max_examples=150, deadline=None)
@given(
    known=st.lists(st.text(alphabet="01x", min_size=1, max_size=4), max_size=30),
    asked=st.lists(st.text(alphabet="01x", max_size=3), max_size=10),
)
def test_zeros_are_put_back_where_one_id_matches(known: list[str], asked: list[str]) -> None:
    known = list(dict.fromkeys(known))
    found = Vocabulary(_series(known)).without_zeros(_series(asked))
    for each, code in zip(asked, found, strict=True):
        filled = (
            {each.zfill(width) for width in range(len(each) + 1, 5)} if each.isdigit() else set()
        )
        matches = [position for position, full in enumerate(known) if full in filled]
        assert code == {0: UNKNOWN, 1: (matches or [0])[0]}.get(len(matches), AMBIGUOUS)
