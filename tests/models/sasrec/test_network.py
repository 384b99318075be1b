from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn.functional import pad

from histories import ARTICLES, make_network, make_sequences
from modiste.errors import DataError
from modiste.models.learning.dropout import Dropout
from modiste.models.learning.ranks import ndcg_at, recall_at
from modiste.models.sasrec.layout import gap_bucket, history_rows, training_batch
from modiste.models.sasrec.network import Rows
from modiste.models.sasrec.next_item import NextItems, customer_vectors, ranks_of_next
from modiste.models.sasrec.sequences import Sequences
from modiste.models.sasrec.settings import NetworkSettings


def _input_gradients(rows: Rows, see_own_basket: bool = False) -> torch.Tensor:
    """How much each state (first axis) depends on each input: of rows with one line."""
    network = make_network(see_own_basket=see_own_basket).eval()
    inputs: list[torch.Tensor] = []

    def keep(_: object, __: object, output: torch.Tensor) -> torch.Tensor:
        inputs.append(output.detach().requires_grad_())
        return inputs[0]

    network.ids.register_forward_hook(keep)
    states = network(rows)[0]
    # A normalised state's sum is constant: a fixed direction stands for its values.
    direction = torch.randn(states.shape[1], generator=torch.Generator().manual_seed(1))
    gradients = [
        torch.autograd.grad(state @ direction, inputs[0], retain_graph=True)[0][0].abs().sum(-1)
        for state in states
    ]
    return torch.stack(gradients)


@pytest.mark.parametrize("plain", [0, 1])
def test_no_position_sees_a_later_one(plain: int) -> None:
    rows, _ = history_rows(make_sequences([10]), np.array([0]), 12)
    gradients = _input_gradients(rows._replace(plain=plain))
    later = torch.ones(10, 10, dtype=torch.bool).triu(1)
    assert (gradients[later] == 0).all()
    assert (gradients[~later] > 0).all()


def test_histories_of_a_row_do_not_see_each_other() -> None:
    rows, _ = history_rows(make_sequences([12, 5, 4]), np.array([0, 1, 2]), 12)
    assert rows.items.shape == (2, 12)
    packed = Rows(rows.items[1:], rows.segments[1:], rows.baskets[1:], rows.positions[1:])
    gradients = _input_gradients(packed)
    assert (gradients[:5, 5:] == 0).all()
    assert (gradients[5:9, :5] == 0).all()
    assert (gradients[8, 5:9] > 0).all()


@pytest.mark.parametrize("see_own_basket", [False, True])
def test_basket_mates_do_not_leak(see_own_basket: bool) -> None:
    rows, _ = history_rows(make_sequences([9], basket=3), np.array([0]), 12)
    gradients = _input_gradients(rows, see_own_basket)
    basket = torch.arange(9) // 3
    allowed = basket[None, :] < basket[:, None]
    allowed |= basket[None, :] == basket[:, None] if see_own_basket else torch.eye(9).bool()
    assert (gradients[~allowed] == 0).all()
    assert (gradients[allowed] > 0).all()


def test_order_within_a_basket_does_not_matter() -> None:
    sequences = make_sequences([9, 9], basket=3)
    shuffled = sequences.items[:9].copy()
    shuffled[3:6] = shuffled[[5, 3, 4]]
    sequences.items[9:] = shuffled
    rows, cells = history_rows(sequences, np.array([0, 1]), 12)
    states = make_network().eval()(rows).flatten(0, 1)
    first, second = cells.tolist()
    torch.testing.assert_close(states[first], states[second], atol=1e-5, rtol=0)


@pytest.mark.parametrize("basket", [1, 2])
@pytest.mark.parametrize("content", [False, True])
def test_packing_is_padding(basket: int, content: bool) -> None:
    lengths = [3, 12, 1, 5, 7, 2, 11, 12, 30]
    sequences = make_sequences(lengths, basket=basket)
    network = make_network(content=content).eval()
    which = np.arange(len(lengths))
    rows, cells = history_rows(sequences, which, 12)
    assert len(rows.items) < len(lengths)
    packed = network(rows).flatten(0, 1)[cells]
    for history in which:
        alone, cell = history_rows(sequences, which[[history]], 12)
        padding = (0, 12 - alone.items.shape[1])
        padded = Rows(
            pad(alone.items, padding),
            pad(alone.segments, padding, value=-1),
            pad(alone.baskets, padding),
            pad(alone.positions, padding),
        )
        state = network(padded).flatten(0, 1)[cell][0]
        torch.testing.assert_close(packed[history], state, atol=1e-5, rtol=0)


def test_one_item_and_very_long_histories() -> None:
    sequences = make_sequences([1, 5000, 12])
    network = make_network()
    vectors = customer_vectors(network, sequences)
    assert np.isfinite(vectors).all()
    latest = Sequences(sequences.items[4989:5001], np.arange(12, dtype=np.int32), np.array([0, 12]))
    np.testing.assert_allclose(customer_vectors(network, latest)[0], vectors[1], atol=1e-5)
    assert network.training  # as it was before


def test_an_empty_history_is_named() -> None:
    with pytest.raises(DataError, match="number 1 is empty"):
        customer_vectors(make_network(), make_sequences([2, 0, 3]))


