"""Some customers to look at: what they bought before, what they are recommended, what they bought.

Customers are drawn at random, with a seed, from those who bought in the label window: as many with
a long history as with a short one and with none, so that the page shows every kind and no choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import cycle
from typing import Any

import numpy as np
import polars as pl

from modiste.candidates.generator import rank_of
from modiste.data.dataset import CustomerBatch, Dataset, Partition, Window
from modiste.evaluation.protocol import Recommender
from modiste.models.blend import Blend
from modiste.ranking.hybrid import Hybrid
from modiste.report.pictures import Picture, PictureFolder

# Kinds of customers: a name, and the fewest and most pieces bought before.
_KINDS: tuple[tuple[str, int, int | None], ...] = (
    ("long history", 20, None),
    ("some history", 5, 19),
    ("short history", 1, 4),
    ("no history", 0, 0),
)

_BEFORE = 12

# Of the frame that says which sources proposed what.
_PROPOSED = {
    "customer": pl.Int32(),
    "article": pl.Int32(),
    "source": pl.String(),
    "rank": pl.Int64(),
}


@dataclass(frozen=True)
class Tile:
    """An article beside others.

    Attributes
    ----------
    article
        Row of the articles table, as a dict.
    picture
        How it looks.
    """

    article: Mapping[str, Any]
    picture: Picture


@dataclass(frozen=True)
class Purchase:
    """An article bought before: on which day, and how many pieces."""

    tile: Tile
    day: date
    pieces: int


@dataclass(frozen=True)
class Recommendation:
    """A place in the list.

    Attributes
    ----------
    tile
        The article.
    rank, score
        Its place and what it got it by.
    sources
        Where a blend recommends: which sources proposed it, and each one's share of the score,
        largest first.
    places
        Where a hybrid recommends: which sources proposed it, and its place in each one's list, the
        first ones first. None has what was put in to fill a list that the shop's rules had left
        short.
    bought
        Whether it was bought in the window.
    """

    tile: Tile
    rank: int
    score: float
    sources: list[tuple[str, float]]
    places: list[tuple[str, int]]
    bought: bool


@dataclass(frozen=True)
class Bought:
    """An article bought in the window, and its place among the recommendations, if any."""

    tile: Tile
    rank: int | None


@dataclass(frozen=True)
class Example:
    """A customer.

    Attributes
    ----------
    customer_id, age
        From the customers table.
    kind
        How much history there is, in words.
    pieces, last_day
        Pieces bought before the window, and the day of the last of them.
    before
        The latest of them, newest first.
    recommended
        As of the window's first day, best first.
    bought
        In the window.
    """

    customer_id: str
    age: int | None
    kind: str
    pieces: int
    last_day: date | None
    before: list[Purchase]
    recommended: list[Recommendation]
    bought: list[Bought]

    @property
    def hits(self) -> int:
        """Number of recommended articles that were bought."""
        return sum(recommendation.bought for recommendation in self.recommended)


def make_examples(
    dataset: Dataset,
    window: Window,
    recommender: Recommender,
    blend: Blend,
    *,
    k: int,
    n: int,
    seed: int,
    pictures: PictureFolder,
) -> list[Example]:
    """Draw customers who bought in a window and recommend to them as of its first day.

    Parameters
    ----------
    dataset
        The shop.
    window
        The label window.
    recommender
        What recommends; fitted as of the window's first day.
    blend
        Says what its sources think of what is recommended, where it is the recommender; fitted as
        of the same day. A hybrid has sources of its own.
    k
        Recommendations a customer.
    n
        Number of customers.
    seed
        Of the draw.
    pictures
        What articles look like.
    """
    history = dataset.until(window.as_of)
    labels = dataset.purchases(window)
    buyers = pl.concat(
        history.map(_count_history, labels["customer"].unique(), label="customers to show")
    )
    drawn = _draw(buyers, n, seed)
    if drawn.is_empty():
        return []
    looked_at = set(drawn["partition"].to_list())
    partitions = [part for part in history.partitions if part.index in looked_at]
    parts = dataset.engine.map(
        _look_at, partitions, drawn["customer"], recommender, blend, k, label="customers shown"
    )
    seen = _Seen(
        customers=pl.concat(part.customers for part in parts),
        purchases=pl.concat(part.purchases for part in parts),
        labels=labels,
        candidates=pl.concat(part.candidates for part in parts),
        proposed=pl.concat(part.proposed for part in parts),
        recommended=pl.concat(part.recommended for part in parts),
        weights=blend.weights,
        articles=history.articles,
        pictures=pictures,
    )
    return [seen.example(row) for row in drawn.iter_rows(named=True)]


@dataclass(frozen=True)
class _Part:
    """What is needed of one partition's drawn customers."""

    customers: pl.DataFrame
    purchases: pl.DataFrame
    candidates: pl.DataFrame
    proposed: pl.DataFrame
    recommended: pl.DataFrame


