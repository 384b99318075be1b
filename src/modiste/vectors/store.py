"""Vectors kept from one night to the next: each distinct text or picture is embedded once.

A store belongs to one model in one revision and one precision. It is a folder of chunks, each an
``.npz`` file with the sha256 of what was embedded and the vectors. A chunk is written by one
rename, and its zip checksums are verified when it is read: what is damaged is said, removed and
made again.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modiste.engine.files import atomic_file
from modiste.engine.progress import say

Vectors = NDArray[np.float32]


def key_of(content: bytes) -> bytes:
    """The key under which the vector of some content is kept: its sha256."""
    return hashlib.sha256(content).digest()


class VectorStore:
    """Vectors by the keys (see :func:`key_of`) of what they are of.

    Parameters
    ----------
    folder
        Of the chunks; made when the first one is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, keys: Iterable[bytes]) -> dict[bytes, Vectors]:
        """The vectors, float32 of shape (dimensions,), of those of ``keys`` that are here."""
        wanted = set(keys)
        found: dict[bytes, Vectors] = {}
        for chunk in sorted(self._folder.glob("*.npz")):
            try:
                with chunk.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                    kept, vectors = arrays["keys"], arrays["vectors"]
                if len(kept) != len(vectors):
                    raise ValueError("as many keys as vectors are expected")
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                say(f"{chunk} is damaged ({error}): what it held is embedded again")
                chunk.unlink()
                continue
            keyed = zip((key.tobytes() for key in kept), vectors, strict=True)
            found.update((key, vector) for key, vector in keyed if key in wanted)
        return found

    def add(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        """Keep some vectors, shape (len(keys), dimensions).

        Raises
        ------
        ModisteError
            When the disk is full or not writable; nothing is kept then.
        """
        name = hashlib.sha256(b"".join(keys)).hexdigest()[:32]
        with atomic_file(self._folder / f"{name}.npz") as partial, partial.open("wb") as file:
            np.savez(
                file,
                keys=np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), -1),
                vectors=vectors,
            )
