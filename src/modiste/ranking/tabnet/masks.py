"""Sparsemax and entmax: like softmax, but most of what they give is exactly 0.

Both are ``max(z - t, 0)`` to a power, with the threshold t at which a row adds up to 1. It is found
by Newton's method from below, where the sum, convex in t, is never overshot: a handful of
reductions, and no sort, which would take a third of the time of scoring.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Newton's method takes four to eight steps; this bounds it should rounding keep it going.
_MOST_STEPS = 60


def sparsemax_forward(z: Tensor) -> Tensor:
    """The point of the simplex that is nearest to each row (https://arxiv.org/abs/1602.02068)."""
    z = z - z.amax(-1, keepdim=True)
    return _above_threshold(z, _sparsemax_step)


def entmax_forward(z: Tensor) -> Tensor:
    """Entmax with alpha = 1.5 of each row (https://arxiv.org/abs/1905.05702)."""
    z = (z - z.amax(-1, keepdim=True)) / 2
    return _above_threshold(z, _entmax_step).square_()


def _above_threshold(z: Tensor, step: Callable[[Tensor], Tensor]) -> Tensor:
    """``max(z - t, 0)`` with the threshold of each row, whose largest value is 0.

    ``step`` says by how much the threshold is to rise, given what is above it. A row whose
    threshold rests stays as it is while others go on: no row depends on another.
    """
    threshold = z.new_full((*z.shape[:-1], 1), -1.0)
    above = (z - threshold).relu_()
    for _ in range(_MOST_STEPS):
        higher = threshold + step(above).clamp_(min=0)
        if torch.equal(higher, threshold):
            break
        threshold = higher
        above = (z - threshold).relu_()
    return above


def _sparsemax_step(above: Tensor) -> Tensor:
    return (above.sum(-1, keepdim=True) - 1) / above.count_nonzero(-1).unsqueeze(-1)


def _entmax_step(above: Tensor) -> Tensor:
    norm = torch.linalg.vector_norm(above, dim=-1, keepdim=True)
    higher: Tensor = (norm - 1) * norm / above.sum(-1, keepdim=True)
    return higher


class _Sparsemax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        mask = sparsemax_forward(z)
        ctx.save_for_backward(mask)
        return mask

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        mask: Tensor = ctx.saved_tensors[0]
        chosen = mask.ne(0)
        gradient = gradients[0] * chosen
        mean = gradient.sum(-1, keepdim=True) / chosen.sum(-1, keepdim=True)
        return gradient - mean * chosen


class _Entmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        mask = entmax_forward(z)
        ctx.save_for_backward(mask)
        return mask

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        mask: Tensor = ctx.saved_tensors[0]
        root = mask.sqrt()
        gradient = gradients[0] * root
        return gradient - root * (gradient.sum(-1, keepdim=True) / root.sum(-1, keepdim=True))


def sparsemax(z: Tensor) -> Tensor:
    """:func:`sparsemax_forward` with gradients."""
    mask: Tensor = _Sparsemax.apply(z)  # type: ignore[no-untyped-call]
    return mask


def entmax(z: Tensor) -> Tensor:
    """:func:`entmax_forward` with gradients."""
    mask: Tensor = _Entmax.apply(z)  # type: ignore[no-untyped-call]
    return mask
