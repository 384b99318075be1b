"""Raw files made ready to be read in blocks: plain local files, CSV in UTF-8.

A local file that is so already is read in place. Any other (gzip, zip, another encoding, a remote
address) is copied once to the work folder as a stream of small chunks: what is in memory does not
depend on its size. From there on all are read in the same way, which is why all give the same
bytes.
"""

from __future__ import annotations

import codecs
import gzip
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from modiste.data.sources import RawFile, open_raw
from modiste.errors import DataError

_CHUNK_BYTES = 1 << 20
_BOM = codecs.BOM_UTF8


@dataclass(frozen=True)
class ReadyFile:
    """A raw file as a plain local file.

    Attributes
    ----------
    name
        What the account and messages call it.
    path
        Where it lies now.
    is_parquet
        Parquet, or else CSV in UTF-8.
    """

    name: str
    path: Path
    is_parquet: bool


def unpack(item: tuple[RawFile, str, Path]) -> ReadyFile:
    """Make one file ready.

    Parameters
    ----------
    item
        The file, the encoding of its text, and the path to copy it to if it must be copied.

    Raises
    ------
    DataError
        When it is damaged or may not be read.
    """
    file, encoding, target = item
    if file.local_path and (file.is_parquet or encoding == "utf-8"):
        return ReadyFile(file.name, file.local_path, file.is_parquet)
    chunks = _chunks(file)
    if encoding != "utf-8" and not file.is_parquet:
        chunks = _recoded(chunks, encoding)
    with target.open("wb") as out:
        for chunk in chunks:
            out.write(chunk)
    return ReadyFile(file.name, target, file.is_parquet)


def encoding_name(encoding: str) -> str:
    """Python's own name of an encoding; 'utf-8' for all that UTF-8 text can be called.

    Raises
    ------
    DataError
        When Python knows no such encoding.
    """
    try:
        name = codecs.lookup(encoding).name
    except LookupError as error:
        raise DataError(
            f"'encoding: {encoding}' is no encoding that Python knows; "
            "common ones are utf-8, latin-1, cp1252 and utf-16"
        ) from error
    return "utf-8" if name in ("utf-8", "utf-8-sig", "ascii") else name


def _chunks(file: RawFile) -> Iterator[bytes]:
    """The bytes of a file, decompressed; what is wrong with the file is explained."""
    try:
        with open_raw(file) as stream:
            if file.is_gzip:
                with gzip.GzipFile(fileobj=stream) as inflated:
                    yield from _read_all(inflated)
            else:
                yield from _read_all(stream)
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise DataError(
            f"{file.name} is damaged or cut off ({error}): fetch or compress it again"
        ) from error
    except (FileNotFoundError, PermissionError) as error:
        raise DataError(f"{file.name} cannot be read: {error.strerror or error}") from error


def _read_all(stream: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk


def _recoded(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """The same text in UTF-8; bytes that are no text become U+FFFD, which the parser rejects."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    first = True
    for chunk in chunks:
        # Some programs put UTF-8's mark in front of any encoding.
        text = decoder.decode(chunk.removeprefix(_BOM) if first else chunk)
        first = False
        yield text.encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")
