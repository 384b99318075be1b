"""Articles that were not bought, drawn to be told apart from those that were."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modiste.errors import DataError


class Negatives(NamedTuple):
    """Drawn articles.

    Attributes
    ----------
    items
        int64, shape (n,): article codes, each once, sorted.
    log_expected
        float32, shape (n,): logarithm of how often each is expected in a draw.
    """

    items: Tensor
    log_expected: Tensor

    def together_with(self, items: Tensor) -> Negatives:
        """The same and others, which are expected once: they are there at every draw."""
        joined, place = torch.unique(torch.cat([self.items, items]), return_inverse=True)
        log_expected = torch.zeros(len(joined))
        log_expected[place[: len(self.items)]] = self.log_expected
        log_expected[place[len(self.items) :]] = 0
        return Negatives(joined, log_expected)


class NegativeSampler(Protocol):
    """Draws articles, all histories of a batch sharing them."""

    def draw(self, number: int, rng: np.random.Generator) -> Negatives:
        """Draw ``number`` articles; fewer when some came up twice or there are not as many."""

    def draw_each(self, rows: int, number: int, rng: np.random.Generator) -> Tensor:
        """Draw anew for each of ``rows``: int64, shape (rows, number), repeats possible."""


class Uniform:
    """All articles alike, none twice.

    Parameters
    ----------
    items
        int64, shape (n,): the codes to draw from (those on sale).
    """

    def __init__(self, items: NDArray[np.int64]) -> None:
        if not len(items):
            raise DataError("there are no articles to draw negatives from: give the codes on sale")
        self._items = np.sort(items)

    def draw(self, number: int, rng: np.random.Generator) -> Negatives:
        """Draw without replacement."""
        kept = min(number, len(self._items))
        chosen = np.sort(rng.choice(len(self._items), kept, replace=False, shuffle=False))
        expected = np.log(np.full(kept, kept / len(self._items))).astype(np.float32)
        return Negatives(torch.from_numpy(self._items[chosen]), torch.from_numpy(expected))

    def draw_each(self, rows: int, number: int, rng: np.random.Generator) -> Tensor:
        """Draw with replacement."""
        return torch.from_numpy(self._items[rng.integers(0, len(self._items), (rows, number))])


class Popularity:
    """Articles in proportion to a power of how often they were bought.

    Parameters
    ----------
    counts
        Shape (n_articles,): purchases of each, or any measure of them; one of 0 is never drawn.
    power
        1: in proportion; 0: all that were bought alike. word2vec's 0.75 is a usual middle.
    """

    def __init__(
        self, counts: NDArray[np.int64] | NDArray[np.floating[Any]], power: float = 1.0
    ) -> None:
        (self._items,) = counts.nonzero()
        if not len(self._items):
            raise DataError("no article was bought: there is no popularity to draw negatives by")
        weights = counts[self._items].astype(np.float64) ** power
        self._share = weights / weights.sum()
        self._cumulative = np.cumsum(self._share)
        self._cumulative[-1] = 1.0

    def draw(self, number: int, rng: np.random.Generator) -> Negatives:
        """Draw with replacement and keep each article once.

        An article of share q is then expected ``1 - (1 - q) ** number`` times.
        """
        return self.draw_and_some_of(number, self._items[:0], 0, rng)

    def draw_and_some_of(
        self, number: int, others: NDArray[np.int64], some: int, rng: np.random.Generator
    ) -> Negatives:
        """Draw with replacement, and beside it ``some`` of ``others`` without.

        Parameters
        ----------
        number
            Articles drawn by popularity.
        others
            Sorted codes, none twice, of articles that can be drawn by popularity, too.
        some
            How many of them, all alike; all where there are not as many.
        """
        drawn = np.unique(self._draw(number, rng))
        own = np.searchsorted(self._items, others)
        some = min(some, len(own))
        drawn = np.union1d(drawn, rng.choice(own, some, replace=False))
        missed = number * np.log1p(-np.minimum(self._share[drawn], 1 - 1e-12))
        with np.errstate(divide="ignore"):  # all of the others are taken: none is missed
            missed[np.isin(drawn, own)] += np.log1p(-some / max(len(own), 1))
        return Negatives(
            torch.from_numpy(self._items[drawn]),
            torch.from_numpy(np.log(-np.expm1(missed)).astype(np.float32)),
        )

    def draw_each(self, rows: int, number: int, rng: np.random.Generator) -> Tensor:
        """Draw with replacement."""
        return torch.from_numpy(self._items[self._draw(rows * number, rng)].reshape(rows, number))

    def _draw(self, number: int, rng: np.random.Generator) -> NDArray[np.int64]:
        return np.searchsorted(self._cumulative, rng.random(number), side="right")
