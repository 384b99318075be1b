"""Features as numbers that networks and linear models can take: of one scale, with nothing missing.

Trees need none of this. Everything is learned from the rows that a ranker learns from:

========== ======================================================================================
a number   ``sign(x) log(1 + |x| / s)``, s the median of what is not 0: a tail of any length, either
           way, becomes short; then mean 0 and standard deviation 1
missing    0, the mean; where some were missing in learning, a further column says which (1, else 0)
a category its code plus 1; 0 for none, and for what was never met in learning
========== ======================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.errors import DataError, damaged
from modiste.ranking.rows import Feature, RankingRows, require_features

_FILE = "encoding.json"

# Rows encoded at once: what lies between the frame and the result stays small.
_ROWS_IN_A_BLOCK = 1 << 16

# In standard deviations. Beyond it lies only what was next to constant in learning.
_FARTHEST = 10.0

# A smaller standard deviation, on the scale of logarithms, is a rounding error.
_LEAST_SPREAD = 1e-7


@dataclass(frozen=True)
class Encoded:
    """Encoded rows.

    Attributes
    ----------
    numbers
        float32, shape (n_rows, n_numbers): first the features that are numbers, in their order,
        then which of them are missing.
    categories
        int32, shape (n_rows, n_categories): codes from 0 on.
    """

    numbers: NDArray[np.float32]
    categories: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Encoded:
        return Encoded(self.numbers[rows], self.categories[rows])

    def blocks(self, size: int) -> Iterator[tuple[slice, Encoded]]:
        """So many rows after the other, and which they are."""
        for first in range(0, len(self), size):
            here = slice(first, min(first + size, len(self)))
            yield here, self[here]


@dataclass(frozen=True)
class Columns:
    """Which features the encoded columns are of.

    Attributes
    ----------
    n_features
        How many there are.
    of_numbers
        Place of its feature, for each column of numbers.
    of_categories
        The same for each column of categories.
    codes
        Codes of each category go from 0 to this, exclusively.
    """

    n_features: int
    of_numbers: tuple[int, ...]
    of_categories: tuple[int, ...]
    codes: tuple[int, ...]


class FeatureEncoding:
    """Encodes features as it has learned from some rows; see the module's text.

    Attributes
    ----------
    features
        What it encodes, in the order of :attr:`Columns.n_features`.
    """

    def __init__(self) -> None:
        self.features: tuple[Feature, ...] = ()
        self._scale = self._mean = self._inverse_spread = np.empty(0)
        self._marked: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._codes: list[NDArray[np.int32]] = []

    def fit(self, rows: RankingRows) -> Self:
        """Learn from rows; returns itself.

        Raises
        ------
        DataError
            When there is no feature or no row, or a feature's column is missing.
        """
        if not rows.features:
            raise DataError("the rows have no features, so there is nothing to learn from")
        if not rows.frame.height:
            raise DataError("there are no rows, so there is nothing to learn from")
        self.features = rows.features
        require_features([feature.name for feature in self.features], rows.frame)
        learned = [_learn(_numbers(rows.frame, [each.name])[:, 0]) for each in self._numbers]
        facts = np.array([number for number, _ in learned]).reshape(-1, 3)
        self._scale, self._mean, self._inverse_spread = facts.T
        self._marked = np.flatnonzero([some_missing for _, some_missing in learned])
        self._codes = [_codes_met(rows.frame[each.name], each) for each in self._categories]
        return self

    @property
    def columns(self) -> Columns:
        """What the columns of :meth:`transform` are of."""
        place = {feature.name: index for index, feature in enumerate(self.features)}
        numbers = [place[feature.name] for feature in self._numbers]
        return Columns(
            len(self.features),
            (*numbers, *(numbers[index] for index in self._marked)),
            tuple(place[feature.name] for feature in self._categories),
            tuple(len(codes) for codes in self._codes),
        )

    def transform(self, frame: pl.DataFrame) -> Encoded:
        """Encode rows that have the features' columns.

        Raises
        ------
        DataError
            When a column is missing.
        """
        require_features([feature.name for feature in self.features], frame)
        columns = self.columns
        encoded = Encoded(
            np.empty((frame.height, len(columns.of_numbers)), dtype=np.float32),
            np.empty((frame.height, len(columns.of_categories)), dtype=np.int32),
        )
        for here, block in encoded.blocks(_ROWS_IN_A_BLOCK):
            self._encode(frame[here], block)
        return encoded

    def _encode(self, frame: pl.DataFrame, into: Encoded) -> None:
        values = _numbers(frame, [feature.name for feature in self._numbers])
        missing = np.isnan(values)
        values = _signed_log(values, self._scale.astype(np.float32))
        values -= self._mean.astype(np.float32)
        values *= self._inverse_spread.astype(np.float32)
        np.clip(values, -_FARTHEST, _FARTHEST, out=values)
        values[missing] = 0
        into.numbers[:, : values.shape[1]] = values
        into.numbers[:, values.shape[1] :] = missing[:, self._marked]
        for place, (feature, known) in enumerate(zip(self._categories, self._codes, strict=True)):
            into.categories[:, place] = known[_raw_codes(frame[feature.name], feature)]

    @property
    def _numbers(self) -> list[Feature]:
        return [feature for feature in self.features if feature.n_categories is None]

    @property
    def _categories(self) -> list[Feature]:
        return [feature for feature in self.features if feature.n_categories is not None]

    def save(self, folder: Path) -> None:
        """Write what was learned into an existing folder."""
        state = {
            "features": [asdict(feature) for feature in self.features],
            "scale": self._scale.tolist(),
            "mean": self._mean.tolist(),
            "inverse_spread": self._inverse_spread.tolist(),
            "marked": self._marked.tolist(),
            "met": [np.flatnonzero(codes).tolist() for codes in self._codes],
        }
        text = json.dumps(state, indent=1, ensure_ascii=False)
        (folder / _FILE).write_text(text + "\n", encoding="utf-8")

    def load(self, folder: Path) -> Self:
        """Read back what :meth:`save` wrote; returns itself.

        Raises
        ------
        DataError
            When the folder holds no encoding, or a damaged one.
        """
        try:
            state: dict[str, Any] = json.loads((folder / _FILE).read_text(encoding="utf-8"))
            self.features = tuple(Feature(**feature) for feature in state["features"])
            self._scale, self._mean, self._inverse_spread = (
                np.array(state[name], dtype=np.float64)
                for name in ("scale", "mean", "inverse_spread")
            )
            self._marked = np.array(state["marked"], dtype=np.int64)
            self._codes = [
                _codes(np.array(met, dtype=np.int64), feature)
                for met, feature in zip(state["met"], self._categories, strict=True)
            ]
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise damaged(folder, "encoding of features", error, "train the ranker anew") from error
        return self


def _numbers(frame: pl.DataFrame, names: list[str]) -> NDArray[np.float32]:
    """Columns as float32, shape (n_rows, n_names); null and NaN are NaN."""
    if not names:
        return np.empty((frame.height, 0), dtype=np.float32)
    values: NDArray[np.float32] = frame.select(pl.col(names).cast(pl.Float32)).to_numpy()
    return values


def _signed_log(
    values: NDArray[np.float32], scale: NDArray[np.float32] | np.float32
) -> NDArray[np.float32]:
    """Logarithm of 1 + a size in units of the scale, with the value's sign; always finite."""
    most = np.finfo(np.float32).max
    with np.errstate(over="ignore"):  # by a scale of a decayed score that is all but 0
        sizes = np.abs(np.clip(values, -most, most) / scale)
    logarithm: NDArray[np.float32] = np.copysign(np.log1p(np.minimum(sizes, most)), values)
    return logarithm


