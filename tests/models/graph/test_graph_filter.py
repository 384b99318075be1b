import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, random_array

from modiste.errors import DataError
from modiste.models.graph.graph_filter import GraphFilter
from modiste.models.graph.spectral import normalised, singular_vectors


def random_graph(customers: int, articles: int, seed: int = 0, density: float = 0.2) -> csr_matrix:
    drawn = random_array((customers, articles), density=density, rng=np.random.default_rng(seed))
    return csr_matrix((drawn > 0).astype(np.float32))


def oracle(interactions: csr_matrix, frequencies: int, ideal_weight: float) -> NDArray[np.float64]:
    """The paper's formula, written down densely."""
    a = interactions.toarray().astype(np.float64)
    with np.errstate(divide="ignore"):
        rows, columns = a.sum(1) ** -0.5, a.sum(0) ** -0.5
    rows[np.isinf(rows)] = 0
    columns[np.isinf(columns)] = 0
    n = rows[:, None] * a * columns
    _, values, vectors = np.linalg.svd(n)
    v = vectors[: min(frequencies, int((values > 1e-5).sum()))].T
    roots = a.sum(0) ** 0.5
    scores: NDArray[np.float64] = a @ (n.T @ n) + ideal_weight * (a * columns) @ v @ v.T * roots
    return scores


@pytest.mark.parametrize("frequencies", [1, 3, 100])
@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_the_formula(frequencies: int, seed: int) -> None:
    graph = random_graph(30, 12, seed)
    made = GraphFilter.fit(graph, frequencies=frequencies, ideal_weight=0.3)
    # Of few frequencies the oracle is only sure where the values are well apart.
    np.testing.assert_allclose(
        made.scores(graph), oracle(graph, frequencies, 0.3), atol=2e-3 if frequencies < 12 else 1e-5
    )


def test_weighted_edges() -> None:
    graph = random_graph(20, 9)
    graph.data[:] = np.random.default_rng(1).integers(1, 5, graph.nnz)
    made = GraphFilter.fit(graph, frequencies=20)
    np.testing.assert_allclose(made.scores(graph), oracle(graph, 20, 0.3), atol=1e-4)


def test_isolated_nodes_score_nothing() -> None:
    graph = csr_matrix(np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 1]], dtype=np.float32))
    scores = GraphFilter.fit(graph, frequencies=4).scores(graph)
    assert np.isfinite(scores).all()
    assert (scores[1] == 0).all()
    np.testing.assert_allclose(scores[:, 2], 0, atol=1e-6)


def test_a_graph_of_one_edge() -> None:
    graph = csr_matrix((np.ones(1), (np.array([1]), np.array([2]))), shape=(3, 4))
    scores = GraphFilter.fit(graph, ideal_weight=0.5).scores(graph)
    expected = np.zeros((3, 4))
    expected[1, 2] = 1 + 0.5
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_the_same_seed_gives_the_same_bytes() -> None:
    graph = random_graph(60, 40)
    first, second = (GraphFilter.fit(graph, frequencies=5).scores(graph) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_a_customer_is_scored_from_its_own_row_alone() -> None:
    graph = random_graph(30, 12)
    made = GraphFilter.fit(graph, frequencies=4)
    np.testing.assert_allclose(made.scores(graph[7]), made.scores(graph)[7:8], rtol=1e-5)
    # Nobody of the fit bought like this one.
    new = csr_matrix(np.eye(12, dtype=np.float32)[[3]])
    assert made.scores(new).shape == (1, 12)


def test_only_the_strongest_neighbours_are_kept() -> None:
    graph = random_graph(80, 30, density=0.3)
    n = normalised(graph).toarray()
    whole = n.T @ n
    made = GraphFilter.fit(graph, ideal_weight=0, neighbours=5)
    for row, kept in zip(whole, made.neighbours.toarray(), strict=True):
        strongest = np.lexsort((np.arange(30), -row.astype(np.float32)))[:5]
        np.testing.assert_allclose(kept[strongest], row[strongest], rtol=1e-5)
        assert np.count_nonzero(kept) == 5


def test_singular_vectors_are_orthonormal_and_exact_where_all_are_wanted() -> None:
    matrix = normalised(random_graph(50, 20))
    rows, values, columns = singular_vectors(matrix, 20)
    np.testing.assert_allclose(rows * values @ columns.T, matrix.toarray(), atol=1e-5)
    np.testing.assert_allclose(columns.T @ columns, np.eye(len(values)), atol=1e-4)


def test_leading_singular_values() -> None:
    matrix = normalised(random_graph(300, 200, density=0.02))
    found = singular_vectors(matrix, 10, iterations=12).values
    np.testing.assert_allclose(
        found, np.linalg.svd(matrix.toarray(), compute_uv=False)[:10], rtol=1e-3
    )


def test_what_cannot_be_filtered_is_told() -> None:
    with pytest.raises(DataError, match="no edges"):
        GraphFilter.fit(csr_matrix(np.zeros((3, 4))))
    with pytest.raises(DataError, match="negative"):
        GraphFilter.fit(csr_matrix(np.array([[1.0, -1.0]])))
    with pytest.raises(DataError, match="0 neighbours"):
        GraphFilter.fit(random_graph(5, 4, density=0.9), neighbours=0)
    with pytest.raises(DataError, match="same articles"):
        GraphFilter.fit(random_graph(5, 4, density=0.9)).scores(random_graph(2, 7))
