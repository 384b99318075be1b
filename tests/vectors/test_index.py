"""Vector indices against brute force, under filters, on disk, and damaged."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from modiste.errors import ConfigError, DataError
from modiste.vectors.article_vectors import unit_rows
from modiste.vectors.index import VectorIndex
from modiste.vectors.index_settings import IndexKind, IndexSettings
from modiste.vectors.neighbours import Neighbours, rerank
from modiste.vectors.tuning import smallest_reaching

Vectors = NDArray[np.float32]

KINDS: tuple[IndexKind, ...] = get_args(IndexKind)
ORIGIN = {"model": "m", "parts": ["{prod_name}"]}
D = 16
N = 3000
UNKNOWN = 7  # every so many-th row is zero

every_kind = pytest.mark.parametrize("kind", KINDS)


def clustered(n: int, seed: int = 0, d: int = D) -> Vectors:
    """Unit vectors around 40 centres, as those of articles are."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(40, d))
    return unit_rows(centres[rng.integers(0, 40, n)] + 0.4 * rng.normal(size=(n, d)))


def small(kind: IndexKind, **changes: Any) -> IndexSettings:
    """Settings for few vectors: a graph is walked, lists are left out."""
    usual: dict[str, Any] = {"n_lists": 20, "recall_k": 10, "hnsw_m": 4, "pq_nbits": 4}
    return IndexSettings(kind=kind, **usual | changes)


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    """Some rows are unknown."""
    made = clustered(N)
    made[::UNKNOWN] = 0
    return made


@pytest.fixture(scope="module")
def indices(vectors: Vectors) -> dict[IndexKind, VectorIndex]:
    """One of each kind."""
    return {kind: VectorIndex.build(vectors, ORIGIN, small(kind)) for kind in KINDS}


def brute_force(vectors: Vectors, queries: Vectors, allowed: NDArray[np.bool_]) -> Vectors:
    """Scores of all allowed and known rows, best first, for each query."""
    rows = np.flatnonzero(allowed & vectors.any(axis=1))
    return np.asarray(-np.sort(-(queries @ vectors[rows].T), axis=1))


def assert_well_formed(found: Neighbours, m: int, k: int, expected: int) -> None:
    """``expected`` different rows a query in order of (score, row), then padding."""
    assert found.ids.shape == found.scores.shape == (m, k)
    assert found.ids.dtype == np.int64
    assert found.scores.dtype == np.float32
    for ids, scores in zip(found.ids, found.scores, strict=True):
        assert (ids[:expected] >= 0).all()
        assert (ids[expected:] == -1).all()
        assert (scores[expected:] == -np.inf).all()
        assert len(set(ids[:expected].tolist())) == expected
        pairs = list(zip(-scores[:expected], ids[:expected], strict=True))
        assert pairs == sorted(pairs)


@every_kind
def test_the_promised_recall_is_kept_on_other_queries(
    kind: IndexKind, indices: dict[IndexKind, VectorIndex], vectors: Vectors
) -> None:
    noise = np.random.default_rng(5).normal(size=(200, D))
    queries = unit_rows(vectors[vectors.any(axis=1)][:2000:10] + 0.1 * noise)
    index = indices[kind]
    found = index.search(queries, 10)
    assert_well_formed(found, len(queries), 10, 10)
    exact = brute_force(vectors, queries, np.ones(N, dtype=np.bool_))
    true_scores = np.take_along_axis(queries @ vectors.T, found.ids, axis=1)
    recall = (true_scores >= exact[:, 9:10] - 1e-5).mean()
    tuning = index.description.tuning
    assert tuning.recall is not None
    assert recall >= tuning.recall - 0.05
    if kind != "ivf_pq":
        assert tuning.recall >= 0.95
        np.testing.assert_allclose(found.scores, true_scores, atol=1e-5)


def test_flat_is_exact(indices: dict[IndexKind, VectorIndex], vectors: Vectors) -> None:
    queries = clustered(30, seed=3)
    found = indices["flat"].search(queries, 25)
    exact = brute_force(vectors, queries, np.ones(N, dtype=np.bool_))
    np.testing.assert_allclose(found.scores, exact[:, :25], atol=1e-5)


