"""The network of SASRec, from the articles of a history to a vector of who bought them.

Kang & McAuley, "Self-Attentive Sequential Recommendation" (ICDM 2018), with what later work changed
for the better: normalisation before each layer and not after it (Xiong et al., "On Layer
Normalization in the Transformer Architecture", ICML 2020), several heads, articles that bring a
vector of their content, and the days that lie between baskets.

    item:      e_i = id_i + W content_i
    input:     x_i = sqrt(d) e_i + position + gaps                      dropout
    block:     x = x + attention(norm(x));  x = x + feed_forward(norm(x))   b times
    state:     h_i = norm(x_i)
    score:     s(i, j) = h_i · e_j      the items' own vectors are the output layer (tied)

A state scores what is bought next. The last state of a history is the customer's vector.

Rows hold several short histories one after the other, so that no time is spent on padding. Three
whole numbers of each item say who may attend to whom:

segment
    The history that the item belongs to, -1 for padding. Nothing attends across segments.
basket
    Items bought on one day have no order, so an item attends to those of strictly earlier baskets
    and to itself. Basket-mates have the same position.
position
    Number of the basket within its segment, from 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from modiste.models.learning.dropout import Dropout
from modiste.models.sasrec.settings import NetworkSettings

# As of GPT-2 and of the reference code of Klenitskiy & Vasilev (RecSys 2023).
_INITIAL_DEVIATION = 0.02

# Gaps of 2 ** 12 days and more are one bucket.
GAP_BUCKETS = 14


class Rows(NamedTuple):
    """Histories laid out in rows, as the network reads them.

    Attributes
    ----------
    items
        int64, shape (rows, length): article codes; any valid code at padding.
    segments
        int64, shape (rows, length): history that each belongs to; -1: padding.
    baskets
        int64, shape (rows, length): rises with time within a segment; equal within a basket.
    positions
        int64, shape (rows, length): number of the basket in its segment, below ``max_length``.
    gaps
        int64, shape (rows, length, 2): buckets of days since the previous basket and to the as-of
        date (see ``layout.gap_bucket``); None where gaps are not read.
    plain
        Rows at the beginning that hold one history each, with baskets of one item and no padding
        before its end: for them being causal is the whole mask.
    """

    items: Tensor
    segments: Tensor
    baskets: Tensor
    positions: Tensor
    gaps: Tensor | None = None
    plain: int = 0

    def to(self, device: torch.device) -> Rows:
        """The same on another device."""
        return self._replace(
            items=self.items.to(device),
            segments=self.segments.to(device),
            baskets=self.baskets.to(device),
            positions=self.positions.to(device),
            gaps=None if self.gaps is None else self.gaps.to(device),
        )


class SASRec(nn.Module):
    """Causal transformer over articles.

    Parameters
    ----------
    items
        Number of articles.
    settings
        Shape of the network.
    content
        float32, shape (items, any): vectors of the articles' content, which are not trained but
        whose projection is; None: articles are known by their code alone.
    """

    content: Tensor | None

    def __init__(
        self, items: int, settings: NetworkSettings, content: Tensor | None = None
    ) -> None:
        super().__init__()
        self.settings = settings
        width = settings.dimensions
        self.ids = nn.Embedding(items, width)
        self.positions = nn.Embedding(settings.max_length, width)
        self.gaps = (
            nn.ModuleList(nn.Embedding(GAP_BUCKETS, width) for _ in range(2))
            if settings.time_gaps
            else None
        )
        # Not part of the weights: it is stored where it was made.
        self.register_buffer("content", content, persistent=False)
        self.project = (
            nn.Linear(content.shape[1], width, bias=False) if content is not None else None
        )
        self.dropout = Dropout(settings.dropout)
        self.blocks = nn.ModuleList(_Block(settings) for _ in range(settings.blocks))
        self.norm = nn.LayerNorm(width)
        self.apply(_initialise)

    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        """Vectors of articles, as input and as output.

        Parameters
        ----------
        items
            int64, any shape: article codes; None: all, in order.

        Returns
        -------
        float32: the shape of ``items``, and one axis of the dimensions more.
        """
        vectors: Tensor = self.ids.weight if items is None else self.ids(items)
        if self.project is not None and self.content is not None:
            if self.training and self.settings.content_only:
                draws = torch.rand(vectors.shape[:-1], device=vectors.device)
                vectors = vectors * (draws >= self.settings.content_only)[..., None]
            content = self.content if items is None else self.content[items]
            vectors = vectors + self.project(content)
        return vectors

    def with_articles(self, content: Tensor) -> Self:
        """The same network for a catalogue that has grown.

        Parameters
        ----------
        content
            float32, shape (articles, as before): of all articles, those known first and in order.

        Returns
        -------
        A network of its own, in which an article unknown so far is known by its content alone.
        """
        known = self.ids.weight.detach()
        grown = type(self)(len(content), self.settings, content)
        weights = self.state_dict()
        new = known.new_zeros(len(content) - len(known), known.shape[1])
        weights["ids.weight"] = torch.cat([known, new])
        grown.load_state_dict(weights)
        return grown.to(known.device).train(self.training)

    def forward(self, rows: Rows, vectors: Tensor | None = None) -> Tensor:
        """States after each item.

        Parameters
        ----------
        rows
            Histories.
        vectors
            float32, shape (any, dimensions): item vectors made before, of which ``rows.items`` then
            are the row numbers. None: they are looked up.

        Returns
        -------
        float32, shape (rows, length, dimensions).
        """
        if vectors is None:
            items = self.item_vectors(rows.items)
        else:
            items = functional.embedding(rows.items, vectors)
        x = items * math.sqrt(self.settings.dimensions)
        x = x + self.positions(rows.positions)
        if self.gaps is not None and rows.gaps is not None:
            for kind, table in enumerate(self.gaps):
                x = x + table(rows.gaps[..., kind])
        x = self.dropout(x)
        mask = attention_mask(rows, self.settings.see_own_basket)
        for block in self.blocks:
            x = block(x, mask, rows.plain)
        states: Tensor = self.norm(x)
        return states


class _Block(nn.Module):
    """Self-attention and a feed-forward layer, each added to what comes in."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        width, inner = settings.dimensions, settings.feed_forward * settings.dimensions
        self.heads = settings.heads
        self.attention_dropout = settings.attention_dropout
        self.before_attention = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.before_feed_forward = nn.LayerNorm(width)
        self.expand = nn.Linear(width, inner)
        self.contract = nn.Linear(inner, width)
        self.dropout = Dropout(settings.dropout)

    def forward(self, x: Tensor, mask: Tensor | None, plain: int) -> Tensor:
        x = x + self.dropout(self.mix(self._attend(self.before_attention(x), mask, plain)))
        inner = functional.relu(self.expand(self.before_feed_forward(x)))
        output: Tensor = x + self.dropout(self.contract(inner))
        return output

    def _attend(self, x: Tensor, mask: Tensor | None, plain: int) -> Tensor:
        """Mix values over the items that each may attend to: shape (rows, length, dimensions)."""
        rows, length, width = x.shape
        dropout = self.attention_dropout if self.training else 0.0
        mixed = []
        # The causal kernel leaves half of the work out; a mask has to be gone through. Cut and
        # chunked, and not indexed: what flows back is then joined, not added up from zeros.
        cut = self.query_key_value(x).split([plain, rows - plain])
        for part, of_part, causal in zip(cut, (None, mask), (True, False), strict=True):
            if len(part):
                query, key, value = (
                    each.unflatten(2, (self.heads, -1)).transpose(1, 2)
                    for each in part.chunk(3, dim=2)
                )
                mixed.append(
                    functional.scaled_dot_product_attention(
                        query, key, value, attn_mask=of_part, dropout_p=dropout, is_causal=causal
                    )
                )
        # The kernel's result lies in memory as (rows, length, heads, width): joined so, it is one
        # copy, and the heads lie side by side.
        whole = torch.cat([part.transpose(1, 2) for part in mixed])
        return whole.view(rows, length, width)


def attention_mask(rows: Rows, see_own_basket: bool = False) -> Tensor | None:
    """What may attend to what, in the rows for which being causal is not enough.

    Returns
    -------
    float32, shape (rows - plain, 1, length, length): 0 where the item of the third axis may attend
    to that of the fourth, else minus infinity. None when all rows are plain. Every item attends to
    itself, padding too, so that no row of the softmax is empty.
    """
    segments, baskets = rows.segments[rows.plain :], rows.baskets[rows.plain :]
    if not len(segments):
        return None
    same = segments[:, :, None] == segments[:, None, :]
    if see_own_basket:
        earlier = baskets[:, None, :] <= baskets[:, :, None]
    else:
        earlier = baskets[:, None, :] < baskets[:, :, None]
    itself = torch.eye(segments.shape[1], dtype=torch.bool, device=segments.device)
    allowed = (same & earlier) | itself
    mask = torch.zeros(allowed.shape, device=segments.device)
    return mask.masked_fill_(~allowed, -math.inf)[:, None]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=_INITIAL_DEVIATION)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
