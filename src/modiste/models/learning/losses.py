"""Losses that teach a state to score what was bought above what was not.

Binary cross-entropy against one negative is the paper's (Kang & McAuley, ICDM 2018). It makes
models overconfident, since the negatives of training are far easier than those of a ranking
(Petrov & Macdonald, "gSASRec: Reducing Overconfidence in Sequential Recommendation Trained with
Negative Sampling", RecSys 2023); two remedies are here, that paper's gBCE and softmax over many
negatives that all share (Klenitskiy & Vasilev, "Turning Dross Into Gold Loss", RecSys 2023).

Losses over shared articles go block by block: the scores of a block, its loss, and at once the
gradients of both factors, in two more matrix products. So scores of batch × articles never exist,
nothing is computed twice, and a block fits a core's cache. That is why these are functions with a
gradient of their own, and why it can be taken once only.

Of all losses: ``states`` is float32, shape (n, d), what predicts; ``positives`` is float32, shape
(n, d), the vectors of the articles that were bought; the loss is a mean over the n pairs.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

# Scores of a block: 4 MiB of float32, which two cores' level-2 caches hold. A GPU waits for small
# blocks: of 8,192 pairs and as many articles, a step of LightGCN took an H100 60 ms with these, and
# 7.5 ms with 256 MiB.
_SCORES_IN_A_BLOCK = 1 << 20
_SCORES_IN_A_BLOCK_OF_A_GPU = 1 << 26

# exp(x) = exp2(x log2 e): of minus infinity a CPU's exp takes 16 times as long as of other numbers.
_LOG2_E = 1 / math.log(2)

# Pairs of a block at least: with few, matrix products are slow however many columns there are.
_LEAST_PAIRS = 64


class SharedArticles(NamedTuple):
    """The articles that all states of a batch are scored against, and those left out for some.

    Attributes
    ----------
    vectors
        float32, shape (m, d).
    offsets
        float32, shape (p, m): added to the scores, a row for each of p periods: the logQ
        correction, and how popular each was; minus infinity where one was not on sale. None:
        nothing.
    positive_columns
        int64, shape (n,): where among the m each pair's own positive is, -1: not among them. It is
        no negative of its own pair.
    seen
        What else is no negative: see :class:`Seen`; None: nothing.
    periods
        int64, shape (n,): the row of the offsets for each pair; None: all have the first.
    positive_offsets
        float32, shape (n,): added to the score of each pair's own positive; None: nothing.
    """

    vectors: Tensor
    offsets: Tensor | None
    positive_columns: Tensor
    seen: Seen | None = None
    periods: Tensor | None = None
    positive_offsets: Tensor | None = None


class Seen(NamedTuple):
    """Articles of a history, that are negatives to none of its pairs.

    What somebody bought already is not recommended where repeats are filtered out; to push its
    score down is a waste of the network's means.

    Attributes
    ----------
    pair_bounds
        Pairs of history ``i`` are those from ``pair_bounds[i]`` to ``pair_bounds[i + 1]``.
    columns
        int64: columns of the histories' articles, one history after the other.
    column_bounds
        Those of history ``i`` lie from ``column_bounds[i]`` to ``column_bounds[i + 1]``.
    """

    pair_bounds: list[int]
    columns: Tensor
    column_bounds: list[int]

    def between(self, first: int, last: int) -> Iterator[tuple[slice, Tensor]]:
        """Of each history: its pairs, counted from ``first`` and before ``last``; its columns."""
        history = bisect_right(self.pair_bounds, first) - 1
        while history < len(self.pair_bounds) - 1 and self.pair_bounds[history] < last:
            start, end = self.pair_bounds[history : history + 2]
            columns = self.columns[self.column_bounds[history] : self.column_bounds[history + 1]]
            yield slice(max(start, first) - first, min(end, last) - first), columns
            history += 1


def columns_of(shared: Tensor, articles: int) -> Tensor:
    """Where each article is among the shared ones: int64, shape (articles,); -1: nowhere."""
    column = torch.full((articles,), -1, dtype=torch.int64, device=shared.device)
    column[shared] = torch.arange(len(shared), device=shared.device)
    return column


def seen_columns(
    pair_segments: Tensor, window_columns: Tensor, window_segments: Tensor, segments: int
) -> Seen:
    """Gather the columns of each history's articles.

    Parameters
    ----------
    pair_segments
        int64, shape (n,): the history of each pair, sorted.
    window_columns
        int64: columns of the articles of all histories; -1 for those not shared.
    window_segments
        int64: the history of each, sorted.
    segments
        Number of histories.
    """
    shared = window_columns >= 0
    return Seen(
        _bounds(pair_segments, segments),
        window_columns[shared],
        _bounds(window_segments[shared], segments),
    )


def _bounds(sorted_segments: Tensor, segments: int) -> list[int]:
    numbers = torch.arange(segments + 1, device=sorted_segments.device)
    bounds: list[int] = torch.searchsorted(sorted_segments, numbers).tolist()
    return bounds


def binary_cross_entropy(
    states: Tensor, positives: Tensor, negatives: Tensor, left_out: Tensor | None = None
) -> Tensor:
    """Each pair against negatives of its own.

    Parameters
    ----------
    states, positives
        See the module.
    negatives
        float32, shape (n, k, d). All of it is in memory: for small k.
    left_out
        bool, shape (n, k): what was drawn and is no negative after all; None: nothing.

    Returns
    -------
    Mean over the pairs, and over the 1 + k terms of each.
    """
    positive = functional.softplus(-(states * positives).sum(-1))
    negative = functional.softplus(torch.einsum("nd,nkd->nk", states, negatives))
    if left_out is not None:
        negative = negative.masked_fill(left_out, 0)
    return (positive + negative.sum(-1)).mean() / (1 + negatives.shape[1])


def bayesian_personalised_ranking(states: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Each pair against one negative of its own: the logistic loss of the scores' difference.

    Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009.

    Parameters
    ----------
    states, positives
        See the module.
    negatives
        float32, shape (n, d).
    """
    return functional.softplus((states * (negatives - positives)).sum(-1)).mean()


