"""A Faiss index over the rows of an array of unit vectors, tuned to a wanted recall.

On disk it is two files: ``<name>.bin`` in Faiss's own format, which ``faiss.read_index`` opens and
which holds row numbers and the tuned parameter, and ``<name>.json``, which says what it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modiste.engine.hashing import sha256_of_file
from modiste.errors import ConfigError, DataError
from modiste.vectors.index_kinds import KINDS, Kind, is_of_kind, one_thread, training_rows
from modiste.vectors.index_settings import IndexKind, IndexSettings
from modiste.vectors.neighbours import Neighbours
from modiste.vectors.tuning import Tuning, kth_best_scores, recall, smallest_reaching, surely

# Rows read, checked or added at a time: a bound on memory, not on results.
_BLOCK = 1 << 16

# How far a length may be from 1: what rounding to half precision and back leaves.
_UNIT_TOLERANCE = 1e-3

# Of the vectors, at most one in so many is held out to tune on.
_HELD_OUT = 10


class IndexDescription(BaseModel):
    """What an index is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: IndexKind
    dimensions: int = Field(ge=1)
    rows: int = Field(ge=1)
    """Rows of the array; a mask of allowed rows has as many."""
    vectors: int = Field(ge=1)
    """Vectors in the index: the rows that are not all zero."""
    origin: dict[str, Any]
    """What made the vectors: :attr:`ArticleVectors.origin`."""
    built_with: dict[str, int]
    """What differs from the settings where there are few vectors: number of lists, and so on."""
    tuning: Tuning
    settings: IndexSettings


class _File(IndexDescription):
    """What ``<name>.json`` holds: the description, and what the other file must be."""

    size: int
    sha256: str


