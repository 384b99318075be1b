import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, random_array
from torch import Tensor
from torch.nn import functional
from torch_geometric.nn.models import LightGCN as PyGLightGCN

from modiste.errors import DataError, RunError
from modiste.models.graph.lightgcn import (
    Along,
    Edges,
    EdgeTask,
    LightGCN,
    product,
    train,
    vectors_to_score,
)
from modiste.models.graph.lightgcn_settings import LightGCNSettings, LightGCNTraining

SHAPE = LightGCNSettings(dimensions=8, layers=3)
TRAINING = LightGCNTraining(batch=16, epochs=3, negatives=10)
CPU = torch.device("cpu")


def random_graph(customers: int = 20, articles: int = 15, seed: int = 0) -> csr_matrix:
    drawn = random_array((customers, articles), density=0.2, rng=np.random.default_rng(seed))
    return csr_matrix((drawn > 0).astype(np.float32))


def one_edge() -> csr_matrix:
    return csr_matrix((np.ones(1, np.float32), (np.array([1]), np.array([2]))), shape=(3, 4))


def groups(customers: int = 40, articles: int = 20) -> tuple[csr_matrix, csr_matrix]:
    """Two groups that buy among themselves: train, and the rest of each one's group."""
    rng = np.random.default_rng(0)
    same = np.arange(customers)[:, None] % 2 == np.arange(articles) % 2
    bought = same & (rng.random((customers, articles)) < 0.6)
    return (csr_matrix(bought.astype(np.float32)), csr_matrix((same & ~bought).astype(np.float32)))


def weights(network: LightGCN) -> bytes:
    return network.vectors.detach().numpy().tobytes()


def by_pyg(network: LightGCN, interactions: csr_matrix) -> Tensor:
    """The same vectors smoothed by another library."""
    customers, articles = interactions.nonzero()
    edges = torch.tensor(np.stack([customers, articles + network.n_customers]))
    peer = PyGLightGCN(len(network.vectors), network.vectors.shape[1], network.settings.layers)
    with torch.no_grad():
        peer.embedding.weight.copy_(network.vectors)
        found: Tensor = peer.get_embedding(torch.cat([edges, edges.flip(0)], dim=1))
    return found


@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("interactions", [random_graph(), one_edge()], ids=["random", "one edge"])
def test_smoothing_is_that_of_another_library(layers: int, interactions: csr_matrix) -> None:
    network = LightGCN(interactions, LightGCNSettings(dimensions=8, layers=layers, start="normal"))
    torch.testing.assert_close(network().detach(), by_pyg(network, interactions))


def test_the_gradient_is_that_of_the_dense_product() -> None:
    matrix = csr_matrix(random_array((7, 5), density=0.5, rng=np.random.default_rng(0)))
    vectors = torch.randn(5, 3, requires_grad=True)
    upon = torch.randn(7, 3)
    made = product(vectors, Edges.of(matrix), Edges.of(csr_matrix(matrix.T)))
    (gradient,) = torch.autograd.grad(made, vectors, upon)
    expected = torch.from_numpy(matrix.toarray().T.astype(np.float32)) @ upon
    torch.testing.assert_close(gradient, expected)


def test_isolated_nodes_keep_a_share_of_their_own_vector() -> None:
    network = LightGCN(one_edge(), LightGCNSettings(dimensions=4, layers=3, start="normal"))
    smoothed = network().detach()
    own = network.vectors.detach()
    for node in (0, 2, 3 + 0, 3 + 1, 3 + 3):
        torch.testing.assert_close(smoothed[node], own[node] / 4)