def generalised_cross_entropy(
    states: Tensor, positives: Tensor, shared: SharedArticles, articles: int, calibration: float
) -> Tensor:
    """gBCE: binary cross-entropy whose positive probability is raised to a power beta.

    Parameters
    ----------
    states, positives
        See the module.
    shared
        The negatives; offsets are not used.
    articles
        How many there are to draw negatives from.
    calibration
        t of the paper: at 0 it is plain binary cross-entropy, at 1 scores estimate probabilities.
    """
    share = min(len(shared.vectors) / max(articles - 1, 1), 1.0)
    beta = share * (calibration * (1 - 1 / share) + 1 / share)
    positive = beta * functional.softplus(-(states * positives).sum(-1)).mean()
    negative: Tensor = _BlockedLogistic.apply(states, shared.vectors, shared)  # type: ignore[no-untyped-call]
    return (positive + negative) / (1 + len(shared.vectors))


def softmax_cross_entropy(states: Tensor, positives: Tensor, shared: SharedArticles) -> Tensor:
    """Cross-entropy of the positive among itself and the shared articles.

    With all articles shared it is the full softmax; with a sample and the logarithm of how often
    each is expected in it, taken off its score by ``offsets``, an estimate of it (Bengio & Senécal,
    "Adaptive Importance Sampling to Accelerate Training of a Neural Probabilistic Language Model",
    2008). The positive is always there, and is not corrected.
    """
    loss: Tensor = _BlockedSoftmax.apply(states, positives, shared.vectors, shared)  # type: ignore[no-untyped-call]
    return loss


