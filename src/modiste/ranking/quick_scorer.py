"""Scores of boosted trees without walking them: every split is asked, none is a jump.

A split that sends a row to the right takes the leaves on its left out of a bit mask; of the leaves
that no split has taken out, the row's is the leftmost. Splits are asked of a block of rows at a
time, which the processor does for several rows in one step.

Lucchese et al., "QuickScorer: a fast algorithm to rank documents with additive ensembles of
regression trees", 2015, and its vector form "Exploiting CPU SIMD extensions to speed-up document
scoring with tree ensembles", 2016.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from modiste.ranking.lightgbm_alone import lightgbm

# Leaves of a tree, each a bit of its mask.
MOST_LEAVES = 32
_EVERY_LEAF = 0xFFFFFFFF

# Rows that are asked at a time: their features stay in the processor's nearest memory.
_BLOCK = 128

# LightGBM takes what is no larger for zero.
_ZERO = float(np.float32(1e-35))

# The product of this number and a single bit has other high bits for each of the 32 bits (Leiserson
# et al., "Using de Bruijn sequences to index a 1 in a computer word", 1998).
_DE_BRUIJN = 0x077CB531
_SLOT_OF_BIT = [(_DE_BRUIJN << bit & _EVERY_LEAF) >> 27 for bit in range(32)]

# A split: the column that it asks; the greatest value that goes to the left; the leaves that are
# left when a row goes to the right; whether it goes there when its value is missing.
SPLIT = np.dtype(
    [
        ("feature", np.int64),
        ("threshold", np.float32),
        ("leaves_kept", np.uint32),
        ("missing_right", np.bool_),
    ],
    align=True,
)


class QuickScorer:
    """LightGBM's raw scores of rows, to the last bit, in a fraction of its time.

    Parameters
    ----------
    splits
        Of ``SPLIT``, tree by tree.
    first_splits
        Where each tree's begin, and the last one's end, shape (n_trees + 1,).
    values
        Of the leaves, shape (n_trees, 32), each where its bit's de Bruijn product leads.
    """

    def __init__(
        self,
        splits: NDArray[np.void],
        first_splits: NDArray[np.int64],
        values: NDArray[np.float64],
    ) -> None:
        self._splits, self._first_splits, self._values = splits, first_splits, values

    @classmethod
    def of(cls, booster: lightgbm.Booster) -> Self | None:
        """The scorer of some trees; None where one asks for categories or has too many leaves."""
        splits: list[tuple[int, np.float32, int, bool]] = []
        first_splits, values = [0], []
        for tree in booster.dump_model()["tree_info"]:
            if tree["num_cat"] or tree["num_leaves"] > MOST_LEAVES:
                return None
            leaves: list[float] = []
            splits += _splits(tree["tree_structure"], leaves)
            first_splits.append(len(splits))
            of_tree = np.zeros(MOST_LEAVES)
            of_tree[_SLOT_OF_BIT[: len(leaves)]] = leaves
            values.append(of_tree)
        return cls(np.array(splits, dtype=SPLIT), np.array(first_splits), np.array(values))

    def score(self, columns: NDArray[np.float32]) -> NDArray[np.float64]:
        """Sum of the trees' answers to each row.

        Parameters
        ----------
        columns
            Shape (n_features, n_rows), C-contiguous; NaN where a value is missing.

        Returns
        -------
        Shape (n_rows,).
        """
        scores = np.zeros(columns.shape[1])
        _add_scores(columns, self._splits, self._first_splits, self._values, scores)
        return scores


def _splits(node: dict[str, Any], leaves: list[float]) -> list[tuple[int, np.float32, int, bool]]:
    """The splits from a node on; the values of its leaves are appended from left to right."""
    if "leaf_value" in node:
        leaves.append(node["leaf_value"])
        return []
    first = len(leaves)
    below = _splits(node["left_child"], leaves)
    kept = _EVERY_LEAF & ~((1 << len(leaves)) - (1 << first))
    below += _splits(node["right_child"], leaves)
    threshold = float(node["threshold"])
    # Where nothing was missing when the trees grew, LightGBM takes what is missing for zero.
    left = {"NaN": node["default_left"], "None": threshold >= 0.0}[node["missing_type"]]
    return [(node["split_feature"], _at_most(threshold), kept, not left), *below]


def _at_most(threshold: float) -> np.float32:
    """The greatest 32-bit number that goes to the left at a 64-bit threshold."""
    if -_ZERO <= threshold < _ZERO:
        zero = np.float32(_ZERO)
        return zero if threshold >= 0.0 else np.nextafter(-zero, np.float32(-np.inf))
    with np.errstate(over="ignore"):
        near = np.float32(threshold)
    return np.nextafter(near, np.float32(-np.inf)) if float(near) > threshold else near


def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Machine code that is kept for the next process, where there is a folder to keep it in."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return njit(nogil=True)(function)


@_compiled
def _add_scores(
    columns: NDArray[np.float32],
    splits: NDArray[np.void],
    first_splits: NDArray[np.int64],
    values: NDArray[np.float64],
    scores: NDArray[np.float64],
) -> None:
    masks = np.empty(_BLOCK, dtype=np.uint32)
    every, one = np.uint32(_EVERY_LEAF), np.uint32(1)
    shift, factor = np.uint32(27), np.uint32(_DE_BRUIJN)
    for start in range(0, len(scores), _BLOCK):
        size = min(_BLOCK, len(scores) - start)
        for tree in range(len(values)):
            masks[:] = every
            for number in range(first_splits[tree], first_splits[tree + 1]):
                split = splits[number]
                asked = columns[split.feature, start : start + size]
                threshold, kept = split.threshold, split.leaves_kept
                # A missing value is neither at most nor above anything.
                if split.missing_right:
                    for row in range(size):
                        masks[row] &= every if asked[row] <= threshold else kept
                else:
                    for row in range(size):
                        masks[row] &= kept if asked[row] > threshold else every
            of_tree = values[tree]
            for row in range(size):
                mask = masks[row]
                lowest = np.uint32(mask & (~mask + one))
                scores[start + row] += of_tree[np.uint32(lowest * factor) >> shift]