@pytest.mark.parametrize("loss", ["softmax", "bpr"])
@pytest.mark.parametrize("start", ["spectral", "normal"])
def test_a_graph_of_one_edge_can_be_trained_on(loss: str, start: str) -> None:
    shape = LightGCNSettings.model_validate({"dimensions": 4, "start": start})
    settings = LightGCNTraining.model_validate({"loss": loss, "epochs": 3})
    network = LightGCN(one_edge(), shape)
    train(network, settings)
    assert vectors_to_score(network, settings).isfinite().all()


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"similarity": "dot", "temperature": 1.0},
        {"in_batch_negatives": True, "negatives": 0},
        {"popularity_power": 0.5},
        {"edge_dropout": 0.2},
        {"hide_batch": True},
        {"hide_batch": True, "fan_out": 3},
        {"score_popularity_power": 0.25},
        {"fan_out": 3},
        {"loss": "bpr", "vector_penalty": 1e-4},
    ],
    ids=str,
)
def test_every_loss_tells_groups_apart(changed: dict[str, object]) -> None:
    bought, rest = groups()
    settings = LightGCNTraining.model_validate(
        {"batch": 32, "epochs": 20, "negatives": 20, **changed}
    )
    shape = LightGCNSettings(dimensions=8, layers=2, start="normal")
    network = LightGCN(bought, shape, seed=1)
    train(network, settings)
    vectors = vectors_to_score(network, settings)
    scores = (vectors[:40] @ vectors[40:].T).numpy()
    scores[bought.nonzero()] = -np.inf
    best = scores.argmax(1)
    bought_by_group = best % 2 == np.arange(40) % 2
    has_some = np.diff(rest.indptr) > 0
    assert bought_by_group[has_some].mean() > 0.9


def test_popularity_is_added_to_the_scores_and_to_the_loss() -> None:
    """Scores over the temperature are the loss's logits: cosines over it, and the prior."""
    bought = random_graph()
    plain = LightGCNTraining(batch=bought.nnz, negatives=15, temperature=0.2)
    prior = plain.model_copy(update={"popularity_power": 0.7})
    network = LightGCN(bought, SHAPE)
    without, with_it = (vectors_to_score(network, settings) for settings in (plain, prior))
    added = 0.7 * np.log1p(bought.toarray().sum(0))
    logits = (with_it[:20] @ with_it[20:].T) / 0.2
    expected = (without[:20] @ without[20:].T) / 0.2 + torch.from_numpy(added)
    torch.testing.assert_close(logits, expected, check_dtype=False)

    customers, articles = (torch.from_numpy(each.astype(np.int64)) for each in bought.nonzero())
    task = EdgeTask(network, prior)
    loss = task.loss(np.arange(bought.nnz), np.random.default_rng(0), network)
    torch.testing.assert_close(loss, functional.cross_entropy(logits[customers], articles))


def test_of_bpr_popularity_is_learned() -> None:
    settings = LightGCNTraining(loss="bpr", popularity_power=0.7)
    network = LightGCN(random_graph(), SHAPE)
    assert vectors_to_score(network, settings).shape[1] == SHAPE.dimensions


def test_scores_alone_grow_with_a_power_of_popularity() -> None:
    bought = random_graph()
    plain = LightGCNTraining(batch=bought.nnz, negatives=15)
    scaled = plain.model_copy(update={"score_popularity_power": 0.25})
    network = LightGCN(bought, SHAPE)
    unit = functional.normalize(network().detach(), dim=1)
    vectors = vectors_to_score(network, scaled)
    expected = (unit[:20] @ unit[20:].T) * torch.from_numpy(bought.toarray().sum(0) ** 0.25)
    torch.testing.assert_close(vectors[:20] @ vectors[20:].T, expected)
    losses = [
        EdgeTask(network, settings).loss(np.arange(9), np.random.default_rng(0), network).item()
        for settings in (plain, scaled)
    ]
    assert losses[0] == losses[1]


