"""The kinds of Faiss index: how each is made, searched and told how thorough to be.

Every kind keeps the row numbers inside the index, so that Faiss alone, without this package, finds
rows in its file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import faiss
import numpy as np
from numpy.typing import NDArray

from modiste.vectors.index_settings import IndexKind, IndexSettings

Found = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Scores and row numbers as Faiss gives them: -1 where nothing more was found."""

_TRAINING_PER_CENTROID = 256
_LEAST_PER_LIST = 39

_GRAPH_STEPS_PER_DOUBLING = 4
_GRAPH_DOUBLINGS = 5


class Kind(ABC):
    """A Faiss index with row numbers, and the one parameter that says how thorough a search is.

    Parameters
    ----------
    index
        Of Faiss, trained.
    """

    parameter: ClassVar[str]
    """Faiss's name of what is tuned."""

    def __init__(self, index: Any) -> None:
        self.index = index

    @classmethod
    @abstractmethod
    def empty(cls, settings: IndexSettings, sample: NDArray[np.float32], n_vectors: int) -> Self:
        """Make an index of no vectors yet, trained on a sample of the ``n_vectors`` to come."""

    @abstractmethod
    def values(self, k: int) -> Sequence[int]:
        """What the parameter can be, ascending in thoroughness."""

    @abstractmethod
    def set_default(self, value: int) -> None:
        """Put the parameter into the index, so that its file holds it."""

    @abstractmethod
    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        value: int,
        allowed: NDArray[np.bool_] | None,
        n_allowed: int,
    ) -> Found:
        """Search the allowed rows, ``n_allowed`` of which are in the index.

        May find fewer than there are.
        """

    @abstractmethod
    def search_all(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None
    ) -> Found:
        """Compare with every allowed row: finds ``k`` or all."""

    @abstractmethod
    def rows(self) -> NDArray[np.int64]:
        """The row numbers in the index, in any order."""

    @abstractmethod
    def facts(self) -> dict[str, int]:
        """What the index was made with, where it can differ from the settings."""


class Flat(Kind):
    """Every vector is compared: nothing to tune."""

    parameter = "none"

    @classmethod
    def empty(cls, settings: IndexSettings, sample: NDArray[np.float32], n_vectors: int) -> Self:  # noqa: ARG003
        """Make an index of no vectors yet."""
        return cls(faiss.IndexIDMap(faiss.IndexFlatIP(sample.shape[1])))

    def values(self, k: int) -> Sequence[int]:  # noqa: ARG002
        """One, that means nothing."""
        return (1,)

    def set_default(self, value: int) -> None:
        """Do nothing."""

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        value: int,  # noqa: ARG002
        allowed: NDArray[np.bool_] | None,
        n_allowed: int,  # noqa: ARG002
    ) -> Found:
        """Compare with every allowed row."""
        return self.search_all(queries, k, allowed)

    def search_all(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None
    ) -> Found:
        """Compare with every allowed row."""
        parameters = faiss.SearchParameters(sel=_selector(allowed))
        return _found(self.index.search(queries, k, params=parameters))

    def rows(self) -> NDArray[np.int64]:
        """The row numbers, in the order in which they were added."""
        return np.asarray(faiss.vector_to_array(self.index.id_map))

    def facts(self) -> dict[str, int]:
        """Nothing."""
        return {}


