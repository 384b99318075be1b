"""Both networks as one: who is known to one alone, the mean, and what a gate is learned from."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from modiste.data.dataset import CustomerBatch, Dataset, History
from modiste.errors import ConfigError, DataError
from modiste.models.combined.gate import learn_gate
from modiste.models.combined.joining import Concatenated, Gated, Mean
from modiste.models.combined.recommender import CombinedRecommender
from modiste.models.combined.settings import CombinedSettings, GateSettings
from modiste.models.graph.fitting import fit_graph
from modiste.models.graph.recommender import GraphRecommender
from modiste.models.sasrec.fitting import fit_network
from modiste.models.sasrec.recommender import SASRecRecommender
from shops import ALL_RECOMMENDERS, write_prepared

Networks = dict[str, Path]

GATE = GateSettings(days=7, steps=20)


@pytest.fixture(scope="module")
def history(small_shop: Dataset) -> History:
    return small_shop.until(small_shop.next_day - timedelta(days=10))


@pytest.fixture(scope="module")
def networks(history: History, tmp_path_factory: pytest.TempPathFactory) -> Networks:
    """Give networks that were trained on the days before the gate's."""
    earlier = history.before(history.as_of - timedelta(days=GATE.days))
    trained = {
        "sasrec": fit_network(earlier, ALL_RECOMMENDERS.sasrec),
        "gnn": fit_graph(earlier, ALL_RECOMMENDERS.gnn),
    }
    folders = {name: tmp_path_factory.mktemp(name) for name in trained}
    for name, network in trained.items():
        assert network is not None
        network.save(folders[name])
    return folders


def asked(networks: Networks) -> tuple[SASRecRecommender, GraphRecommender]:
    return (
        SASRecRecommender(ALL_RECOMMENDERS.sasrec, trained=networks["sasrec"]),
        GraphRecommender(ALL_RECOMMENDERS.gnn, trained=networks["gnn"]),
    )


def all_scores(
    made: CombinedRecommender | SASRecRecommender | GraphRecommender, batch: CustomerBatch
) -> NDArray[np.float32]:
    return made.customer_vectors(batch)[1] @ made.article_vectors.T


def test_scores_are_the_weighted_sum_of_both_networks(history: History, networks: Networks) -> None:
    settings = CombinedSettings(sasrec_weight=0.25, gnn_weight=2)
    made = CombinedRecommender(settings, *asked(networks)).fit(history)
    batch = history.partitions[0].read()
    wanted = 0.25 * all_scores(made.sasrec, batch) + 2 * all_scores(made.gnn, batch)
    np.testing.assert_allclose(all_scores(made, batch), wanted, rtol=1e-4, atol=1e-4)


class _Deaf(SASRecRecommender):
    """Knows nothing of some customers."""

    unknown: tuple[int, ...] = ()

    def customer_vectors(
        self, batch: CustomerBatch
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        customers, vectors = super().customer_vectors(batch)
        heard = ~np.isin(customers, self.unknown)
        return customers[heard], vectors[heard]


def test_who_is_known_to_one_network_is_scored_by_it_alone(
    history: History, networks: Networks
) -> None:
    batch = history.partitions[0].read()
    _, gnn = asked(networks)
    deaf = _Deaf(ALL_RECOMMENDERS.sasrec, trained=networks["sasrec"])
    made = CombinedRecommender(CombinedSettings(sasrec_weight=0.5, gnn_weight=2), deaf, gnn)
    made.fit(history)
    everybody, vectors = made.customer_vectors(batch)
    deaf.unknown = (int(everybody[1]), int(everybody[4]))
    customers, found = made.customer_vectors(batch)
    np.testing.assert_array_equal(customers, everybody)
    width = deaf.article_vectors.shape[1]
    for row in (1, 4):
        assert not found[row, :width].any()
        assert found[row, width:].any()
    others = np.setdiff1d(np.arange(len(customers)), (1, 4))
    np.testing.assert_array_equal(found[others], vectors[others])
    scores = found @ made.article_vectors.T
    alone = 2 * all_scores(gnn, batch)
    np.testing.assert_allclose(scores[[1, 4]], alone[[1, 4]], rtol=1e-4, atol=1e-4)


def test_the_mean_where_one_network_has_learned_nothing() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(5, 3)).astype(np.float32)
    nothing = np.zeros((5, 0), np.float32)
    facts = np.ones((5, 4), np.float32)
    for sequence, graph in ((vectors, nothing), (nothing, vectors)):
        np.testing.assert_array_equal(Mean().of_articles(sequence, graph), vectors)
        np.testing.assert_array_equal(Mean().of_customers(sequence, graph, facts), vectors)
    with pytest.raises(ConfigError, match="of 3 and of 2 dimensions have no mean"):
        Mean().of_articles(vectors, vectors[:, :2])