class VectorIndex:
    """Nearest rows by inner product.

    Made by :meth:`build` or :meth:`load`.

    Attributes
    ----------
    description
        What it is, with the tuned parameter and the recall that it reaches.
    """

    def __init__(self, kind: Kind, description: IndexDescription) -> None:
        self.description = description
        self._kind = kind
        self._known = np.zeros(description.rows, dtype=np.bool_)
        self._known[kind.rows()] = True

    @classmethod
    def build(
        cls,
        vectors: NDArray[np.float32],
        origin: dict[str, Any],
        settings: IndexSettings | None = None,
        queries: NDArray[np.float32] | None = None,
    ) -> Self:
        """Index the rows of ``vectors`` and tune the search.

        The same input gives the same bytes, on any number of threads.

        Parameters
        ----------
        vectors
            Shape (rows, dimensions). Each row has length 1, or is all zero where nothing is known:
            such a row is never found. May be memory-mapped; it is read block by block.
        origin
            What made them.
        settings
            Of the index.
        queries
            Tune on some of these, shape (queries, dimensions): for an index whose queries are not
            of the kind that it holds, such as customers looking for articles. Without them, some
            of the vectors are held out while it is tuned, and added then.

        Raises
        ------
        DataError
            When a row is neither zero nor of length 1, when none is known, or when the queries have
            another number of dimensions.
        """
        settings = settings or IndexSettings()
        rows = _known_rows(vectors)
        rng = np.random.default_rng(settings.seed)
        held_out = np.empty(0, dtype=np.int64)
        if queries is None:
            n_held_out = min(settings.queries, len(rows) // _HELD_OUT)
            held_out = np.sort(rng.choice(rows, n_held_out, replace=False))
            queries = np.asarray(vectors[held_out])
        else:
            if len(queries) > settings.queries:
                drawn = rng.choice(len(queries), settings.queries, replace=False)
                queries = queries[np.sort(drawn)]
            queries = _checked_queries(queries, vectors.shape[1])
        first = np.setdiff1d(rows, held_out, assume_unique=True)
        sample = np.sort(rng.choice(first, training_rows(settings, len(first)), replace=False))
        with one_thread():
            kind = KINDS[settings.kind].empty(settings, vectors[sample], len(rows))
            _add(kind, vectors, first)
            tuning = _tune(kind, vectors, first, queries, settings)
            _add(kind, vectors, held_out)
        kind.set_default(tuning.value)
        return cls(
            kind,
            IndexDescription(
                kind=settings.kind,
                dimensions=vectors.shape[1],
                rows=len(vectors),
                vectors=len(rows),
                origin=origin,
                built_with=kind.facts(),
                tuning=tuning,
                settings=settings,
            ),
        )

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        *,
        allowed: NDArray[np.bool_] | None = None,
    ) -> Neighbours:
        """The ``k`` nearest rows of each query.

        However few rows are allowed: ``k`` of them are found, or all. Which rows are found among
        equals at the end is the index's choice; the last bits of a score may depend on how many
        queries come at once.

        Parameters
        ----------
        queries
            Shape (queries, dimensions), of any length but zero: the score is the inner product.
        k
            At least 1; may be more than there are rows.
        allowed
            Which rows may be found, shape (rows,); all if not given.

        Raises
        ------
        DataError
            When the queries or ``allowed`` have another shape, or a query is zero or not finite.
        ConfigError
            When ``k`` is less than 1.
        """
        if k < 1:
            raise ConfigError(f"{k} neighbours were asked for: ask for at least 1")
        queries = _checked_queries(queries, self.description.dimensions)
        n_allowed = self.description.vectors
        if allowed is not None:
            allowed = self._checked_allowed(allowed)
            n_allowed = int(np.count_nonzero(allowed & self._known))
        there_are = min(k, n_allowed)
        if not there_are or not len(queries):
            nothing = np.full((len(queries), k), -1, dtype=np.int64)
            return Neighbours(nothing, np.full(nothing.shape, -np.inf, dtype=np.float32))
        value = self.description.tuning.value
        scores, ids = self._kind.search(queries, there_are, value, allowed, n_allowed)
        short = ids[:, -1] < 0
        if short.any():
            scores[short], ids[short] = self._kind.search_all(queries[short], there_are, allowed)
        return Neighbours(ids, scores).best(k)

    def save(self, folder: Path, name: str) -> None:
        """Write ``<name>.bin`` and ``<name>.json`` into an existing folder.

        Raises
        ------
        OSError
            When there is no room or no permission.
        """
        binary = folder / f"{name}.bin"
        try:
            faiss.write_index(self._kind.index, str(binary))
        except RuntimeError as error:
            # As the operating system's own, so that whoever made the folder explains it.
            raise OSError(f"cannot write {binary}: {error}") from error
        described = _File(
            **dict(self.description), size=binary.stat().st_size, sha256=sha256_of_file(binary)
        )
        text = described.model_dump_json(indent=2) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, name: str, origin: dict[str, Any] | None = None) -> Self:
        """Open what :meth:`save` wrote, memory-mapped.

        Parameters
        ----------
        folder, name
            As saved.
        origin
            Of the vectors that the index must be of, if it matters.

        Raises
        ------
        DataError
            When a file is missing, damaged, or of other vectors than ``origin`` says.
        """
        binary, text = folder / f"{name}.bin", folder / f"{name}.json"
        again = "build the index again"
        try:
            described = _File.model_validate_json(text.read_bytes())
        except FileNotFoundError as error:
            raise DataError(f"no index {name!r} in {folder} ({text.name} is missing)") from error
        except (OSError, ValidationError) as error:
            raise DataError(f"{text} does not describe an index ({error}): {again}") from error
        if origin is not None and origin != described.origin:
            raise DataError(
                f"{binary} is of other vectors ({_differences(described.origin, origin)}): {again}"
            )
        try:
            # Faiss believes what it reads: a damaged file must not get that far.
            if (size := binary.stat().st_size) != described.size:
                raise DataError(f"{binary} has {size} bytes, not {described.size}: {again}")
            if sha256_of_file(binary) != described.sha256:
                raise DataError(f"{binary} is damaged (its sha256 differs): {again}")
            index = faiss.read_index(str(binary), faiss.IO_FLAG_MMAP_IFC)
        except (OSError, RuntimeError) as error:
            raise DataError(f"cannot read {binary} ({error}): {again}") from error
        kind = KINDS[described.kind](index)
        if (
            not is_of_kind(index, described.kind)
            or index.d != described.dimensions
            or index.ntotal != described.vectors
            or kind.rows().max() >= described.rows
        ):
            raise DataError(f"{binary} is not the index that {text.name} describes: {again}")
        description = described.model_dump(include=set(IndexDescription.model_fields))
        return cls(kind, IndexDescription(**description))

    def _checked_allowed(self, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        rows = self.description.rows
        if allowed.shape != (rows,) or allowed.dtype != np.bool_:
            raise DataError(
                f"the mask of allowed rows is {allowed.dtype} of shape {allowed.shape}: give bool "
                f"of shape ({rows},), one for each row of the vectors"
            )
        return allowed


def _known_rows(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """The rows that are not all zero; refuses those that are not of length 1 either."""
    if vectors.ndim != 2 or vectors.dtype != np.float32:
        raise DataError(
            f"the vectors are {vectors.dtype} of shape {vectors.shape}: "
            "give float32 of shape (rows, dimensions)"
        )
    known = []
    for start in range(0, len(vectors), _BLOCK):
        lengths = np.linalg.norm(vectors[start : start + _BLOCK], axis=1)
        # Written so that NaN is wrong, too.
        wrong = ~((np.abs(lengths - 1) <= _UNIT_TOLERANCE) | (lengths == 0))
        if wrong.any():
            first = int(wrong.argmax())
            raise DataError(
                f"row {start + first} of the vectors has length {lengths[first]:.6g}: "
                "give rows of length 1 (unit_rows makes them), or of zeros where nothing is known"
            )
        known.append(start + np.flatnonzero(lengths))
    rows = np.concatenate(known) if known else np.empty(0, dtype=np.int64)
    if not len(rows):
        raise DataError(f"none of the {len(vectors)} vectors is known: there is nothing to index")
    return rows


def _checked_queries(queries: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    """The queries as Faiss wants them."""
    if queries.ndim != 2 or queries.shape[1] != dimensions:
        raise DataError(
            f"the queries have shape {queries.shape}: give shape (queries, {dimensions}), "
            f"for the index is of vectors with {dimensions} dimensions"
        )
    with np.errstate(over="ignore"):
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        lengths = np.linalg.norm(queries, axis=1)
    wrong = ~(np.isfinite(lengths) & (lengths > 0))
    if wrong.any():
        first = int(wrong.argmax())
        raise DataError(
            f"query {first} has length {lengths[first]:.6g}: a query needs a direction, "
            "so leave out those of whom nothing is known"
        )
    return queries


def _add(kind: Kind, vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        kind.index.add_with_ids(vectors[block], block)


def _tune(
    kind: Kind,
    vectors: NDArray[np.float32],
    rows: NDArray[np.int64],
    queries: NDArray[np.float32],
    settings: IndexSettings,
) -> Tuning:
    k = min(settings.recall_k, len(rows))
    values = kind.values(k)
    reached: float | None = None
    curve: dict[int, float] = {}
    if len(queries):
        kth_best = kth_best_scores(queries, vectors, rows, k)

        def measure(value: int) -> float:
            _, ids = kind.search(queries, k, value, None, len(rows))
            return surely(recall(queries, ids, vectors, kth_best))

        chosen, curve = smallest_reaching(settings.recall, values, measure)
        reached = curve[chosen]
    else:
        chosen = values[-1]
    return Tuning(
        parameter=kind.parameter,
        value=chosen,
        k=k,
        wanted=settings.recall,
        recall=reached,
        queries=len(queries),
        curve=tuple(sorted(curve.items())),
    )


def _differences(ours: dict[str, Any], wanted: dict[str, Any]) -> str:
    keys = [key for key in {**ours, **wanted} if ours.get(key) != wanted.get(key)]
    return "; ".join(f"{key}: {ours.get(key)!r}, not {wanted.get(key)!r}" for key in keys)