def test_the_prior_is_added_to_scores_that_are_scaled() -> None:
    bought = random_graph()
    one = LightGCNTraining(score_popularity_power=0.25)
    both = one.model_copy(update={"popularity_power": 0.5, "temperature": 0.2})
    network = LightGCN(bought, SHAPE)
    without, with_it = (vectors_to_score(network, settings) for settings in (one, both))
    added = 0.2 * 0.5 * network.popularity().log1p()
    expected = without[:20] @ without[20:].T + added
    torch.testing.assert_close(with_it[:20] @ with_it[20:].T, expected)


@pytest.mark.parametrize("fan_out", [None, 99])
def test_a_step_passes_nothing_along_the_edges_that_it_hides(fan_out: int | None) -> None:
    """The step's loss and gradient are of a graph whose other edges alone pass vectors on."""
    bought = random_graph()
    settings = LightGCNTraining(batch=4, negatives=10, hide_batch=True, fan_out=fan_out)
    network = LightGCN(bought, SHAPE.model_copy(update={"start": "normal"}))
    batch = np.array([0, 5, 17, 30])

    def step(task: EdgeTask) -> tuple[Tensor, Tensor]:
        loss = task.loss(batch, np.random.default_rng(0), network)
        return loss, torch.autograd.grad(loss, network.vectors)[0]

    found = step(EdgeTask(network, settings))
    dense = np.zeros((35, 35), dtype=np.float32)
    customers, articles = (each[batch] for each in bought.nonzero())
    offsets, columns, weights = (part.numpy() for part in network.edges)
    dense[np.repeat(np.arange(35), np.diff(offsets)), columns] = weights
    assert (dense[customers, 20 + articles] > 0).all()
    dense[customers, 20 + articles] = dense[20 + articles, customers] = 0
    rest = Edges.of(csr_matrix(dense))

    class OfTheRest(EdgeTask):
        def _along(self, *_: object) -> Along:
            return Along(rest, rest)

    torch.testing.assert_close(found, step(OfTheRest(network, settings)))
    seen = EdgeTask(network, settings.model_copy(update={"hide_batch": False}))
    assert float(step(seen)[0].detach()) != pytest.approx(float(found[0].detach()))


def test_edges_are_numbered_by_customer_and_article() -> None:
    shuffled_rows = random_graph()
    for first, last in itertools.pairwise(shuffled_rows.indptr):
        shuffled_rows.indices[first:last] = shuffled_rows.indices[first:last][::-1].copy()
    network = LightGCN(shuffled_rows, SHAPE)
    customers, articles = network.interactions
    nodes = len(network.vectors)
    edges = network.thinned(hidden=torch.tensor([7, 40]))
    dense = csr_matrix(
        (edges.weights.numpy(), edges.columns.numpy(), edges.offsets.numpy()), shape=(nodes, nodes)
    ).toarray()
    expected = shuffled_rows.toarray()
    expected[customers[[7, 40]], articles[[7, 40]]] = 0
    np.testing.assert_array_equal(dense[:20, 20:] > 0, expected > 0)
    np.testing.assert_array_equal(dense, dense.T)


def test_a_spectral_start_is_of_the_deviation_asked_for() -> None:
    network = LightGCN(random_graph(), LightGCNSettings(dimensions=8, start_deviation=0.3))
    assert float(network.vectors.detach().std(correction=0)) == pytest.approx(0.3, rel=1e-3)


def test_dimensions_beyond_the_rank_begin_at_zero() -> None:
    network = LightGCN(one_edge(), LightGCNSettings(dimensions=4))
    assert (network.vectors[:, 1:] == 0).all()


def test_edges_left_out_are_left_out_from_both_ends() -> None:
    network = LightGCN(random_graph(), SHAPE)
    torch.manual_seed(0)
    edges = network.thinned(dropout=0.5)
    nodes = len(network.vectors)
    dense = csr_matrix(
        (edges.weights.numpy(), edges.columns.numpy(), edges.offsets.numpy()), shape=(nodes, nodes)
    ).toarray()
    np.testing.assert_array_equal(dense, dense.T)
    left_out = float((edges.weights == 0).float().mean())
    assert 0.2 < left_out < 0.8
    kept = edges.weights != 0
    torch.testing.assert_close(edges.weights[kept], 2 * network.edges.weights[kept])


