"""The graph network: layer by layer as from sampled subgraphs, its gradients, its losses."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from graphs import AS_OF, DAYS, FIRST, Purchase, make_graph, many_purchases, random_purchases
from modiste.errors import RunError
from modiste.models.graph.attributes import Attributes
from modiste.models.graph.fitting import TrainedGraph, article_inputs
from modiste.models.graph.inference import CustomerEncoder, article_states
from modiste.models.graph.purchase_graph import PurchaseGraph
from modiste.models.graph.purchases import predictable, purchases_of
from modiste.models.graph.sage import ArticleInputs, GraphSAGE, _WeightedSum
from modiste.models.graph.sage_settings import GraphSAGESettings, GraphTrainingSettings
from modiste.models.graph.sampling import FanOut, NeighbourSampler
from modiste.models.graph.training import NextPurchasesTask
from modiste.models.learning import loop
from modiste.models.learning.evaluating import evaluating
from modiste.models.learning.loop import TrainingError, train_task
from modiste.models.learning.popularity_prior import PopularityPrior

CPU = torch.device("cpu")
SHAPE = GraphSAGESettings(
    dimensions=8, heads=2, articles_of_customer=3, customers_of_article=2, dropout=0.3
)


def make_network(
    graph: PurchaseGraph, shape: GraphSAGESettings = SHAPE, seed: int = 0
) -> tuple[GraphSAGE, NDArray[np.int32]]:
    """A network whose every weight counts, and the values of its graph's customers."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    values = torch.from_numpy(rng.integers(0, 4, (graph.n_articles, 2)))
    content = torch.randn(graph.n_articles, 5)
    network = GraphSAGE(shape, 6, ArticleInputs(shape, values, content))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape) / 2)
    return network, rng.integers(0, 6, (graph.n_customers, 3)).astype(np.int32)


