"""Vectors of texts, kept from one night to the next: each distinct text is embedded once.

A store belongs to one model in one revision and one precision. It is a folder of chunks, each an
``.npz`` file with the sha256 of its texts and their vectors. A chunk is written by one rename, and
its zip checksums are verified when it is read: what is damaged is said, removed and made again.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modiste.engine.files import atomic_file

Vectors = NDArray[np.float32]


class TextVectorStore:
    """Vectors by text.

    Parameters
    ----------
    folder
        Of the chunks; made when the first one is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, texts: Iterable[str]) -> dict[str, Vectors]:
        """The vectors, float32 of shape (dimensions,), of those of ``texts`` that are here."""
        wanted = {_key(text): text for text in texts}
        found: dict[str, Vectors] = {}
        for chunk in sorted(self._folder.glob("*.npz")):
            try:
                with chunk.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                    keys, vectors = arrays["keys"], arrays["vectors"]
                if len(keys) != len(vectors):
                    raise ValueError("as many keys as vectors are expected")
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                print(  # noqa: T201  (damage is said, not hidden)
                    f"{chunk} is damaged ({error}): its texts are embedded again",
                    file=sys.stderr,
                    flush=True,
                )
                chunk.unlink()
                continue
            for key, vector in zip(keys, vectors, strict=True):
                text = wanted.get(key.tobytes())
                if text is not None:
                    found[text] = vector
        return found

    def add(self, texts: Sequence[str], vectors: Vectors) -> None:
        """Keep the vectors, shape (len(texts), dimensions), of some texts.

        Raises
        ------
        ModisteError
            When the disk is full or not writable; nothing is kept then.
        """
        keys = [_key(text) for text in texts]
        name = hashlib.sha256(b"".join(keys)).hexdigest()[:32]
        with atomic_file(self._folder / f"{name}.npz") as partial, partial.open("wb") as file:
            np.savez(
                file,
                keys=np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), -1),
                vectors=vectors,
            )


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