def test_lists_and_graph_leave_work_undone(indices: dict[IndexKind, VectorIndex]) -> None:
    # Otherwise the tests of this file would say nothing about approximate search.
    assert indices["ivf_flat"].description.tuning.value < 20
    curve = indices["hnsw"].description.tuning.curve
    assert curve[0][1] < 1


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_filter_is_kept_and_never_starves(
    data: st.DataObject, indices: dict[IndexKind, VectorIndex], vectors: Vectors
) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    n_allowed = data.draw(st.sampled_from([0, 1, 3, 30, 300, 2000, N]))
    k = data.draw(st.sampled_from([1, 7, 50, N + 5]))
    rng = np.random.default_rng(data.draw(st.integers(0, 100)))
    allowed = np.zeros(N, dtype=np.bool_)
    allowed[rng.choice(N, n_allowed, replace=False)] = True
    queries = clustered(3, seed=n_allowed + k)
    found = indices[kind].search(queries, k, allowed=allowed)
    exact = brute_force(vectors, queries, allowed)
    expected = min(k, exact.shape[1])
    assert_well_formed(found, 3, k, expected)
    assert (allowed & vectors.any(axis=1))[found.ids[found.ids >= 0]].all()
    if kind != "ivf_pq" and expected == exact.shape[1]:
        np.testing.assert_allclose(found.scores[:, :expected], exact, atol=1e-5)


@pytest.mark.parametrize("kind", ["ivf_flat", "hnsw"])
@pytest.mark.parametrize("share", [0.5, 0.1, 0.02])
def test_a_filter_costs_no_recall(
    kind: IndexKind, share: float, indices: dict[IndexKind, VectorIndex], vectors: Vectors
) -> None:
    allowed = np.random.default_rng(1).random(N) < share
    queries = clustered(100)
    found = indices[kind].search(queries, 10, allowed=allowed)
    exact = brute_force(vectors, queries, allowed)
    assert (found.scores >= exact[:, 9:10] - 1e-5).mean() > 0.93


@every_kind
def test_equal_vectors_come_by_row(kind: IndexKind) -> None:
    vectors = np.tile(clustered(50), (4, 1))
    index = VectorIndex.build(vectors, ORIGIN, small(kind))
    found = index.search(vectors[:50], 200)
    # Different positions in a block of a product can differ in the last bits.
    np.testing.assert_array_equal(
        np.sort(found.ids[:, :4], axis=1), np.arange(50)[:, None] + 50 * np.arange(4)
    )
    assert_well_formed(found, 50, 200, 200)


def test_neighbours_break_ties_by_row() -> None:
    found = Neighbours(np.array([[9, -1, 3, 5]]), np.array([[0.5, 7, 0.5, 0.75]], dtype=np.float32))
    assert found.best(5).ids.tolist() == [[5, 3, 9, -1, -1]]
    assert found.best(2).ids.tolist() == [[5, 3]]


@every_kind
@pytest.mark.parametrize("n", [1, 2, 9, 41, 120])
def test_tiny(kind: IndexKind, n: int, tmp_path: Path) -> None:
    vectors = clustered(n)
    VectorIndex.build(vectors, ORIGIN, IndexSettings(kind=kind)).save(tmp_path, "index")
    index = VectorIndex.load(tmp_path, "index")
    found = index.search(vectors, 200)
    assert_well_formed(found, n, 200, n)
    assert (found.ids[:, 0] == np.arange(n)).mean() > 0.9


@every_kind
def test_many_queries_at_once_find_what_one_finds(
    kind: IndexKind, indices: dict[IndexKind, VectorIndex]
) -> None:
    queries = clustered(40, seed=9)
    together = indices[kind].search(queries, 5)
    alone = [indices[kind].search(queries[i : i + 1], 5).scores[0] for i in range(40)]
    np.testing.assert_allclose(together.scores, alone, atol=1e-5)