@dataclass(frozen=True)
class _Seen:
    """All that is known of the drawn customers."""

    customers: pl.DataFrame
    purchases: pl.DataFrame
    labels: pl.DataFrame
    candidates: pl.DataFrame
    proposed: pl.DataFrame
    recommended: pl.DataFrame
    weights: Mapping[str, float]
    articles: pl.DataFrame
    pictures: PictureFolder

    def example(self, drawn: Mapping[str, Any]) -> Example:
        """Put together what concerns one customer."""
        customer = drawn["customer"]
        known = next(_of(self.customers, customer))
        bought = [row["article"] for row in _of(self.labels, customer)]
        ranks = {row["article"]: row["rank"] for row in _of(self.recommended, customer)}
        shares, places = self._shares(customer), self._places(customer)
        return Example(
            customer_id=known["customer_id"],
            age=known["age"],
            kind=drawn["kind"],
            pieces=drawn["pieces"],
            last_day=drawn["last_day"],
            before=[
                Purchase(self._tile(row["article"]), row["t_dat"], row["pieces"])
                for row in _of(self.purchases, customer)
            ],
            recommended=[
                Recommendation(
                    self._tile(row["article"]),
                    row["rank"],
                    row["score"],
                    shares.get(row["article"], []),
                    places.get(row["article"], []),
                    row["article"] in bought,
                )
                for row in _of(self.recommended, customer)
            ],
            bought=[Bought(self._tile(article), ranks.get(article)) for article in bought],
        )

    def _shares(self, customer: int) -> dict[int, list[tuple[str, float]]]:
        """Each source's share of the score of every candidate of a customer, largest first."""
        shares = {}
        for row in _of(self.candidates, customer):
            parts = {name: row[name] * weight for name, weight in self.weights.items()}
            total = sum(parts.values()) or 1.0
            shares[row["article"]] = [
                (name, part / total)
                for name, part in sorted(parts.items(), key=lambda part: -part[1])
                if part
            ]
        return shares

    def _places(self, customer: int) -> dict[int, list[tuple[str, int]]]:
        """The place of every candidate of a customer in each source's list, first ones first."""
        places: dict[int, list[tuple[str, int]]] = {}
        for row in _of(self.proposed, customer):
            places.setdefault(row["article"], []).append((row["source"], row["rank"]))
        return places

    def _tile(self, article: int) -> Tile:
        row = self.articles.row(article, named=True)
        return Tile(row, self.pictures.picture(row))


def make_tiles(
    articles: pl.DataFrame, ids: Sequence[str], pictures: PictureFolder
) -> dict[str, Tile]:
    """Some articles, by their ids, to be shown beside others.

    Parameters
    ----------
    articles
        The articles table.
    ids
        Which of them.
    pictures
        What they look like.
    """
    rows = articles.filter(pl.col("article_id").is_in(list(ids))).iter_rows(named=True)
    return {row["article_id"]: Tile(row, pictures.picture(row)) for row in rows}


def _of(frame: pl.DataFrame, customer: int) -> Iterator[dict[str, Any]]:
    return frame.filter(pl.col("customer") == customer).iter_rows(named=True)


def _count_history(partition: Partition, customers: pl.Series) -> pl.DataFrame:
    batch = partition.read().only(customers)
    pieces = batch.transactions.group_by("customer").agg(
        pl.len().alias("pieces"), pl.col("t_dat").max().alias("last_day")
    )
    return (
        batch.customers.select("customer")
        .join(pieces, on="customer", how="left", maintain_order="left")
        .with_columns(pl.col("pieces").fill_null(0), partition=pl.lit(partition.index))
    )


def _draw(buyers: pl.DataFrame, n: int, seed: int) -> pl.DataFrame:
    """Draw ``n`` customers, in turn from each kind while it lasts; sorted by kind."""
    rng = np.random.default_rng(seed)
    waiting = {}
    for kind, fewest, most in _KINDS:
        of_kind = buyers.filter(
            pl.col("pieces") >= fewest, pl.lit(True) if most is None else pl.col("pieces") <= most
        ).sort("customer")
        order = rng.permutation(of_kind.height)[:n]
        waiting[kind] = of_kind[order].with_columns(kind=pl.lit(kind))
    taken = dict.fromkeys(waiting, 0)
    for kind in cycle(waiting):
        done = all(taken[name] == frame.height for name, frame in waiting.items())
        if done or sum(taken.values()) >= n:
            break
        taken[kind] = min(taken[kind] + 1, waiting[kind].height)
    return pl.concat(frame.head(taken[kind]) for kind, frame in waiting.items())


def _look_at(
    partition: Partition, customers: pl.Series, recommender: Recommender, blend: Blend, k: int
) -> _Part:
    batch = partition.read().only(customers)
    latest = (
        batch.transactions.group_by("customer", "t_dat", "article")
        .agg(pl.len().alias("pieces"))
        .sort("customer", "t_dat", "article", descending=[False, True, False])
        .group_by("customer", maintain_order=True)
        .head(_BEFORE)
    )
    blended, proposed = blend.candidates(batch, k), pl.DataFrame(schema=_PROPOSED)
    if isinstance(recommender, Hybrid):
        # The hybrid's score is none that the blend's sources have shares of.
        blended = blended.clear()
        proposed = _proposed(recommender, batch)
    return _Part(
        batch.customers.select("customer", "customer_id", "age"),
        latest,
        blended,
        proposed,
        recommender.recommend(batch, k),
    )


def _proposed(hybrid: Hybrid, batch: CustomerBatch) -> pl.DataFrame:
    """Columns of ``_PROPOSED``: every place of a candidate in a source's list, first ones first."""
    order = {source: number for number, source in enumerate(hybrid.generator.sources)}
    return (
        hybrid.generator.candidates(batch)
        .select("customer", "article", *(pl.col(rank_of(name)).alias(name) for name in order))
        .unpivot(index=["customer", "article"], variable_name="source", value_name="rank")
        .drop_nulls("rank")
        .with_columns(order=pl.col("source").replace_strict(order, return_dtype=pl.Int64))
        .sort("customer", "article", "rank", "order")
        .select(pl.col(name).cast(dtype) for name, dtype in _PROPOSED.items())
    )