def _learn(values: NDArray[np.float32]) -> tuple[tuple[float, float, float], bool]:
    """Scale, mean and inverse spread of a feature, and whether some values were missing."""
    known = values[~np.isnan(values)]
    sizes = np.abs(known[known != 0])
    scale = np.float32(np.median(sizes)) if len(sizes) else np.float32(1)
    if not np.isfinite(scale):  # most are infinite
        scale = np.float32(1)
    if not len(known):
        return (1.0, 0.0, 0.0), False
    logarithms = _signed_log(known, scale).astype(np.float64)
    mean, spread = float(logarithms.mean()), float(logarithms.std())
    inverse = 1 / spread if spread > _LEAST_SPREAD else 0.0
    return (float(scale), mean, inverse), len(known) < len(values)


def _raw_codes(column: pl.Series, feature: Feature) -> NDArray[np.int64]:
    """A category's codes; what is none of them becomes the last one plus 1."""
    assert feature.n_categories is not None  # it is a category
    codes = column.cast(pl.Int64).fill_null(-1).to_numpy()
    known = (codes >= 0) & (codes < feature.n_categories)
    return np.where(known, codes, feature.n_categories)


def _codes_met(column: pl.Series, feature: Feature) -> NDArray[np.int32]:
    raw = np.unique(_raw_codes(column, feature))
    return _codes(raw[raw < (feature.n_categories or 0)], feature)


def _codes(met: NDArray[np.int64], feature: Feature) -> NDArray[np.int32]:
    """The encoded code of each raw one; the last is that of all others."""
    codes = np.zeros((feature.n_categories or 0) + 1, dtype=np.int32)
    codes[met] = met + 1
    return codes
