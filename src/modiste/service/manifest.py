"""What a bundle says of itself: format, version, date, and the hash of every file in it."""

from __future__ import annotations

from datetime import date
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from modiste import __version__
from modiste.engine.hashing import sha256_of_file
from modiste.errors import BundleError

FILE_NAME = "manifest.json"

# Of the layout of the folder. A bundle of another format is refused: its files mean something else.
FORMAT = 3

_REMEDY = "make it anew with 'modiste export'"


class BundleFile(BaseModel):
    """One file of a bundle."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: int
    sha256: str


class BundleManifest(BaseModel):
    """A bundle's own account."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["modiste bundle"] = "modiste bundle"
    format: int = FORMAT
    modiste: str = __version__
    version: str
    as_of: date
    articles: int
    customers: int
    files: dict[str, BundleFile]


def write_manifest(folder: Path, as_of: date, articles: int, customers: int) -> BundleManifest:
    """Account for all files that lie in a folder, and write that into it.

    The version is made of the files' hashes: the same contents have the same one.
    """
    files = {path: _account(folder / path) for path in _paths(folder)}
    names = "".join(f"{path} {each.sha256}\n" for path, each in files.items())
    manifest = BundleManifest(
        version=sha256(f"{FORMAT} {as_of}\n{names}".encode()).hexdigest()[:12],
        as_of=as_of,
        articles=articles,
        customers=customers,
        files=files,
    )
    (folder / FILE_NAME).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def read_manifest(folder: Path) -> BundleManifest:
    """Read a bundle's account, without looking at its files.

    Raises
    ------
    BundleError
        When the folder is no bundle, or one of another format.
    """
    try:
        text = (folder / FILE_NAME).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{folder} is no bundle (no {FILE_NAME} to read): {_REMEDY}") from error
    try:
        head = _Head.model_validate_json(text)
    except ValidationError as error:
        raise BundleError(
            f"{folder} is no bundle of modiste: its {FILE_NAME} says something else: {_REMEDY}"
        ) from error
    if head.format != FORMAT:
        raise BundleError(
            f"{folder} is a bundle of format {head.format}, made by modiste {head.modiste}, and "
            f"this is modiste {__version__}, which reads format {FORMAT}: {_REMEDY}"
        )
    try:
        return BundleManifest.model_validate_json(text)
    except ValidationError as error:
        raise BundleError(f"{folder / FILE_NAME} is damaged: {_REMEDY}") from error


def check_files(folder: Path, manifest: BundleManifest, *, hashes: bool = True) -> None:
    """Refuse a bundle whose files are not those that its manifest names, byte for byte.

    Parameters
    ----------
    folder, manifest
        The bundle.
    hashes
        Whether to read every file; if not, their names and sizes are looked at alone.

    Raises
    ------
    BundleError
        Naming the first file that is missing, another, or not of the bundle.
    """
    there = _paths(folder)
    missing = manifest.files.keys() - set(there)
    if missing:
        raise BundleError(f"{folder} lacks {min(missing)}: {_REMEDY}")
    for path in there:
        expected = manifest.files.get(path)
        if expected is None:
            raise BundleError(f"{folder} holds {path}, which is no part of the bundle: {_REMEDY}")
        file = folder / path
        if file.stat().st_size != expected.bytes or (
            hashes and sha256_of_file(file) != expected.sha256
        ):
            raise BundleError(
                f"{file} is not what was exported (its hash or size is another): {_REMEDY}"
            )


class _Head(BaseModel):
    """What every format of a bundle says."""

    kind: Literal["modiste bundle"]
    format: int
    modiste: str


def _paths(folder: Path) -> list[str]:
    """All files in a folder but the manifest, relative, in the order of their names."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    names = sorted(str(PurePosixPath(path)) for path in found)
    return [name for name in names if name != FILE_NAME]


def _account(file: Path) -> BundleFile:
    return BundleFile(bytes=file.stat().st_size, sha256=sha256_of_file(file))