def from_subgraphs(
    network: GraphSAGE, graph: PurchaseGraph, values: NDArray[np.int32], day: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """All customers' and articles' vectors, each seed's from its neighbourhood."""
    shape = network.settings
    sampler = NeighbourSampler(
        graph,
        [FanOut(shape.articles_of_customer, shape.customers_of_article)] * shape.layers,
        shape.neighbours,
    )
    subgraph = sampler.sample(
        np.arange(graph.n_customers),
        np.full(graph.n_customers, day),
        np.arange(graph.n_articles),
        np.full(graph.n_articles, day),
        np.random.default_rng(0),
    )
    with evaluating(network):
        own = torch.from_numpy(values[subgraph.customers.numpy()].astype(np.int64))
        states = network(subgraph, own)
        return (
            states.customers[subgraph.seed_customers].numpy(),
            states.articles[subgraph.seed_articles].numpy(),
        )


def layer_by_layer(
    network: GraphSAGE, graph: PurchaseGraph, values: NDArray[np.int32], day: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    articles = article_states(network, article_inputs(network), graph, values)
    encoder = CustomerEncoder(network, articles)
    rows = np.arange(graph.n_customers)
    return encoder.vectors(graph.articles_of, rows, day, values), articles[-1]


@given(
    purchases=many_purchases(),
    day=st.integers(0, DAYS),
    layers=st.integers(1, 3),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_layer_by_layer_is_what_subgraphs_give(
    purchases: list[Purchase], day: int, layers: int, seed: int
) -> None:
    graph = make_graph(purchases).before(AS_OF - timedelta(days=DAYS - day))
    network, values = make_network(graph, SHAPE.model_copy(update={"layers": layers}), seed)
    for one, other in zip(
        layer_by_layer(network, graph, values, FIRST + day),
        from_subgraphs(network, graph, values, FIRST + day),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_drawn_neighbours_stand_for_all() -> None:
    """Where training draws neighbours, all are asked: as many as the fan-out could ever draw."""
    graph = make_graph(random_purchases(np.random.default_rng(1), 40, 5, 4))
    many = {"neighbours": "uniform", "articles_of_customer": 99, "customers_of_article": 99}
    network, values = make_network(graph, SHAPE.model_copy(update=many))
    all_of_them = from_subgraphs(network, graph, values, FIRST + DAYS)
    network.settings = SHAPE.model_copy(update={"neighbours": "uniform"})
    found = layer_by_layer(network, graph, values, FIRST + DAYS)
    for one, other in zip(found, all_of_them, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_nodes_alone_are_what_is_known_of_them_by_themselves() -> None:
    """Nodes without an edge have vectors all the same, and so have those of an empty graph."""
    for purchases in ([], [(1, 2, 3)]):
        graph = make_graph(purchases)
        network, values = make_network(graph)
        customers, articles = layer_by_layer(network, graph, values, FIRST + DAYS)
        assert np.isfinite(customers).all()
        assert np.isfinite(articles).all()
        alike = values.copy()
        alike[5] = alike[4]
        customers, _ = layer_by_layer(network, graph, alike, FIRST + DAYS)
        np.testing.assert_array_equal(customers[4], customers[5])
    with_edge, _ = layer_by_layer(network, graph, alike, FIRST + DAYS)
    without, _ = layer_by_layer(network, make_graph([]), alike, FIRST + DAYS)
    assert not np.allclose(with_edge[1], without[1])
    np.testing.assert_array_equal(with_edge[4], without[4])


def test_the_gradient_of_weighted_sums() -> None:
    torch.manual_seed(0)
    others = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(7, 2, dtype=torch.float64, requires_grad=True)
    columns, offsets = torch.tensor([3, 0, 0, 1, 3, 3, 2]), torch.tensor([0, 2, 2, 6, 7])
    sums = _WeightedSum.apply(others, weights, columns, offsets)  # type: ignore[no-untyped-call]
    wanted = torch.zeros(4, 6, dtype=torch.float64)
    for row in range(4):
        for edge in range(offsets[row], offsets[row + 1]):
            of_heads = weights[edge].repeat_interleave(3)
            wanted[row] += of_heads.detach() * others[columns[edge]].detach()
    torch.testing.assert_close(sums.detach(), wanted)
    assert torch.autograd.gradcheck(_WeightedSum.apply, (others, weights, columns, offsets))


# Everything is on sale from the first day on, in unequal shares.
PRIOR = PopularityPrior(
    np.array([np.iinfo(np.int64).min, FIRST]),
    np.log(np.arange(1, 11, dtype=np.float32) / 55)[None].repeat(2, 0),
)


def make_task(seed: int = 0, **changed: Any) -> NextPurchasesTask:
    graph = make_graph(random_purchases(np.random.default_rng(5), 150, 20, 10), 21, 10)
    network, values = make_network(graph, seed=seed)
    of_training = {"batch": 32, "negatives": 8, "own_negatives": 3, "epochs": 3, **changed}
    purchases = purchases_of(graph)
    purchases = purchases.only(predictable(purchases, graph, PRIOR))
    training = GraphTrainingSettings(learning_rate=0.01, warm_up_steps=2, **of_training)
    return NextPurchasesTask(
        network,
        graph,
        values,
        purchases,
        training,
        PRIOR,
        use_prior=training.loss == "softmax",
        validate=lambda network: float(network.norm.weight.detach().sum()),
    )


def test_the_loss_is_that_of_each_day_by_hand() -> None:
    task = make_task()
    batch = next(iter(task.batches(0, 0)))
    network = task.network.eval()
    loss = float(task.loss(batch, np.random.default_rng(0), network).detach())
    values = task.customer_values[batch.subgraph.customers.numpy()].astype(np.int64)
    states = network(batch.subgraph, torch.from_numpy(values))
    customers, articles = states.customers.detach(), states.articles.detach()
    further_days = batch.subgraph.article_days[batch.further]
    total = 0.0
    for number in range(len(batch.purchases)):
        state, own = customers[batch.customers[number]], batch.articles[number]
        (here,) = (further_days == batch.subgraph.article_days[own]).nonzero(as_tuple=True)
        codes = batch.subgraph.articles[batch.further[here]].numpy()
        offsets = torch.from_numpy(PRIOR.log_share[1][codes]) - batch.log_expected[here]
        scores = articles[batch.further[here]] @ state + offsets
        scores[batch.further[here] == own] = -torch.inf
        positive = articles[own] @ state + PRIOR.log_share[1][int(batch.subgraph.articles[own])]
        total += float(torch.logsumexp(torch.cat([scores, positive[None]]), 0) - positive)
    assert loss == pytest.approx(total / len(batch.purchases), rel=1e-4)


def test_bpr_is_against_one_article_on_sale() -> None:
    task = make_task(loss="bpr")
    batch = next(iter(task.batches(0, 0)))
    loss = float(task.loss(batch, np.random.default_rng(0), task.network.eval()).detach())
    assert 0 < loss < 50
    epochs = train_task(task, task.settings, device=CPU)
    assert epochs[-1].loss < epochs[0].loss


def test_negatives_are_on_sale_and_as_often_as_is_said() -> None:
    """Own articles are drawn beside those by popularity, and what is expected counts both."""
    task = make_task()
    purchases = task.purchases.only(task.purchases.days == task.purchases.days[0])
    drawn = np.zeros(task.graph.n_articles)
    rounds = 4000
    for number in range(rounds):
        further = task._draw(purchases, np.random.default_rng(number))
        assert (further.days == purchases.days[0]).all()
        assert len(np.unique(further.articles)) == len(further.articles)
        drawn[further.articles] += 1
    expected = np.exp(further.log_expected)
    np.testing.assert_allclose(drawn[further.articles] / rounds, expected, atol=0.03)


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("changed", [{}, {"loss": "bpr"}, {"workers": 1}])
def test_resumed_is_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    whole = make_task(checkpoint_steps=2, **changed)
    assert whole.steps_an_epoch == 4
    epochs = train_task(whole, whole.settings, tmp_path / "whole", CPU)
    real, steps = loop._Trainer._step, [0]

    def killed(trainer: loop._Trainer[Any]) -> float:
        steps[0] += 1
        if steps[0] == 8:  # in the second epoch, after the checkpoint of step 6
            raise _KilledError
        return real(trainer)

    monkeypatch.setattr(loop._Trainer, "_step", killed)
    cut = make_task(checkpoint_steps=2, **changed)
    with pytest.raises(_KilledError):
        train_task(cut, cut.settings, tmp_path / "cut", CPU)
    monkeypatch.undo()
    resumed = make_task(checkpoint_steps=2, **changed)
    assert train_task(resumed, resumed.settings, tmp_path / "cut", CPU) == epochs
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    one, other = (tmp_path / kind / "checkpoint" / "state.safetensors" for kind in ("whole", "cut"))
    assert one.read_bytes() == other.read_bytes()


def test_a_training_on_other_purchases_is_not_gone_on_from(tmp_path: Path) -> None:
    task = make_task(epochs=1)
    train_task(task, task.settings, tmp_path, CPU)
    same = make_task(epochs=2)
    assert len(train_task(same, same.settings, tmp_path, CPU)) == 2
    other = make_task(epochs=2)
    other.purchases = other.purchases.only(np.arange(len(other.purchases)) > 0)
    with pytest.raises(RunError, match="other data"):
        train_task(other, other.settings, tmp_path, CPU)


def test_not_a_number_stops_with_the_customers_named() -> None:
    task = make_task()
    inputs = task.network.articles
    assert inputs is not None
    assert inputs.content is not None
    inputs.content[:] = torch.nan
    with pytest.raises(TrainingError, match="purchases of the customers"):
        train_task(task, task.settings, device=CPU)


def test_what_was_never_sold_has_content_and_attributes_alone() -> None:
    task = make_task()
    network = task.network
    inputs = network.articles
    assert inputs is not None
    sold = np.diff(task.graph.customers_of.offsets) > 0
    early = task.graph.before(AS_OF - timedelta(days=DAYS))  # on which day nothing was sold yet
    with torch.no_grad():
        inputs.ids.weight.fill_(100)
    assert sold.any()
    trained = TrainedGraph.of(network, early, Attributes({}))
    assert abs(trained.articles).max() < 50


def test_heads_share_the_dimensions() -> None:
    with pytest.raises(ValueError, match="cannot be shared evenly by 3 heads"):
        GraphSAGESettings(dimensions=8, heads=3)
