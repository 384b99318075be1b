"""Vectors of a trained network on disk, and the indices of both kinds."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from modiste.customer_lookup import CustomerLookup
from modiste.data.dataset import CustomerBatch, Dataset, History
from modiste.errors import DataError
from modiste.models.combined.joining import Concatenated, Mean
from modiste.models.combined.recommender import CombinedRecommender
from modiste.models.combined.settings import CombinedSettings
from modiste.models.graph.recommender import GraphRecommender
from modiste.models.network_index import (
    ITEM_INDEX,
    USER_INDEX,
    asking,
    equally_long,
    write_network_index,
)
from modiste.models.sasrec.recommender import SASRecRecommender
from modiste.vectors.index import VectorIndex
from modiste.vectors.index_settings import IndexSettings
from shops import ALL_RECOMMENDERS

EXACT = IndexSettings(kind="flat")


@pytest.fixture(scope="module")
def history(small_shop: Dataset) -> History:
    return small_shop.until(small_shop.next_day - timedelta(days=10))


@pytest.fixture(scope="module")
def recommender(history: History) -> CombinedRecommender:
    return CombinedRecommender(
        CombinedSettings(),
        SASRecRecommender(ALL_RECOMMENDERS.sasrec),
        GraphRecommender(ALL_RECOMMENDERS.gnn),
    ).fit(history)


@pytest.fixture(scope="module")
def run(
    history: History, recommender: CombinedRecommender, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    run = tmp_path_factory.mktemp("run")
    folder = run / "stages" / "network_index"
    folder.mkdir(parents=True)
    write_network_index(
        recommender, history, EXACT, {"as_of": "now"}, folder, similar_customers=True
    )
    history.articles.write_parquet(folder / "catalogue.parquet")
    return run


def test_one_search_finds_what_all_scores_would() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(300, 6)) * rng.gamma(2, size=(300, 1))).astype(np.float32)
    offsets = (3 * rng.normal(size=300)).astype(np.float32)
    offsets[::7] = -np.inf
    customers = rng.normal(size=(40, 6)).astype(np.float32)
    index = VectorIndex.build(equally_long(vectors, offsets), {}, EXACT, asking(customers))
    wanted = np.argsort(-(customers @ vectors.T + offsets), axis=1)[:, :20]
    np.testing.assert_array_equal(index.search(asking(customers), 20).ids, wanted)


def test_the_indices_are_of_the_recommenders_vectors(
    history: History, recommender: CombinedRecommender, run: Path
) -> None:
    folder = run / "stages" / "network_index"
    articles, customers = np.load(folder / "articles.npy"), np.load(folder / "customers.npy")
    assert articles.dtype == customers.dtype == np.float32
    np.testing.assert_array_equal(articles, recommender.article_vectors)
    items = VectorIndex.load(folder, ITEM_INDEX)
    batch = history.partitions[0].read()
    codes, vectors = recommender.customer_vectors(batch)
    np.testing.assert_allclose(customers[codes], vectors, rtol=1e-4, atol=1e-5)
    wanted = recommender.recommend(batch, 5)
    found = items.search(asking(customers[codes]), 5).ids
    same = wanted["article"].to_numpy().reshape(-1, 5) == found
    assert same.mean() > 0.98  # but for equals
    users = VectorIndex.load(folder, USER_INDEX)
    assert users.description.vectors == np.count_nonzero(customers.any(axis=1))


def test_similar_customers_are_those_of_the_nearest_vectors(history: History, run: Path) -> None:
    lookup = CustomerLookup.open(run)
    vectors = np.load(run / "stages" / "network_index" / "customers.npy")
    table = pl.concat([batch.customers for batch in history.batches()])
    code = int(np.flatnonzero(vectors.any(axis=1))[3])
    found = lookup.similar(table["customer_id"][code], k=4)
    near = found["customer_id"].unique(maintain_order=True).to_list()
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosines = unit @ unit[code]
    cosines[code] = -2
    assert near == [table["customer_id"][int(each)] for each in np.argsort(-cosines)[:4]]
    bought = pl.concat([batch.transactions for batch in history.batches()])
    first = found.filter(pl.col("customer_id") == near[0])
    own = bought.filter(pl.col("customer") == table["customer_id"].to_list().index(near[0]))
    assert first["t_dat"].to_list() == sorted(first["t_dat"], reverse=True)
    assert first["t_dat"][0] == own["t_dat"].max()
    assert set(first["article_id"]) <= set(
        history.articles["article_id"][own["article"].to_list()].to_list()
    )
    assert lookup.suggested(table["customer_id"][code], 6).height == 6


def test_who_cannot_be_looked_up_is_told(history: History, run: Path) -> None:
    lookup = CustomerLookup.open(run)
    with pytest.raises(DataError, match="no customer 'nobody'"):
        lookup.similar("nobody")
    vectors = np.load(run / "stages" / "network_index" / "customers.npy")
    table = pl.concat([batch.customers for batch in history.batches()])
    without = int(np.flatnonzero(~vectors.any(axis=1))[0])
    with pytest.raises(DataError, match="bought nothing yet"):
        lookup.similar(table["customer_id"][without])


def test_similar_customers_can_be_switched_off(
    history: History, recommender: CombinedRecommender, tmp_path: Path
) -> None:
    folder = tmp_path / "stages" / "network_index"
    folder.mkdir(parents=True)
    write_network_index(recommender, history, EXACT, {}, folder, similar_customers=False)
    left = {path.name for path in folder.iterdir()}
    assert left == {
        "articles.npy",
        "customers.npy",
        "item_faiss_index.bin",
        "item_faiss_index.json",
    }
    with pytest.raises(DataError, match=r"switched off there \(privacy\.similar_customers\)"):
        CustomerLookup.open(tmp_path)
    with pytest.raises(DataError, match="no vectors of customers"):
        CustomerLookup.open(tmp_path / "elsewhere")


def test_nothing_to_index_is_told(small_shop: Dataset, tmp_path: Path) -> None:
    empty = small_shop.until(small_shop.first_day)
    made = GraphRecommender(ALL_RECOMMENDERS.gnn).fit(empty)
    with pytest.raises(DataError, match="there are no vectors to index"):
        write_network_index(made, empty, EXACT, {}, tmp_path, similar_customers=True)


def test_a_concatenated_score_is_the_weighted_sum_of_both() -> None:
    rng = np.random.default_rng(0)

    def drawn(rows: int, width: int) -> NDArray[np.float32]:
        return rng.normal(size=(rows, width)).astype(np.float32)

    sequence, graph, facts = drawn(5, 3), drawn(5, 4), drawn(5, 4)
    of_articles = drawn(7, 3), drawn(7, 4)
    joining = Concatenated(0.25, 2.0)
    scores = joining.of_customers(sequence, graph, facts) @ joining.of_articles(*of_articles).T
    wanted = 0.25 * sequence @ of_articles[0].T + 2 * graph @ of_articles[1].T
    np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(Exception, match="vectors of 3 and of 4 dimensions have no mean"):
        Mean().of_articles(*of_articles)


def test_who_is_new_has_a_vector_by_what_was_bought(
    history: History, recommender: CombinedRecommender
) -> None:
    """A customer whom no network has seen, and one purchase of today more than there was."""
    batch = history.partitions[0].read()
    codes, vectors = recommender.customer_vectors(batch)
    known = int(codes[0])
    own = batch.transactions.filter(pl.col("customer") == known)
    stranger = history.n_customers + 5
    alone = CustomerBatch(
        batch.as_of,
        batch.customers.filter(pl.col("customer") == known).with_columns(
            customer=pl.lit(stranger, pl.Int32)
        ),
        own.with_columns(customer=pl.lit(stranger, pl.Int32)),
    )
    found, its_vector = recommender.customer_vectors(alone)
    assert found.tolist() == [stranger]
    np.testing.assert_allclose(its_vector[0], vectors[0], rtol=1e-4, atol=1e-5)
    one_more = own.head(1).with_columns(
        article=pl.lit(3, pl.Int32), t_dat=pl.lit(batch.as_of - timedelta(days=1))
    )
    later = CustomerBatch(
        batch.as_of,
        batch.customers.filter(pl.col("customer") == known),
        pl.concat([own, one_more]),
    )
    assert not np.allclose(recommender.customer_vectors(later)[1][0], vectors[0], atol=1e-3)
