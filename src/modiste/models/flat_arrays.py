"""Rows of different lengths, one behind the other in flat arrays, and the files they lie in.

Each array is one ``.npy`` file. It is written a piece at a time, for what is larger than memory,
and mapped into memory to be read: it takes address space and not memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modiste.errors import DataError


def ranges(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The ``lengths[i]`` numbers from ``starts[i]`` on, for every i, one after another."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)


@contextmanager
def array_file(
    path: Path, dtype: np.dtype[Any], n_values: int
) -> Iterator[Callable[[npt.NDArray[Any]], None]]:
    """Write an ``.npy`` file of a known length, a piece at a time.

    The bytes are those that ``numpy.save`` would write. Yields the function that appends a piece;
    all pieces together must have ``n_values`` values.
    """
    written = 0
    with path.open("wb") as out:

        def append(values: npt.NDArray[Any]) -> None:
            nonlocal written
            written += len(values)
            out.write(np.ascontiguousarray(values, dtype).data)

        np.lib.format.write_array_header_1_0(
            out,
            {
                "descr": np.lib.format.dtype_to_descr(dtype),
                "fortran_order": False,
                "shape": (n_values,),
            },
        )
        yield append
    if written != n_values:
        raise ValueError(f"{path} was to hold {n_values:,} values and got {written:,}")


def join_rows(pieces: Sequence[Path], folder: Path, dtypes: Mapping[str, np.dtype[Any]]) -> None:
    """Write the rows of all pieces one behind the other.

    Parameters
    ----------
    pieces
        Folders that hold an array of each name.
    folder
        Gets the joined ones.
    dtypes
        By the arrays' names. ``offsets`` is where a piece's rows begin, and the end.
    """

    def mapped(piece: Path, name: str) -> npt.NDArray[Any]:
        values: npt.NDArray[Any] = np.load(array_path(piece, name), "r", allow_pickle=False)
        return values

    bases = np.cumsum([0, *(mapped(piece, "offsets")[-1] for piece in pieces)])
    for name, dtype in dtypes.items():
        # A piece's last offset is the next one's first.
        extra = 1 if name == "offsets" else 0
        n_values = sum(len(mapped(piece, name)) - extra for piece in pieces) + extra
        with array_file(array_path(folder, name), dtype, n_values) as append:
            for piece, base in zip(pieces, bases[:-1], strict=True):
                values = mapped(piece, name)
                append(values[:-1] + base if extra else values)
            if extra:
                append(bases[-1:])


def array_path(folder: Path, name: str) -> Path:
    """Where a folder holds the array of a name."""
    return folder / f"{name}.npy"


def map_array(folder: Path, name: str, dtype: np.dtype[Any], what: str) -> npt.NDArray[Any]:
    """Map an array of one dimension into memory, read-only.

    Parameters
    ----------
    folder, name
        Where it lies: :func:`array_path`.
    dtype
        What it must hold.
    what
        What the folder holds, for errors: ``purchase sequences``.

    Raises
    ------
    DataError
        When the file is missing, damaged, or holds something else.
    """
    path = array_path(folder, name)
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} holds no {what} ({path.name} is missing): make them again"
        ) from error
    except (ValueError, EOFError) as error:
        raise DataError(f"{path} is damaged ({error}): make the {what} again") from error
    if values.dtype != dtype or values.ndim != 1:
        raise DataError(
            f"{path} holds {values.dtype} of shape {values.shape} instead of a row of {dtype}: "
            f"make the {what} again"
        )
    # A plain view of the mapping: indexing an np.memmap makes another one each time, slowly.
    return np.asarray(values)