def test_a_gate_that_knows_nothing_of_a_customer_is_one_weight_for_all() -> None:
    """Coefficients of the constant alone: the weighted sum with their softplus."""
    rng = np.random.default_rng(0)
    sequence, graph, facts = (rng.normal(size=(6, n)).astype(np.float32) for n in (3, 4, 4))
    facts[:, 0] = 1
    coefficients = np.zeros((4, 2), np.float32)
    coefficients[0] = 0.3, -1.2
    weights = np.log1p(np.exp(coefficients[0]))
    np.testing.assert_allclose(
        Gated(coefficients).of_customers(sequence, graph, facts),
        Concatenated(*weights).of_customers(sequence, graph, facts),
        rtol=1e-5,
    )


def test_a_gate_is_learned_from_the_days_after_the_networks_alone(
    small_shop: Dataset, history: History, networks: Networks, tmp_path: Path
) -> None:
    """Another future: the same gate. Other purchases on its days: another one."""
    whole = small_shop.until(small_shop.next_day)
    batches = list(whole.batches())
    customers = pl.concat([batch.customers for batch in batches])
    bought = pl.concat([batch.transactions for batch in batches])

    def gate_with_changes(since: pl.Expr, name: str) -> NDArray[np.float32]:
        changed = bought.with_columns(
            pl.when(since)
            .then((pl.col("article") + 7) % whole.n_articles)
            .otherwise("article")
            .alias("article")
        )
        shop = Dataset.open(write_prepared(tmp_path / name, whole.articles, customers, changed, 30))
        return learn_gate(shop.until(history.as_of), GATE, *asked(networks)).coefficients

    as_it_was = gate_with_changes(pl.lit(False), "as it was")
    assert as_it_was.any()
    future = pl.col("t_dat") >= history.as_of
    np.testing.assert_array_equal(gate_with_changes(future, "another future"), as_it_was)
    last_day = pl.col("t_dat") == history.as_of - timedelta(days=1)
    assert not np.array_equal(gate_with_changes(last_day, "another last day"), as_it_was)


def test_a_network_that_has_seen_the_gates_days_is_refused(
    history: History, networks: Networks
) -> None:
    days = GateSettings(days=GATE.days + 1)
    with pytest.raises(DataError, match="it would know what is still to come"):
        learn_gate(history, days, *asked(networks))


def test_a_gate_prefers_the_network_that_is_right(history: History, networks: Networks) -> None:
    """One whose articles say nothing of what is bought gets the smaller weight."""
    sasrec, gnn = asked(networks)
    gate = GateSettings(days=GATE.days, steps=300)

    class Confused(GraphRecommender):
        @property
        def article_vectors(self) -> NDArray[np.float32]:
            right = super().article_vectors
            return np.ascontiguousarray(right[np.random.default_rng(5).permutation(len(right))])

    confused = Confused(ALL_RECOMMENDERS.gnn, trained=networks["gnn"])
    facts = np.ones((1, 4), np.float32)

    def weight_of_graph(graph: GraphRecommender) -> float:
        ones = np.ones((1, 1), np.float32)
        learned = learn_gate(history, gate, sasrec, graph)
        return float(learned.of_customers(ones, ones, facts)[0, 1])

    assert weight_of_graph(confused) < weight_of_graph(gnn)
