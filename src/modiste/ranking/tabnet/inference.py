"""Scores of a trained TabNet, with all that is linear folded into its products.

A normalisation by running statistics is a product and a sum, so the layer before it takes it up:
one product of matrices a layer is left, and its gate. What no one reads (half of the first block's
last layer, half of the last one's) is not computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from modiste.ranking.encoding import Encoded
from modiste.ranking.tabnet.masks import entmax_forward, sparsemax_forward
from modiste.ranking.tabnet.network import (
    EPSILON,
    HALF,
    AttentiveTransformer,
    FeatureTransformer,
    GhostNorm,
    TabNet,
)

# Rows at once: on a CPU as many as its caches hold the layers of, on a GPU as keep it busy.
_ROWS_ON_A_CPU, _ROWS_ON_A_GPU = 512, 1 << 15


class Explained(NamedTuple):
    """What a score was made of.

    Attributes
    ----------
    masks
        float32, shape (n_steps, n_rows, n_features): how each step shared its attention out; adds
        up to 1 over the features.
    importance
        float32, shape (n_rows, n_features): masks, each times what its step added to the decision.
    """

    masks: NDArray[np.float32]
    importance: NDArray[np.float32]


class _Layer(NamedTuple):
    weight: Tensor
    bias: Tensor


class _Block(NamedTuple):
    """Layers, of whose result some columns are needed."""

    layers: list[_Layer]
    needed: slice


class FusedTabNet:
    """A trained network as it scores; later changes of the network do not reach it.

    Parameters
    ----------
    network
        Scores are computed on the device where it is.
    """

    def __init__(self, network: TabNet) -> None:
        settings = network.settings
        self._relaxation, self._columns = settings.relaxation, network.columns
        self._select = {"sparsemax": sparsemax_forward, "entmax": entmax_forward}[settings.mask]
        width, attended = settings.decision_width, settings.attention_width
        decision, state = slice(0, width), slice(width, width + attended)
        with torch.inference_mode():
            self._embeddings = [
                cast(nn.Embedding, embedding).weight.clone() for embedding in network.embeddings
            ]
            self._scale, self._shift = _factor_and_sum(network.norm)
            self._share = network.column_share.clone()
            transformers = [
                cast(FeatureTransformer, transformer)
                for transformer in (network.first, *network.transformers)
            ]
            needed = [state, *[slice(0, width + attended)] * (settings.steps - 1), decision]
            self._first, *self._transformers = [
                _folded_block(transformer, network.shared, part)
                for transformer, part in zip(transformers, needed, strict=True)
            ]
            self._attentions = [
                _folded(attention.linear, attention.norm)
                for attention in cast(Iterable[AttentiveTransformer], network.attentions)
            ]
            self._decision = _Layer(network.decision.weight.clone(), network.base[None].clone())
        self._decided = width

    @torch.inference_mode()
    def logits(self, rows: Encoded) -> NDArray[np.float32]:
        """Scores of encoded rows, shape (n_rows,)."""
        scores = np.empty(len(rows), dtype=np.float32)
        for here, block in self._blocks(rows):
            decision = sum(made for _, made in self._steps(block))
            logits = functional.linear(cast(Tensor, decision), *self._decision)[:, 0]
            scores[here] = logits.cpu().numpy()
        return scores

    @torch.inference_mode()
    def explain(self, rows: Encoded) -> Explained:
        """What the scores of encoded rows were made of."""
        n_features = self._columns.n_features
        masks = np.empty((len(self._attentions), len(rows), n_features), dtype=np.float32)
        importance = np.zeros((len(rows), n_features), dtype=np.float32)
        for here, block in self._blocks(rows):
            for step, (mask, made) in enumerate(self._steps(block)):
                masks[step, here] = mask.cpu().numpy()
                importance[here] += (mask * made.sum(1, keepdim=True)).cpu().numpy()
        return Explained(masks, importance)

    def _blocks(self, rows: Encoded) -> Iterator[tuple[slice, Tensor]]:
        """Some rows after the other: which they are, and all their columns, normalised."""
        device = self._scale.device
        size = _ROWS_ON_A_CPU if device.type == "cpu" else _ROWS_ON_A_GPU
        for here, block in rows.blocks(size):
            categories = torch.from_numpy(block.categories).to(device)
            embedded = [
                functional.embedding(categories[:, which], weight)
                for which, weight in enumerate(self._embeddings)
            ]
            numbers = torch.from_numpy(block.numbers).to(device)
            x = torch.cat([numbers, *embedded], 1)
            yield here, torch.addcmul(self._shift, x, self._scale)

    def _steps(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The mask of each step, and what it adds to the decision."""
        prior = x.new_ones(len(x), self._columns.n_features)
        state = _transformed(x, self._first)
        for attention, transformer in zip(self._attentions, self._transformers, strict=True):
            mask = self._select(functional.linear(state, *attention) * prior)
            prior = prior * (self._relaxation - mask)
            made = _transformed(x * (mask @ self._share), transformer)
            state = made[:, self._decided :]
            yield mask, made[:, : self._decided].relu()


def _transformed(x: Tensor, block: _Block) -> Tensor:
    last = len(block.layers) - 1
    for place, layer in enumerate(block.layers):
        gated = functional.glu(functional.linear(x, *layer))
        if place == 0:
            x = gated
        else:
            x = (x[:, block.needed] if place == last else x).add(gated).mul_(HALF)
    return x


def _folded_block(transformer: FeatureTransformer, shared: nn.ModuleList, needed: slice) -> _Block:
    *layers, last = [
        _folded(cast(nn.Linear, linear), cast(GhostNorm, norm))
        for linear, norm in zip([*shared, *transformer.own], transformer.norms, strict=True)
    ]
    return _Block([*layers, _Layer(*(_columns_of_halves(each, needed) for each in last))], needed)


def _columns_of_halves(of_layer: Tensor, needed: slice) -> Tensor:
    """The rows of a layer's weight or bias that make some columns of the gated result."""
    return torch.cat([half[needed] for half in of_layer.chunk(2)])


def _folded(linear: nn.Linear, norm: GhostNorm) -> _Layer:
    factor, shift = _factor_and_sum(norm)
    return _Layer(linear.weight * factor[:, None], shift)


def _factor_and_sum(norm: GhostNorm) -> tuple[Tensor, Tensor]:
    """A normalisation by running statistics, as what is multiplied by and added."""
    factor = norm.weight / (norm.running_variance + EPSILON).sqrt()
    return factor, norm.bias - norm.running_mean * factor