def test_a_neighbourhood_that_leaves_nothing_out_gives_the_same_vectors() -> None:
    network = LightGCN(random_graph(), SHAPE)
    nodes = torch.tensor([3, 20, 34])
    whole = network()
    along = network.around(nodes, 99, np.random.default_rng(0))
    torch.testing.assert_close(network(along)[nodes], whole[nodes])
    gradient = torch.autograd.grad(whole[nodes].square().sum(), network.vectors)[0]
    again = torch.autograd.grad(network(along)[nodes].square().sum(), network.vectors)[0]
    torch.testing.assert_close(again, gradient)


def test_neighbours_that_are_drawn_stand_for_all() -> None:
    """Of one layer the mean over many draws is the whole neighbourhood's vector."""
    network = LightGCN(random_graph(), SHAPE.model_copy(update={"layers": 1}))
    nodes = torch.arange(len(network.vectors))
    rng = np.random.default_rng(0)
    drawn = [network.around(nodes, 2, rng) for _ in range(600)]
    assert max(int(one.edges.offsets.diff().max()) for one in drawn) == 2
    mean = torch.stack([network(one).detach() for one in drawn]).mean(0)
    torch.testing.assert_close(mean, network().detach(), atol=0.02, rtol=0.1)


def test_the_same_seed_gives_the_same_weights() -> None:
    found = set()
    for _ in range(2):
        network = LightGCN(random_graph(), SHAPE, seed=3)
        train(network, TRAINING, device=CPU)
        found.add(weights(network))
    assert len(found) == 1
    other = LightGCN(random_graph(), SHAPE, seed=3)
    train(other, TRAINING.model_copy(update={"seed": 1}), device=CPU)
    assert weights(other) not in found


@pytest.mark.parametrize(
    "changed", [{}, {"edge_dropout": 0.3}, {"hide_batch": True, "score_popularity_power": 0.25}]
)
def test_a_training_gone_on_with_equals_one_never_stopped(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    settings = TRAINING.model_copy(update={**changed, "epochs": 4})
    whole = LightGCN(random_graph(), SHAPE)
    train(whole, settings, device=CPU)
    half = LightGCN(random_graph(), SHAPE)
    train(half, settings.model_copy(update={"epochs": 2}), folder=tmp_path, device=CPU)
    again = LightGCN(random_graph(), SHAPE)
    epochs = train(again, settings, folder=tmp_path, device=CPU)
    assert len(epochs) == 4
    assert weights(again) == weights(whole)


def test_a_checkpoint_of_other_edges_is_not_gone_on_from(tmp_path: Path) -> None:
    train(LightGCN(random_graph(), SHAPE), TRAINING, folder=tmp_path)
    other = random_graph(seed=1)
    with pytest.raises(RunError, match="data"):
        train(LightGCN(other, SHAPE), TRAINING, folder=tmp_path)


def test_the_best_weights_of_the_validation_are_kept() -> None:
    measured: list[tuple[float, NDArray[np.float32]]] = []

    def validate(vectors: Tensor) -> float:
        value = (0.1, 0.5, 0.3)[len(measured)]
        measured.append((value, vectors.numpy().copy()))
        return value

    network = LightGCN(random_graph(), SHAPE)
    epochs = train(network, TRAINING, validate)
    assert [epoch.ndcg for epoch in epochs] == [0.1, 0.5, 0.3]
    np.testing.assert_array_equal(vectors_to_score(network, TRAINING).numpy(), measured[1][1])


def test_a_graph_without_edges_is_told() -> None:
    with pytest.raises(DataError, match="no edges"):
        LightGCN(csr_matrix(np.zeros((3, 4))), SHAPE)
