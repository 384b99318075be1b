"""Histories for the tests of the sequence model."""

from __future__ import annotations

import numpy as np
import torch

from modiste.models.sasrec.network import SASRec
from modiste.models.sasrec.sequences import Sequences
from modiste.models.sasrec.settings import NetworkSettings

ARTICLES = 40


def make_sequences(lengths: list[int], seed: int = 0, basket: int = 1) -> Sequences:
    """Random articles, distinct within a history, ``basket`` of them a day."""
    rng = np.random.default_rng(seed)
    items = [rng.permutation(max(ARTICLES, length))[:length] % ARTICLES for length in lengths]
    days = [np.arange(length) // basket * 3 for length in lengths]
    return Sequences(
        np.concatenate(items).astype(np.int32),
        np.concatenate(days).astype(np.int32),
        np.append(0, np.cumsum(lengths)).astype(np.int64),
    )


def make_network(seed: int = 0, content: bool = False, **settings: object) -> SASRec:
    shape = NetworkSettings.model_validate(
        {"dimensions": 16, "blocks": 2, "heads": 2, "max_length": 12, **settings}
    )
    torch.manual_seed(seed)
    vectors = torch.randn(ARTICLES, 6) if content else None
    network = SASRec(ARTICLES, shape, vectors)
    # As drawn, weights are so small that a leak might hide below the tolerance.
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return network
