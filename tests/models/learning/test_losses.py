from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from modiste.models.learning import losses
from modiste.models.learning.losses import (
    SharedArticles,
    binary_cross_entropy,
    columns_of,
    generalised_cross_entropy,
    seen_columns,
    softmax_cross_entropy,
)
from modiste.models.learning.negatives import Popularity, Uniform

PAIRS, ARTICLES, WIDTH = 60, 30, 5
# Every other history has nothing to predict.
SEGMENTS = torch.arange(PAIRS) // 7 * 2


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "_SCORES_IN_A_BLOCK", 200)
    monkeypatch.setattr(losses, "_LEAST_PAIRS", 1)


def _leaves() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(PAIRS, WIDTH, generator=generator, dtype=torch.float64)
    articles = torch.randn(ARTICLES, WIDTH, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, ARTICLES, (PAIRS,), generator=generator)
    return states.requires_grad_(), articles.requires_grad_(), targets


def _same(loss: Tensor, naive: Tensor, leaves: tuple[Tensor, ...]) -> None:
    torch.testing.assert_close(loss, naive)
    # Scaled, as a sum of losses would be.
    got = torch.autograd.grad(loss * 3, leaves)
    wanted = torch.autograd.grad(naive * 3, leaves)
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_full_softmax() -> None:
    states, articles, targets = _leaves()
    loss = softmax_cross_entropy(states, articles[targets], SharedArticles(articles, None, targets))
    naive = functional.cross_entropy(states @ articles.t(), targets)
    _same(loss, naive, (states, articles))


@pytest.mark.parametrize("with_seen", [False, True])
def test_sampled_softmax(with_seen: bool) -> None:
    states, articles, targets = _leaves()
    drawn, log_expected = Popularity(np.arange(ARTICLES), 0.75).draw(12, np.random.default_rng(0))
    offsets = -log_expected.double()
    seen = None
    if with_seen:
        columns = columns_of(drawn, ARTICLES)[targets]
        seen = seen_columns(SEGMENTS, columns, SEGMENTS, int(SEGMENTS[-1]) + 1)
    loss = softmax_cross_entropy(
        states,
        articles[targets],
        SharedArticles(articles[drawn], offsets[None], columns_of(drawn, ARTICLES)[targets], seen),
    )
    terms = []
    for pair in range(PAIRS):
        own = states[pair] @ articles[targets[pair]]
        history = set(targets[SEGMENTS.eq(SEGMENTS[pair])].tolist())
        left_out = history if with_seen else {int(targets[pair])}
        others = [
            states[pair] @ articles[article] + offset
            for article, offset in zip(drawn, offsets, strict=True)
            if int(article) not in left_out
        ]
        terms.append(torch.logsumexp(torch.stack([own, *others]), 0) - own)
    _same(loss, torch.stack(terms).mean(), (states, articles))


def test_softmax_with_offsets_of_several_periods() -> None:
    """Each pair has the offsets of its own period; what was not on sale then does not count."""
    states, articles, targets = _leaves()
    offsets = torch.randn(3, ARTICLES, dtype=torch.float64)
    offsets[torch.rand(3, ARTICLES) < 0.3] = -torch.inf
    periods = torch.arange(PAIRS) % 3
    own = torch.randn(PAIRS, dtype=torch.float64)
    shared = SharedArticles(articles, offsets, targets, None, periods, own)
    loss = softmax_cross_entropy(states, articles[targets], shared)
    scores = states @ articles.t() + offsets[periods]
    positive = (states * articles[targets]).sum(1) + own
    naive = functional.cross_entropy(
        scores.scatter(1, targets[:, None], positive[:, None]), targets
    )
    _same(loss, naive, (states, articles))


@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
def test_gbce(calibration: float) -> None:
    states, articles, targets = _leaves()
    drawn = torch.arange(3, 12)
    shared = SharedArticles(articles[drawn], None, columns_of(drawn, ARTICLES)[targets])
    loss = generalised_cross_entropy(states, articles[targets], shared, ARTICLES, calibration)
    alpha = 9 / (ARTICLES - 1)
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    positive = torch.sigmoid((states * articles[targets]).sum(-1)) ** beta
    negative = (1 - torch.sigmoid(states @ articles[drawn].t())).log()
    negative = negative.masked_fill(drawn[None] == targets[:, None], 0)
    naive = -(positive.log() + negative.sum(1)).mean() / 10
    _same(loss, naive, (states, articles))
    if calibration == 0:
        assert beta == 1


@pytest.mark.parametrize("with_seen", [False, True])
def test_bce(with_seen: bool) -> None:
    states, articles, targets = _leaves()
    drawn = Uniform(np.arange(ARTICLES)).draw_each(PAIRS, 2, np.random.default_rng(0))
    left_out = drawn == targets[:, None] if with_seen else None
    loss = binary_cross_entropy(states, articles[targets], articles[drawn], left_out)
    scored = torch.cat([targets[:, None], drawn], 1)
    logits = (states[:, None] * articles[scored]).sum(-1)
    wanted, weight = torch.zeros_like(logits), torch.ones_like(logits)
    wanted[:, 0] = 1
    if left_out is not None:
        assert left_out.any()
        weight[:, 1:] -= left_out.double()
    naive = functional.binary_cross_entropy_with_logits(logits, wanted, weight)
    _same(loss, naive, (states, articles))


def test_huge_scores_do_not_overflow() -> None:
    states, articles, targets = _leaves()
    shared = SharedArticles(articles * 1e4, None, targets)
    loss = softmax_cross_entropy(states, articles[targets] * 1e4, shared)
    assert math.isfinite(loss.item())


def test_corrected_sample_estimates_the_full_softmax() -> None:
    states, articles, _ = _leaves()
    sampler = Popularity(np.arange(ARTICLES) + 1)
    rng = np.random.default_rng(0)
    sums = torch.zeros(PAIRS, dtype=torch.float64)
    draws = 3000
    with torch.no_grad():
        scores = states @ articles.t()
        for _ in range(draws):
            drawn, log_expected = sampler.draw(8, rng)
            sums += (scores[:, drawn] - log_expected.double()).exp().sum(1)
    full = scores.exp().sum(1)
    assert (sums / draws / full).detach().numpy() == pytest.approx(np.ones(PAIRS), abs=0.08)


def test_samplers() -> None:
    rng = np.random.default_rng(0)
    drawn = Uniform(np.array([9, 3, 5])).draw(10, rng)
    assert drawn.items.tolist() == [3, 5, 9]
    assert drawn.log_expected.tolist() == [0, 0, 0]
    counts = np.array([0, 1, 0, 99])
    each = Popularity(counts).draw_each(1000, 2, rng)
    assert set(each.flatten().tolist()) == {1, 3}
    assert (each == 3).double().mean().item() == pytest.approx(0.99, abs=0.01)