def test_pairs_are_dealt_between_neighbouring_baskets() -> None:
    days = np.array([0, 0, 0, 4, 4, 9, 9, 9, 9, 9], dtype=np.int32)
    sequences = Sequences(np.arange(10, dtype=np.int32), days, np.array([0, 10]))
    for seed in range(5):
        batch = training_batch(sequences, np.array([0]), 12, np.random.default_rng(seed))
        source = batch.rows.items.flatten()[batch.sources].numpy()
        target = batch.targets.numpy()
        assert len(source) == max(3, 2) + max(2, 5)
        assert set(source) == {0, 1, 2, 3, 4}
        assert set(target) == {3, 4, 5, 6, 7, 8, 9}
        assert all(
            (s < 3 and 3 <= t < 5) or (s >= 3 and t >= 5)
            for s, t in zip(source, target, strict=True)
        )
        assert batch.rows.positions.flatten().tolist() == [0, 0, 0, 1, 1]


def test_items_predict_the_next_one() -> None:
    sequences = make_sequences([7, 12, 13, 30, 2, 1])
    which = np.arange(6)
    batch = training_batch(sequences, which, 12, np.random.default_rng(0), random_windows=False)
    for history, length in enumerate([7, 12, 13, 13, 2, 1]):
        own = sequences.items[: sequences.offsets[history + 1]][-length:]
        pairs = (batch.pair_segments == history).numpy()
        assert batch.rows.items.flatten()[batch.sources][pairs].tolist() == own[:-1].tolist()
        assert batch.targets[pairs].tolist() == own[1:].tolist()


def test_random_windows_reach_everywhere() -> None:
    sequences = make_sequences([30])
    starts = set()
    for seed in range(200):
        batch = training_batch(sequences, np.array([0]), 12, np.random.default_rng(seed))
        window = batch.window_items.tolist()
        assert len(window) == 13
        starts.add(sequences.items.tolist().index(window[0]))
    assert starts == set(range(30 - 13 + 1))


def test_gaps_never_tell_the_day_of_what_is_predicted() -> None:
    assert gap_bucket(np.array([-1, 0, 1, 2, 3, 4, 7, 8, 10**6])).tolist() == [
        0, 1, 2, 3, 3, 4, 4, 5, 13,
    ]  # fmt: skip
    days = np.array([0, 40], dtype=np.int32)
    sequences = Sequences(np.arange(2, dtype=np.int32), days, np.array([0, 2]))
    drawn = {
        int(
            training_batch(
                sequences, np.array([0]), 12, np.random.default_rng(seed), time_gaps=True
            ).rows.gaps[0, 0, 1]  # type: ignore[index]
        )
        for seed in range(50)
    }
    # 34 to 40 days: all in one bucket, the as-of date and not the day itself.
    assert drawn == set(gap_bucket(np.arange(34, 41)).tolist())
    rows, _ = history_rows(sequences, np.array([0]), 12, np.array([43], dtype=np.int32))
    assert rows.gaps is not None
    assert rows.gaps[0].tolist() == [[0, 7], [7, 3]]


def test_gaps_change_the_vectors() -> None:
    network = make_network(time_gaps=True)
    sequences = make_sequences([5])
    soon, late = (
        customer_vectors(network, sequences, np.array([day], dtype=np.int32)) for day in (13, 200)
    )
    assert np.abs(soon - late).max() > 1e-3


def test_ranks_against_sorting() -> None:
    sequences = make_sequences([3, 8, 20, 1])
    network = make_network()
    targets = np.array([5, 6, 7, 8])
    ranks = ranks_of_next(network, NextItems(sequences, targets))
    vectors = customer_vectors(network, sequences)
    articles = network.item_vectors().detach().numpy()
    for history, target in enumerate(targets):
        seen = sequences.items[sequences.offsets[history] : sequences.offsets[history + 1]]
        scores = articles @ vectors[history]
        own = scores[target]
        better = [a for a in range(ARTICLES) if a not in seen and a != target and scores[a] > own]
        assert ranks[history] == 1 + len(better)


def test_metrics_by_hand() -> None:
    ranks = np.array([1, 3, 10, 11])
    assert ndcg_at(ranks, 10) == pytest.approx((1 + 0.5 + 1 / np.log2(11)) / 4)
    assert recall_at(ranks, 10) == 0.75


def test_heads_must_divide() -> None:
    with pytest.raises(ValidationError, match="shared evenly by 3 heads"):
        NetworkSettings(dimensions=16, heads=3)


def test_dropout_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropout = Dropout(0.2)
    dropped = dropout(torch.ones(333, 333))
    assert (dropped == 0).double().mean().item() == pytest.approx(0.2, abs=0.005)
    assert dropped.mean().item() == pytest.approx(1, abs=0.005)
    assert (dropout.eval()(torch.ones(5)) == 1).all()


def test_a_new_article_has_the_vector_of_its_content() -> None:
    network = make_network(content=True)
    assert network.content is not None
    assert network.project is not None
    content = torch.cat([network.content, network.content[[3]]])
    grown = network.with_articles(content).eval()
    before, after = network.eval().item_vectors(), grown.item_vectors()
    torch.testing.assert_close(after[:ARTICLES], before)
    torch.testing.assert_close(after[ARTICLES], network.project(network.content[3]))
    sequences = make_sequences([4, 9])
    np.testing.assert_allclose(
        customer_vectors(grown, sequences), customer_vectors(network, sequences), atol=1e-5
    )


def test_ids_are_left_out_in_training_alone() -> None:
    network = make_network(content=True, content_only=0.5)
    assert network.content is not None
    assert network.project is not None
    alone = network.project(network.content)
    torch.manual_seed(0)
    dropped = (network.item_vectors() == alone).all(1)
    assert 5 < dropped.sum() < ARTICLES - 5
    assert not (network.eval().item_vectors() == alone).all(1).any()
