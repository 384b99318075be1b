"""How much worse a ranker orders lists when it is told wrong values of some features.

Breiman, "Random Forests", 2001; Fisher, Rudin and Dominici, "All Models are Wrong, but Many are
Useful", 2019. Values are permuted over all rows, so that each is a value that occurs, and says
nothing of its row any more. What several features say alike is not missed when one of them is
permuted: look at groups, too. A ranker that learned without a feature would lose less than one that
is deceived about it (:mod:`modiste.ranking.ablation`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from modiste.ranking.list_accuracy import mean_average_precision
from modiste.ranking.protocol import Ranker
from modiste.ranking.purchases import lists_to_watch
from modiste.ranking.rows import LABEL, RankingRows, require_features

_ROW = "row"


def permutation_importance(
    ranker: Ranker,
    rows: RankingRows,
    permuted: Mapping[str, Sequence[str]],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    k: int = 12,
) -> pl.DataFrame:
    """What MAP@k falls by when features are permuted, by themselves or several together.

    Parameters
    ----------
    ranker
        Fitted, on other rows than these.
    rows
        Whole lists, with what was bought.
    permuted
        By any name, the features that are permuted together: all in the same way, so that they
        still fit each other.
    seeds
        Of the permutations, the same ones for every name.
    k
        Cut-off of MAP.

    Returns
    -------
    One row a name, in the order given: ``name``, ``map`` (of the lists that hold a purchase,
    nothing permuted), ``drop`` (of it, mean over the seeds) and ``spread`` (the drop's standard
    deviation over the seeds; null with one seed).

    Raises
    ------
    DataError
        When no list holds a purchase, or a feature is lacking.
    """
    require_features([name for names in permuted.values() for name in names], rows.frame)
    numbered = rows.frame.with_row_index(_ROW)
    # Any order of the other lists is as good, but their values take part in the permutation.
    lists = lists_to_watch(RankingRows(rows.features, numbered))
    kept = lists.frame[_ROW].to_numpy()
    sizes, bought = lists.list_sizes(), lists.frame[LABEL].to_numpy()

    def accuracy(frame: pl.DataFrame) -> float:
        return mean_average_precision(sizes, bought, ranker.score(frame), k)

    whole = accuracy(lists.frame)
    drops = np.empty((len(permuted), len(seeds)))
    for column, seed in enumerate(seeds):
        drawn = np.random.default_rng(seed).permutation(rows.frame.height)[kept]
        for row, names in enumerate(permuted.values()):
            values = rows.frame.select(names)[drawn]
            drops[row, column] = whole - accuracy(lists.frame.with_columns(values))
    spread = drops.std(axis=1, ddof=1) if len(seeds) > 1 else np.full(len(permuted), np.nan)
    return pl.DataFrame(
        {"name": list(permuted), "drop": drops.mean(axis=1), "spread": spread},
        schema={"name": pl.String(), "drop": pl.Float64(), "spread": pl.Float64()},
    ).select("name", pl.lit(whole).alias("map"), "drop", pl.col("spread").fill_nan(None))
