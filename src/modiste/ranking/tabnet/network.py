"""TabNet (Arik and Pfister 2019, https://arxiv.org/abs/1908.07442), in the paper's order.

In each step an attention chooses few features by a sparse mask; a block of gated layers makes of
the masked features what the step adds to the decision, and what the next attention sees. The masks
say which features a row's score was made of. From the same weights it gives what pytorch-tabnet
4.1.0 does, which a test holds.

A feature may have several columns: a number and whether it is missing, or an embedding. The
attention chooses features; each column of a feature gets an even share of its mask.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from modiste.ranking.encoding import Columns
from modiste.ranking.tabnet.masks import entmax, sparsemax
from modiste.ranking.tabnet.settings import TabNetNetworkSettings

# After each sum of two halves the variance is halved.
HALF = math.sqrt(0.5)

# Added to variances.
EPSILON = 1e-5

# Of the normalisation of the features, whose statistics hardly change.
_INPUT_MOMENTUM = 0.01

_LEAST_PROBABILITY = 1e-15


class GhostNorm(nn.Module):
    """Batch normalisation of virtual batches (https://arxiv.org/abs/1705.08741).

    Parameters
    ----------
    width
        Columns.
    virtual_batch
        Rows that are normalised together in training, about; None: all of a batch.
    momentum
        Share of the running statistics that each virtual batch replaces.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, width: int, virtual_batch: int | None, momentum: float) -> None:
        super().__init__()
        self.virtual_batch, self.momentum = virtual_batch, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_variance", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x``, shape (n, width); at least two rows in training."""
        if not self.training:
            return self._normalised(x)
        virtual = self.virtual_batch or len(x)
        # One row alone has no variance.
        parts = max(min(math.ceil(len(x) / virtual), len(x) // 2), 1)
        # As even as can be. Split, since slices would fill zeros into all of their gradients.
        sizes = [len(x) // parts + (part < len(x) % parts) for part in range(parts)]
        return torch.cat([self._normalised(part) for part in torch.split(x, sizes)])

    def _normalised(self, x: Tensor) -> Tensor:
        return functional.batch_norm(
            x,
            self.running_mean,
            self.running_variance,
            self.weight,
            self.bias,
            self.training,
            self.momentum,
            EPSILON,
        )


class FeatureTransformer(nn.Module):
    """Gated layers, the first of them with products that all steps share.

    Parameters
    ----------
    n_columns
        Of the input.
    settings
        Of the network.
    """

    def __init__(self, n_columns: int, settings: TabNetNetworkSettings) -> None:
        super().__init__()
        width = settings.decision_width + settings.attention_width
        n_shared = settings.shared_layers
        self.own = nn.ModuleList(
            _gated_linear(width if n_shared + layer else n_columns, width)
            for layer in range(settings.own_layers)
        )
        self.norms = nn.ModuleList(
            GhostNorm(2 * width, settings.virtual_batch, settings.momentum)
            for _ in range(n_shared + settings.own_layers)
        )

    def forward(self, x: Tensor, shared: nn.ModuleList) -> Tensor:
        """Shape (n, decision width + attention width)."""
        for layer, (linear, norm) in enumerate(zip([*shared, *self.own], self.norms, strict=True)):
            gated = functional.glu(norm(linear(x)))
            x = gated if layer == 0 else (x + gated) * HALF
        return x


class AttentiveTransformer(nn.Module):
    """Chooses features by what the step before made of them, and by how often each was chosen."""

    def __init__(self, n_features: int, settings: TabNetNetworkSettings) -> None:
        super().__init__()
        self.linear = _linear(settings.attention_width, n_features)
        self.norm = GhostNorm(n_features, settings.virtual_batch, settings.momentum)
        self.select = {"sparsemax": sparsemax, "entmax": entmax}[settings.mask]

    def forward(self, prior: Tensor, state: Tensor) -> Tensor:
        """A mask, shape (n, n_features), that adds up to 1 in each row."""
        return self.select(self.norm(self.linear(state)).float() * prior)


class TabNet(nn.Module):
    """The network.

    Parameters
    ----------
    columns
        Of the encoded rows.
    settings
        Shape of the network.
    base
        Added to all scores: the logit of how often anything is bought, which need not be learned.
    """

    column_share: Tensor
    base: Tensor

    def __init__(
        self, columns: Columns, settings: TabNetNetworkSettings, base: float = 0.0
    ) -> None:
        super().__init__()
        self.columns, self.settings = columns, settings
        self.embeddings = nn.ModuleList(_embedding(n, settings.embedding) for n in columns.codes)
        self.register_buffer("column_share", self._column_share(), persistent=False)
        self.register_buffer("base", torch.tensor(base))
        n_columns = self.column_share.shape[1]
        width = settings.decision_width + settings.attention_width
        self.norm = GhostNorm(n_columns, None, _INPUT_MOMENTUM)
        self.shared = nn.ModuleList(
            _gated_linear(width if layer else n_columns, width)
            for layer in range(settings.shared_layers)
        )
        self.first = FeatureTransformer(n_columns, settings)
        self.transformers = nn.ModuleList(
            FeatureTransformer(n_columns, settings) for _ in range(settings.steps)
        )
        self.attentions = nn.ModuleList(
            AttentiveTransformer(columns.n_features, settings) for _ in range(settings.steps)
        )
        self.decision = _linear(settings.decision_width, 1)

    def _column_share(self) -> Tensor:
        """How much of a feature's mask each column gets, shape (n_features, n_columns)."""
        of_columns = list(self.columns.of_numbers)
        for feature, embedding in zip(self.columns.of_categories, self.embeddings, strict=True):
            of_columns += [feature] * cast(nn.Embedding, embedding).embedding_dim
        share = torch.zeros(self.columns.n_features, len(of_columns))
        share[of_columns, torch.arange(len(of_columns))] = 1
        return share / share.sum(1, keepdim=True)

    def inputs(self, numbers: Tensor, categories: Tensor) -> Tensor:
        """All columns of rows, with embeddings for categories."""
        embedded = [
            embedding(categories[:, place]) for place, embedding in enumerate(self.embeddings)
        ]
        return torch.cat([numbers, *embedded], 1)

    def forward(self, numbers: Tensor, categories: Tensor) -> tuple[Tensor, Tensor]:
        """Score rows.

        Parameters
        ----------
        numbers
            float32, shape (n, n_numbers).
        categories
            int32, shape (n, n_categories).

        Returns
        -------
        Logits, shape (n,); and the mean entropy of the masks, a scalar.
        """
        widths = [self.settings.decision_width, self.settings.attention_width]
        x = self.norm(self.inputs(numbers, categories))
        prior = x.new_ones(len(x), self.columns.n_features)
        state = self.first(x, self.shared).split(widths, 1)[1]
        decision, entropy = x.new_zeros(()), x.new_zeros(())
        for attention, transformer in zip(self.attentions, self.transformers, strict=True):
            mask = attention(prior, state)
            entropy = entropy - (mask * (mask + _LEAST_PROBABILITY).log()).sum(1).mean()
            prior = prior * (self.settings.relaxation - mask)
            made = transformer(x * (mask @ self.column_share), self.shared)
            added, state = made.split(widths, 1)
            decision = decision + added.relu()
        return self.decision(decision)[:, 0] + self.base, entropy / self.settings.steps


def _gated_linear(n_in: int, width: int) -> nn.Linear:
    """Twice the width: one half gates the other."""
    linear = nn.Linear(n_in, 2 * width, bias=False)
    nn.init.xavier_normal_(linear.weight, math.sqrt((n_in + 2 * width) / math.sqrt(n_in)))
    return linear


def _linear(n_in: int, n_out: int) -> nn.Linear:
    linear = nn.Linear(n_in, n_out, bias=False)
    nn.init.xavier_normal_(linear.weight, math.sqrt((n_in + n_out) / math.sqrt(4 * n_in)))
    return linear


def _embedding(n_codes: int, dimensions: int) -> nn.Embedding:
    embedding = nn.Embedding(n_codes, min(dimensions, n_codes))
    with torch.no_grad():
        embedding.weight[0] = 0  # nothing is known of what has no category, until it is learned
    return embedding