class Lists(Kind):
    """Vectors in lists around centroids; the ``nprobe`` lists nearest to a query are searched."""

    parameter = "nprobe"

    @classmethod
    def empty(cls, settings: IndexSettings, sample: NDArray[np.float32], n_vectors: int) -> Self:
        """Make an index of no vectors yet, its centroids found by seeded k-means."""
        dimensions = sample.shape[1]
        n_lists = min(settings.n_lists, max(1, n_vectors // _LEAST_PER_LIST))
        index = cls._make(settings, dimensions, n_lists)
        index.cp.seed = settings.seed
        index.cp.min_points_per_centroid = 1  # what Faiss would warn of is seen to above
        index.train(sample)
        return cls(index)

    @staticmethod
    def _make(settings: IndexSettings, dimensions: int, n_lists: int) -> Any:  # noqa: ARG004
        return faiss.IndexIVFFlat(
            faiss.IndexFlatIP(dimensions), dimensions, n_lists, faiss.METRIC_INNER_PRODUCT
        )

    def values(self, k: int) -> Sequence[int]:  # noqa: ARG002
        """From one list to all."""
        return range(1, self.index.nlist + 1)

    def set_default(self, value: int) -> None:
        """Set ``nprobe``."""
        self.index.nprobe = value

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        value: int,
        allowed: NDArray[np.bool_] | None,
        n_allowed: int,
    ) -> Found:
        """Search the nearest lists; the more of them, the fewer of their vectors are allowed.

        The nearest allowed vectors lie the further away the fewer they are, and a list costs the
        less to search. So as many vectors are compared with a filter as without one.
        """
        lists = min(self.index.nlist, -(-value * self.index.ntotal // n_allowed))
        parameters = faiss.IVFSearchParameters(sel=_selector(allowed), nprobe=lists)
        return _found(self.index.search(queries, k, params=parameters))

    def search_all(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None
    ) -> Found:
        """Search all lists."""
        parameters = faiss.IVFSearchParameters(sel=_selector(allowed), nprobe=self.index.nlist)
        return _found(self.index.search(queries, k, params=parameters))

    def rows(self) -> NDArray[np.int64]:
        """The row numbers, list by list."""
        lists = self.index.invlists
        parts = [
            faiss.rev_swig_ptr(lists.get_ids(number), lists.list_size(number)).copy()
            for number in range(self.index.nlist)
            if lists.list_size(number)
        ]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def facts(self) -> dict[str, int]:
        """The number of lists."""
        return {"n_lists": self.index.nlist}


class CompressedLists(Lists):
    """Lists of vectors compressed by product quantisation: scores are approximate."""

    @classmethod
    def empty(cls, settings: IndexSettings, sample: NDArray[np.float32], n_vectors: int) -> Self:
        """Make an index of no vectors yet, centroids and codebooks found by seeded k-means."""
        # Codebooks want as many vectors as they have entries. With fewer, each entry becomes one of
        # the vectors, and nothing is lost in compression.
        repeats = -(-(1 << settings.pq_nbits) // len(sample))
        return super().empty(settings, np.tile(sample, (repeats, 1)), n_vectors)

    @staticmethod
    def _make(settings: IndexSettings, dimensions: int, n_lists: int) -> Any:
        parts = max(m for m in range(1, settings.pq_m + 1) if dimensions % m == 0)
        index = faiss.IndexIVFPQ(
            faiss.IndexFlatIP(dimensions),
            dimensions,
            n_lists,
            parts,
            settings.pq_nbits,
            faiss.METRIC_INNER_PRODUCT,
        )
        index.pq.cp.seed = settings.seed
        index.pq.cp.min_points_per_centroid = 1
        return index

    def facts(self) -> dict[str, int]:
        """The number of lists, and of parts of a vector."""
        return super().facts() | {"pq_m": self.index.pq.M, "pq_nbits": self.index.pq.nbits}


class Graph(Flat):
    """A graph of neighbours (HNSW), walked with ``efSearch`` candidates in hand."""

    parameter = "efSearch"

    @classmethod
    def empty(cls, settings: IndexSettings, sample: NDArray[np.float32], n_vectors: int) -> Self:  # noqa: ARG003
        """Make a graph of no vectors yet."""
        graph = faiss.IndexHNSWFlat(sample.shape[1], settings.hnsw_m, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = settings.hnsw_ef_construction
        return cls(faiss.IndexIDMap(graph))

    @property
    def _graph(self) -> Any:
        return faiss.downcast_index(self.index.index)

    def values(self, k: int) -> Sequence[int]:
        """From ``k``, below which Faiss does not go, to 32 times as many."""
        steps = np.arange(_GRAPH_DOUBLINGS * _GRAPH_STEPS_PER_DOUBLING + 1)
        values = np.rint(k * 2.0 ** (steps / _GRAPH_STEPS_PER_DOUBLING))
        return [int(value) for value in np.unique(values)]

    def set_default(self, value: int) -> None:
        """Set ``efSearch``."""
        self._graph.hnsw.efSearch = value

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        value: int,
        allowed: NDArray[np.bool_] | None,
        n_allowed: int,
    ) -> Found:
        """Walk the graph; the further, the fewer vectors are allowed.

        Where a walk would compare about as many vectors as are allowed, these are compared instead:
        that is exact, and faster.
        """
        candidates = -(-max(value, k) * self.index.ntotal // n_allowed)
        if candidates * self._graph.hnsw.nb_neighbors(1) >= n_allowed:
            return self.search_all(queries, k, allowed)
        parameters = faiss.SearchParametersHNSW(sel=_selector(allowed), efSearch=candidates)
        return _found(self.index.search(queries, k, params=parameters))

    def search_all(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None
    ) -> Found:
        """Compare with every allowed row, past the graph."""
        rows = self.rows()
        # The vectors under the graph are numbered as they were added.
        selector = _selector(None if allowed is None else allowed[rows])
        storage = faiss.downcast_index(self._graph.storage)
        scores, found = _found(
            storage.search(queries, k, params=faiss.SearchParameters(sel=selector))
        )
        return scores, np.where(found < 0, -1, rows[found])

    def facts(self) -> dict[str, int]:
        """The links of a vector, and the candidates looked at for them."""
        hnsw = self._graph.hnsw
        return {"hnsw_m": hnsw.nb_neighbors(1), "hnsw_ef_construction": hnsw.efConstruction}


KINDS: dict[IndexKind, type[Kind]] = {
    "ivf_flat": Lists,
    "flat": Flat,
    "hnsw": Graph,
    "ivf_pq": CompressedLists,
}

_FAISS_TYPES: dict[IndexKind, str] = {
    "ivf_flat": "IndexIVFFlat",
    "flat": "IndexIDMap/IndexFlat",
    "hnsw": "IndexIDMap/IndexHNSWFlat",
    "ivf_pq": "IndexIVFPQ",
}


def is_of_kind(index: Any, kind: IndexKind) -> bool:
    """Whether a Faiss index is one that the kind makes."""
    names = type(index).__name__
    if isinstance(index, faiss.IndexIDMap):
        # Faiss says IndexFlatIP or IndexFlat of the same thing, as it was made or read.
        inner = type(faiss.downcast_index(index.index)).__name__
        names += "/" + ("IndexFlat" if inner == "IndexFlatIP" else inner)
    return names == _FAISS_TYPES[kind]


def training_rows(settings: IndexSettings, n_vectors: int) -> int:
    """How many vectors an index is trained on."""
    codebook = 1 << settings.pq_nbits if settings.kind == "ivf_pq" else 0
    return min(n_vectors, _TRAINING_PER_CENTROID * max(settings.n_lists, codebook))


@contextmanager
def one_thread() -> Iterator[None]:
    """Let Faiss use one thread, so that what is built does not depend on how many there are.

    A graph depends on the order in which its vectors arrive; and a sum, on how it is cut.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _selector(allowed: NDArray[np.bool_] | None) -> Any:
    if allowed is None:
        return None
    return faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))


def _found(result: tuple[Any, Any]) -> Found:
    scores, rows = result
    return scores, rows