class _BlockedSoftmax(torch.autograd.Function):
    """Mean of log(exp(s_positive) + sum of exp(s_shared)) - s_positive."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, positives: Tensor, vectors: Tensor, shared: SharedArticles
    ) -> Tensor:
        n = len(states)
        wanted = any(ctx.needs_input_grad)
        state_gradient = torch.empty_like(states) if wanted else None
        positive_gradient = torch.empty_like(positives) if wanted else None
        vector_gradient = torch.zeros_like(vectors) if wanted else None
        total = states.new_zeros((), dtype=_summing(states))
        for first, last in _blocks(n, shared):
            block = states[first:last]
            scores = _scores(block, shared, first, last)
            own = (block * positives[first:last]).sum(-1)
            if shared.positive_offsets is not None:
                own += shared.positive_offsets[first:last]
            highest = torch.maximum(scores.amax(1), own)
            scores.sub_(highest[:, None]).mul_(_LOG2_E).exp2_()
            own_share = (own - highest).exp_()
            mass = scores.sum(1).add_(own_share)
            total += (mass.log() + highest - own).sum(dtype=total.dtype)
            if state_gradient is None or positive_gradient is None or vector_gradient is None:
                continue
            # Shares are scores / mass; dividing the narrow factors saves a pass over the wide one.
            scale = (1 / (mass * n))[:, None]
            own_error = own_share[:, None] * scale - 1 / n
            of_states = state_gradient[first:last]
            torch.mm(scores, vectors, out=of_states)
            of_states.mul_(scale).addcmul_(positives[first:last], own_error)
            vector_gradient.addmm_(scores.t(), block * scale)
            torch.mul(block, own_error, out=positive_gradient[first:last])
        if wanted:
            ctx.save_for_backward(state_gradient, positive_gradient, vector_gradient)
        return (total / max(n, 1)).to(states.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return *(part * gradient for part in ctx.saved_tensors), None


class _BlockedLogistic(torch.autograd.Function):
    """Mean over the pairs of the sum of log(1 + exp(s_shared))."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, vectors: Tensor, shared: SharedArticles) -> Tensor:
        n = len(states)
        wanted = any(ctx.needs_input_grad)
        state_gradient = torch.empty_like(states) if wanted else None
        vector_gradient = torch.zeros_like(vectors) if wanted else None
        total = states.new_zeros((), dtype=_summing(states))
        for first, last in _blocks(n, shared):
            block = states[first:last]
            scores = _scores(block, shared, first, last)
            total += functional.softplus(scores).sum(dtype=total.dtype)
            if state_gradient is None or vector_gradient is None:
                continue
            scores.sigmoid_()
            torch.mm(scores, vectors, out=state_gradient[first:last])
            state_gradient[first:last].div_(n)
            vector_gradient.addmm_(scores.t(), block / n)
        if wanted:
            ctx.save_for_backward(state_gradient, vector_gradient)
        return (total / max(n, 1)).to(states.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return *(part * gradient for part in ctx.saved_tensors), None


def _summing(states: Tensor) -> torch.dtype:
    """What blocks' losses are added up in; Apple's devices know no float64."""
    return states.dtype if states.device.type == "mps" else torch.float64


def _blocks(pairs: int, shared: SharedArticles) -> Iterator[tuple[int, int]]:
    """Blocks of pairs, first and last."""
    on_cpu = shared.vectors.device.type == "cpu"
    scores = _SCORES_IN_A_BLOCK if on_cpu else _SCORES_IN_A_BLOCK_OF_A_GPU
    step = max(scores // max(len(shared.vectors), 1), _LEAST_PAIRS)
    for first in range(0, pairs, step):
        yield first, min(first + step, pairs)


def _scores(block: Tensor, shared: SharedArticles, first: int, last: int) -> Tensor:
    """Scores of a block: shape (last - first, m); minus infinity where there is no negative."""
    scores = block @ shared.vectors.t()
    if shared.offsets is not None:
        periods = shared.periods
        scores.add_(shared.offsets[0 if periods is None else periods[first:last]])
    if shared.seen is not None:  # a history's own articles include the positives
        for pairs, columns in shared.seen.between(first, last):
            scores[pairs].index_fill_(1, columns, -math.inf)
        return scores
    own = shared.positive_columns[first:last]
    (among,) = (own >= 0).nonzero(as_tuple=True)
    scores[among, own[among]] = -math.inf
    return scores
