"""Networks learn the same on a GPU as on the CPU, but for rounding; skipped where there is none.

What PyTorch draws differs between devices (dropout, articles without their code), and is left out.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, random_array

from graphs import FIRST, make_graph, random_purchases
from histories import make_network, make_sequences
from modiste.models.graph.attributes import Attributes
from modiste.models.graph.fitting import TrainedGraph
from modiste.models.graph.inference import article_states
from modiste.models.graph.lightgcn import LightGCN, vectors_to_score
from modiste.models.graph.lightgcn import train as train_lightgcn
from modiste.models.graph.lightgcn_settings import LightGCNSettings, LightGCNTraining
from modiste.models.graph.purchases import purchases_of
from modiste.models.graph.sage import ArticleInputs, GraphSAGE
from modiste.models.graph.sage_settings import GraphSAGESettings, GraphTrainingSettings
from modiste.models.graph.training import NextPurchasesTask
from modiste.models.learning.loop import pick_device, train_task
from modiste.models.learning.popularity_prior import PopularityPrior
from modiste.models.sasrec.next_item import NextItems
from modiste.models.sasrec.settings import TrainingSettings
from modiste.models.sasrec.training import train as train_sasrec

pytestmark = pytest.mark.skipif(pick_device().type == "cpu", reason="this machine has no GPU")

CPU = torch.device("cpu")

# Losses after each epoch, and vectors.
Learned = tuple[list[float], NDArray[np.float32]]


def assert_alike(one: Learned, other: Learned) -> None:
    np.testing.assert_allclose(one[0], other[0], rtol=1e-3)
    np.testing.assert_allclose(one[1], other[1], rtol=0, atol=0.01 * float(np.abs(one[1]).max()))


@pytest.mark.parametrize("loss", ["softmax", "gbce", "bce"])
def test_sasrec(loss: str) -> None:
    sequences = make_sequences([3, 12, 20, 5, 7, 2, 11, 12, 30, 4])
    validation = NextItems(make_sequences([4, 6, 9], seed=1), np.array([1, 2, 3]))
    settings = TrainingSettings.model_validate(
        {"loss": loss, "batch": 4, "negatives": 20, "epochs": 3, "warm_up_steps": 2}
    )

    def learned(device: torch.device | None) -> Learned:
        network = make_network(content=True, dropout=0.0, content_only=0.0)
        epochs = train_sasrec(network, sequences, settings, validation, device=device)
        with torch.no_grad():
            vectors: NDArray[np.float32] = network.item_vectors().cpu().numpy()
        return [epoch.loss for epoch in epochs], vectors

    assert_alike(learned(CPU), learned(None))


@pytest.mark.parametrize("loss", ["softmax", "bpr"])
def test_the_graph_network(loss: str) -> None:
    shape = GraphSAGESettings(
        dimensions=8,
        heads=2,
        articles_of_customer=3,
        customers_of_article=2,
        dropout=0.0,
        without_id=0.0,
    )
    graph = make_graph(random_purchases(np.random.default_rng(5), 150, 20, 10), 21, 10)
    prior = PopularityPrior(
        np.array([np.iinfo(np.int64).min, FIRST]),
        np.log(np.arange(1, 11, dtype=np.float32) / 55)[None].repeat(2, 0),
    )
    values = np.random.default_rng(0).integers(0, 6, (21, 3)).astype(np.int32)
    settings = GraphTrainingSettings.model_validate(
        {"loss": loss, "batch": 32, "negatives": 8, "own_negatives": 3, "epochs": 3}
    )

    def learned(device: torch.device | None) -> Learned:
        torch.manual_seed(0)
        inputs = ArticleInputs(shape, torch.arange(20).view(10, 2) % 4, torch.randn(10, 5))
        network = GraphSAGE(shape, 6, inputs)
        task = NextPurchasesTask(
            network, graph, values, purchases_of(graph), settings, prior, loss == "softmax"
        )
        losses = [epoch.loss for epoch in train_task(task, settings, device=device)]
        trained = TrainedGraph.of(network, graph, Attributes({}))
        return losses, article_states(trained.network, trained.articles, graph, values)[-1]

    assert_alike(learned(CPU), learned(None))


@pytest.mark.parametrize(
    "changed",
    [
        {"hide_batch": True, "popularity_power": 0.5, "score_popularity_power": 0.25},
        {"hide_batch": True, "edge_dropout": 0.2},
        {"fan_out": 3},
        {"loss": "bpr"},
    ],
    ids=str,
)
def test_lightgcn(changed: dict[str, object]) -> None:
    drawn = random_array((30, 15), density=0.2, rng=np.random.default_rng(0))
    bought = csr_matrix((drawn > 0).astype(np.float32))
    settings = LightGCNTraining.model_validate(
        {"batch": 16, "epochs": 3, "negatives": 10, **changed}
    )

    def learned(device: torch.device | None) -> Learned:
        network = LightGCN(bought, LightGCNSettings(dimensions=8))
        epochs = train_lightgcn(network, settings, device=device)
        return [epoch.loss for epoch in epochs], vectors_to_score(network, settings).numpy()

    assert_alike(learned(CPU), learned(None))