def test_fewer_lists_for_few_vectors() -> None:
    built = VectorIndex.build(clustered(400), ORIGIN, IndexSettings(n_lists=100))
    assert built.description.built_with == {"n_lists": 400 // 39}
    assert built.description.settings.n_lists == 100


def test_parts_that_do_not_divide_the_dimensions() -> None:
    built = VectorIndex.build(clustered(400), ORIGIN, small("ivf_pq", pq_m=7))
    assert built.description.built_with["pq_m"] == 4


def test_tuned_on_given_queries(vectors: Vectors) -> None:
    far = unit_rows(np.random.default_rng(4).normal(size=(100, D)))
    built = VectorIndex.build(vectors, ORIGIN, small("ivf_flat"), queries=far)
    near = VectorIndex.build(vectors, ORIGIN, small("ivf_flat"))
    assert built.description.tuning.queries == 100
    # Queries from nowhere near the vectors need more lists.
    assert built.description.tuning.value > near.description.tuning.value


def test_what_cannot_be_reached_is_said(vectors: Vectors) -> None:
    built = VectorIndex.build(vectors, ORIGIN, small("ivf_pq", pq_m=2, recall=0.99))
    tuning = built.description.tuning
    assert tuning.recall is not None
    assert tuning.recall < 0.99
    assert dict(tuning.curve)[tuning.value] == tuning.recall
    assert tuning.recall > max(recall for _, recall in tuning.curve) - 0.011


def test_exact_scores_repair_compression(
    indices: dict[IndexKind, VectorIndex], vectors: Vectors
) -> None:
    queries = clustered(100)
    exact = brute_force(vectors, queries, np.ones(N, dtype=np.bool_))[:, 9:10] - 1e-5
    found = indices["ivf_pq"].search(queries, 80)
    reranked = rerank(found, queries, vectors, 10)
    assert_well_formed(reranked, 100, 10, 10)
    plain = np.take_along_axis(queries @ vectors.T, found.ids[:, :10], axis=1)
    assert (reranked.scores >= exact).mean() > (plain >= exact).mean() + 0.05


@given(
    recalls=st.lists(st.floats(0, 1), min_size=1, max_size=40).map(sorted), wanted=st.floats(0, 1)
)
def test_the_smallest_that_reaches(recalls: list[float], wanted: float) -> None:
    values = [10 * (i + 1) for i in range(len(recalls))]
    chosen, measured = smallest_reaching(wanted, values, lambda value: recalls[value // 10 - 1])
    reaching = [v for v, r in zip(values, recalls, strict=True) if r >= wanted]
    if reaching:
        assert chosen == reaching[0]
    else:
        assert measured[chosen] >= recalls[-1] - 0.01


@every_kind
def test_the_same_bytes_on_any_number_of_threads(
    kind: IndexKind, vectors: Vectors, tmp_path: Path
) -> None:
    threads = faiss.omp_get_max_threads()
    try:
        for count in (1, 2, 2):
            faiss.omp_set_num_threads(count)
            VectorIndex.build(vectors, ORIGIN, small(kind)).save(tmp_path, str(count))
            assert faiss.omp_get_max_threads() == count
            for suffix in (".bin", ".json"):
                ours, first = tmp_path / f"{count}{suffix}", tmp_path / f"1{suffix}"
                assert ours.read_bytes() == first.read_bytes()
    finally:
        faiss.omp_set_num_threads(threads)


def test_another_seed_trains_otherwise(vectors: Vectors) -> None:
    def centroids(seed: int) -> Vectors:
        index = VectorIndex.build(vectors, ORIGIN, small("ivf_flat", seed=seed))
        return np.asarray(index._kind.index.quantizer.reconstruct_n(0, 20))

    assert not np.array_equal(centroids(0), centroids(1))


@every_kind
def test_saved_and_loaded_finds_the_same(
    kind: IndexKind, indices: dict[IndexKind, VectorIndex], tmp_path: Path
) -> None:
    built = indices[kind]
    built.save(tmp_path, "item_faiss_index")
    loaded = VectorIndex.load(tmp_path, "item_faiss_index", dict(ORIGIN))
    assert loaded.description == built.description
    assert loaded.description.vectors == N - len(range(0, N, UNKNOWN))
    queries = clustered(20, seed=2)
    for allowed in (None, np.arange(N) % 5 == 1):
        ours, theirs = (i.search(queries, 10, allowed=allowed) for i in (loaded, built))
        np.testing.assert_array_equal(ours.ids, theirs.ids)
        np.testing.assert_array_equal(ours.scores, theirs.scores)


@every_kind
def test_plain_faiss_reads_it_tuned(
    kind: IndexKind, indices: dict[IndexKind, VectorIndex], tmp_path: Path
) -> None:
    built = indices[kind]
    built.save(tmp_path, "item_faiss_index")
    plain = faiss.read_index(str(tmp_path / "item_faiss_index.bin"))
    queries = clustered(20, seed=2)
    scores, ids = plain.search(queries, 10)
    ours = built.search(queries, 10)
    complete = (ids >= 0).all(axis=1)
    assert complete.sum() > 15
    np.testing.assert_allclose(ours.scores[complete], scores[complete], atol=1e-6)
    np.testing.assert_array_equal(np.sort(ours.ids)[complete], np.sort(ids)[complete])
    assert not (ids[complete] % UNKNOWN == 0).any()
    value = built.description.tuning.value
    if kind.startswith("ivf"):
        assert plain.nprobe == value
    elif kind == "hnsw":
        assert faiss.downcast_index(plain.index).hnsw.efSearch == value


@every_kind
def test_a_cut_file_is_refused(
    kind: IndexKind, indices: dict[IndexKind, VectorIndex], tmp_path: Path
) -> None:
    indices[kind].save(tmp_path, "index")
    binary = tmp_path / "index.bin"
    whole = binary.read_bytes()
    for length in {*range(0, 120, 3), *range(120, len(whole), len(whole) // 60), len(whole) - 1}:
        binary.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"index\.bin has \d+ bytes"):
            VectorIndex.load(tmp_path, "index")
    binary.write_bytes(whole + b"\0")
    with pytest.raises(DataError, match=r"index\.bin has"):
        VectorIndex.load(tmp_path, "index")


@every_kind
def test_a_flipped_bit_is_refused(
    kind: IndexKind, indices: dict[IndexKind, VectorIndex], tmp_path: Path
) -> None:
    indices[kind].save(tmp_path, "index")
    binary = tmp_path / "index.bin"
    whole = binary.read_bytes()
    for place in range(0, len(whole), len(whole) // 25):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        binary.write_bytes(damaged)
        with pytest.raises(DataError, match=r"index\.bin is damaged"):
            VectorIndex.load(tmp_path, "index")


def test_a_missing_file_is_named(indices: dict[IndexKind, VectorIndex], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no index 'index' in .*index\.json is missing"):
        VectorIndex.load(tmp_path, "index")
    indices["flat"].save(tmp_path, "index")
    (tmp_path / "index.bin").unlink()
    with pytest.raises(DataError, match=r"cannot read .*index\.bin"):
        VectorIndex.load(tmp_path, "index")


def test_a_foreign_description_is_refused(
    indices: dict[IndexKind, VectorIndex], tmp_path: Path
) -> None:
    indices["flat"].save(tmp_path, "index")
    text = tmp_path / "index.json"
    whole = text.read_text()
    described = json.loads(whole)
    for damaged in (
        whole[:100],
        "",
        "[]",
        "\xff",
        json.dumps(described | {"kind": "tree"}),
        json.dumps(described | {"kind": "ivf_flat"}),
        json.dumps(described | {"kind": "hnsw"}),
        json.dumps(described | {"dimensions": D + 1}),
        json.dumps(described | {"vectors": 5}),
        json.dumps(described | {"rows": 5}),
        json.dumps(described | {"tuning": described["tuning"] | {"value": 0}}),
        json.dumps({k: v for k, v in described.items() if k != "sha256"}),
    ):
        text.write_text(damaged, encoding="latin-1")
        with pytest.raises(DataError, match=r"index\.json"):
            VectorIndex.load(tmp_path, "index")


def test_an_index_of_other_vectors_is_refused(
    indices: dict[IndexKind, VectorIndex], tmp_path: Path
) -> None:
    indices["flat"].save(tmp_path, "index")
    with pytest.raises(DataError, match="model: 'm', not 'n'; size: None, not 3"):
        VectorIndex.load(tmp_path, "index", ORIGIN | {"model": "n", "size": 3})


def test_a_full_disk_is_an_os_error(indices: dict[IndexKind, VectorIndex], tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot write .*index\.bin"):
        indices["flat"].save(tmp_path / "absent", "index")
    (tmp_path / "full.bin").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        indices["flat"].save(tmp_path, "full")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (np.full(D, 0.5), "row 17 .* length 2:"),
        (np.full(D, 1e-6), "row 17 "),
        (np.full(D, np.nan), "row 17 .* length nan"),
        (np.full(D, np.inf), "row 17 .* length inf"),
        (np.where(np.arange(D) == 3, np.nan, 0), "row 17 "),
    ],
)
def test_rows_that_are_not_unit(row: Vectors, message: str) -> None:
    vectors = clustered(100)
    vectors[17] = row
    vectors[80] = 3
    with pytest.raises(DataError, match=message):
        VectorIndex.build(vectors, ORIGIN)


@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros((5, D), dtype=np.float32),
        np.zeros((0, D), dtype=np.float32),
        np.ones(D, dtype=np.float32),
        clustered(5).astype(np.float64),
    ],
)
def test_arrays_that_cannot_be_indexed(vectors: Vectors) -> None:
    with pytest.raises(DataError, match="vectors"):
        VectorIndex.build(vectors, ORIGIN)


@pytest.mark.parametrize("value", [0, np.nan, np.inf, -np.inf, 1e300, 1e-60])
def test_queries_without_a_direction(value: float, indices: dict[IndexKind, VectorIndex]) -> None:
    queries = clustered(4).astype(np.float64)
    queries[2] = value
    with pytest.raises(DataError, match="query 2 has length"):
        indices["ivf_flat"].search(queries, 3)  # type: ignore[arg-type]


def test_hostile_searches(indices: dict[IndexKind, VectorIndex]) -> None:
    queries = clustered(4)
    for index in indices.values():
        with pytest.raises(DataError, match=r"shape \(4, 15\)"):
            index.search(queries[:, :-1], 3)
        with pytest.raises(DataError, match="shape"):
            index.search(queries[0], 3)
        for k in (0, -1):
            with pytest.raises(ConfigError, match="at least 1"):
                index.search(queries, k)
        with pytest.raises(DataError, match="mask"):
            index.search(queries, 3, allowed=np.ones(N - 1, dtype=np.bool_))
        with pytest.raises(DataError, match="mask"):
            index.search(queries, 3, allowed=np.arange(N))  # type: ignore[arg-type]
        assert index.search(queries[:0], 3).ids.shape == (0, 3)
        strided = np.repeat(queries, 2, axis=1)[::-1, ::2]
        np.testing.assert_array_equal(
            index.search(strided, 3).ids, index.search(queries, 3).ids[::-1]
        )


def test_searches_of_several_threads_do_not_meet(indices: dict[IndexKind, VectorIndex]) -> None:
    queries = clustered(50, seed=6)
    masks = [np.arange(N) % 5 == remainder for remainder in range(5)]
    for index in indices.values():
        alone = [index.search(queries, 9, allowed=mask).ids for mask in masks]
        with ThreadPoolExecutor(4) as pool:
            together = pool.map(
                lambda mask, index=index: index.search(queries, 9, allowed=mask).ids, masks * 4
            )
            for ids, expected in zip(together, alone * 4, strict=True):
                np.testing.assert_array_equal(ids, expected)


def test_queries_of_any_length_find_the_same(indices: dict[IndexKind, VectorIndex]) -> None:
    queries = clustered(10, seed=8)
    for index in indices.values():
        one, many = index.search(queries, 5), index.search(8 * queries, 5)
        np.testing.assert_array_equal(one.ids, many.ids)
        np.testing.assert_allclose(8 * one.scores, many.scores, rtol=1e-5)


def test_memory_mapped_vectors_give_the_same_index(vectors: Vectors, tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    VectorIndex.build(mapped, ORIGIN, small("ivf_flat")).save(tmp_path, "mapped")
    VectorIndex.build(vectors, ORIGIN, small("ivf_flat")).save(tmp_path, "plain")
    assert (tmp_path / "mapped.bin").read_bytes() == (tmp_path / "plain.bin").read_bytes()


def test_unknown_settings_are_refused() -> None:
    for wrong in ({"kind": "tree"}, {"n_lists": 0}, {"recall": 1.5}, {"nlist": 3}):
        with pytest.raises(ValidationError):
            IndexSettings.model_validate(wrong)
