"""The graph filter against a dense oracle, and the way that it is judged."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from modiste.errors import DataError
from modiste.models.graph.filter_settings import FilterSettings
from modiste.models.graph.graph_filter import GraphFilter
from modiste.models.graph.held_out import hold_out, recall_and_ndcg
from modiste.models.graph.interactions import interaction_matrix, symmetric_normalised
from modiste.models.graph.spectrum import leading_spectrum

NO_PAIRS = np.empty((0, 2), dtype=np.int32)


def drawn(users: int = 40, items: int = 25, seed: int = 0) -> sp.csr_array:
    """A matrix in which the last user and the last item have nothing."""
    dense = np.random.default_rng(seed).random((users, items)) < 0.2
    dense[-1], dense[:, -1] = False, False
    return sp.csr_array(dense.astype(np.float32))


def dense_scores(matrix: np.ndarray, rows: np.ndarray, rank: int, weight: float) -> np.ndarray:
    """The paper's formula, by dense matrices alone."""
    user, item = matrix.sum(1), matrix.sum(0)
    with np.errstate(divide="ignore"):
        user_root = np.where(user > 0, user**-0.5, 0)
        item_root = np.where(item > 0, item**-0.5, 0)
    normalised = user_root[:, None] * matrix * item_root
    right = np.linalg.svd(normalised)[2][:rank].T
    ideal = np.diag(item_root) @ right @ right.T @ np.diag(np.sqrt(item))
    scores: np.ndarray = rows @ (normalised.T @ normalised + weight * ideal)
    return scores


def test_scores_are_those_of_dense_matrices() -> None:
    matrix = drawn()
    dense = matrix.toarray().astype(np.float64)
    fitted = GraphFilter.fit(matrix, FilterSettings(rank=6, low_pass=0.3, iterations=12))
    assert_allclose(fitted.scores(matrix), dense_scores(dense, dense, 6, 0.3), atol=1e-4)


def test_weighted_interactions() -> None:
    matrix = drawn(seed=4)
    matrix.data = np.random.default_rng(1).random(matrix.nnz).astype(np.float32)
    dense = matrix.toarray().astype(np.float64)
    fitted = GraphFilter.fit(matrix, FilterSettings(rank=5, low_pass=0.5, iterations=12))
    assert_allclose(fitted.scores(matrix), dense_scores(dense, dense, 5, 0.5), atol=1e-4)


def test_only_targets_are_scored() -> None:
    matrix, targets = drawn(), np.array([7, 3, 11])
    settings = FilterSettings(rank=4)
    some, whole = GraphFilter.fit(matrix, settings, targets), GraphFilter.fit(matrix, settings)
    assert_allclose(some.scores(matrix), whole.scores(matrix)[:, targets], atol=1e-6)


def test_whoever_is_new_is_scored_by_their_own_row() -> None:
    matrix = drawn()
    fitted = GraphFilter.fit(matrix, FilterSettings(rank=4))
    assert_allclose(fitted.scores(matrix[3:4]), fitted.scores(matrix)[3:4], atol=1e-6)


def test_the_same_seed_gives_the_same_bytes() -> None:
    once, twice = (GraphFilter.fit(drawn(), FilterSettings(rank=4, seed=2)) for _ in range(2))
    assert_array_equal(once.scores(drawn()), twice.scores(drawn()))


def test_nodes_without_edges_score_nothing() -> None:
    scores = GraphFilter.fit(drawn(), FilterSettings(rank=4)).scores(drawn())
    assert np.isfinite(scores).all()
    assert_array_equal(scores[-1], 0)
    assert_allclose(scores[:, -1], 0, atol=1e-7)


def test_one_edge() -> None:
    matrix = interaction_matrix(np.array([[1, 2]]), 3, 4)
    scores = GraphFilter.fit(matrix, FilterSettings(rank=10, low_pass=0.5)).scores(matrix)
    expected = np.zeros((3, 4))
    expected[1, 2] = 1.5
    assert_allclose(scores, expected, atol=1e-6)


def test_no_edge_is_told() -> None:
    with pytest.raises(DataError, match="without an entry"):
        GraphFilter.fit(interaction_matrix(NO_PAIRS, 3, 4))


def test_repeated_pairs_count_once() -> None:
    matrix = interaction_matrix(np.array([[0, 1], [0, 1], [1, 0]]), 2, 2)
    assert_array_equal(matrix.toarray(), [[0, 1], [1, 0]])


@pytest.mark.parametrize("pair", [(2, 0), (0, 3), (-1, 0)])
def test_a_foreign_code_is_told(pair: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="2 users and 3 items"):
        interaction_matrix(np.array([[0, 0], pair]), 2, 3)


def test_spectrum_is_that_of_numpy() -> None:
    normalised = symmetric_normalised(drawn())
    found = leading_spectrum(normalised, 5, iterations=12)
    left, values, right = np.linalg.svd(normalised.toarray())
    assert_allclose(found.values, values[:5], atol=1e-5)
    assert found.values[0] == pytest.approx(1, abs=1e-6)
    assert_allclose(np.abs(found.right), np.abs(right[:5].T), atol=2e-3)
    assert_allclose(np.abs(found.left), np.abs(left[:, :5]), atol=2e-3)


def test_nothing_is_lost_or_doubled_by_holding_out() -> None:
    matrix = drawn()
    left, held = hold_out(matrix, 0.3, seed=1)
    assert_array_equal((left + held).toarray(), matrix.toarray())
    assert_array_equal(np.diff(held.indptr), np.round(0.3 * np.diff(matrix.indptr)))
    other = hold_out(matrix, 0.3, seed=2)[1]
    assert (other.toarray() != held.toarray()).any()


def test_recall_and_ndcg_by_hand() -> None:
    """Known 0 would come first; then 3 (right), 1 (wrong), 2 (right, beyond the two places)."""
    known = sp.csr_array(np.array([[1, 0, 0, 0, 0], [0, 0, 0, 0, 0]], dtype=np.float32))
    held = sp.csr_array(np.array([[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]], dtype=np.float32))
    scores = np.array([[9, 5, 4, 8, 1]], dtype=np.float32)
    found = recall_and_ndcg(lambda users: scores[users].copy(), known, held, k=2)
    assert found.recall == pytest.approx(1 / 3)
    assert found.ndcg == pytest.approx(1 / (1 + 1 / np.log2(3)))


def test_nothing_held_out_is_told() -> None:
    nothing = interaction_matrix(NO_PAIRS, 2, 3)
    with pytest.raises(DataError, match="nothing is held out"):
        recall_and_ndcg(lambda users: np.zeros((len(users), 3), np.float32), nothing, nothing)
