"""Finding a shop's raw files: in a folder, in a zip, or behind an fsspec address."""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, cast

from modiste.data.schema import TABLES, TableName
from modiste.data.settings import IngestSettings, TableSettings
from modiste.errors import DataError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

# The names of the Kaggle files, without their endings.
STEMS: dict[TableName, str] = {
    "articles": "articles",
    "customers": "customers",
    "transactions": "transactions_train",
}
ENDINGS = (".csv", ".csv.gz", ".parquet")


@dataclass(frozen=True)
class RawFile:
    """One raw file: small, picklable, and found by any worker that sees the same addresses.

    Attributes
    ----------
    name
        What the account and messages call it: relative to the shop.
    address
        Absolute path or fsspec address: of the file, or of the zip that it lies in.
    member
        Name within the zip.
    """

    name: str
    address: str
    member: str | None = None

    @property
    def is_parquet(self) -> bool:
        """Whether it is Parquet; everything else is CSV."""
        return (self.member or self.address).endswith(".parquet")

    @property
    def is_gzip(self) -> bool:
        """Whether it is gzip-compressed."""
        return (self.member or self.address).endswith(".gz")

    @property
    def local_path(self) -> Path | None:
        """Where it can be read in place: a local file that is not packed."""
        packed = self.member is not None or self.is_gzip
        return None if packed or "://" in self.address else Path(self.address)


def find_tables(source: str | Path, settings: IngestSettings) -> dict[TableName, list[RawFile]]:
    """Find the files of every table.

    Returns
    -------
    An empty list for a table that is absent and may be (``unknown_articles`` or
    ``unknown_customers`` is 'add').

    Raises
    ------
    DataError
        When a table or one of its files is missing, there twice, or a folder without parts.
    """
    try:
        return _find_tables(_Shop(source), settings)
    except PermissionError as error:
        raise DataError(f"no permission to read {error.filename or source}") from error


def _find_tables(shop: _Shop, settings: IngestSettings) -> dict[TableName, list[RawFile]]:
    may_be_absent = {
        "articles": settings.unknown_articles == "add",
        "customers": settings.unknown_customers == "add",
        "transactions": False,
    }
    tables: dict[TableName, list[RawFile]] = {}
    for table in TABLES:
        wanted: TableSettings = getattr(settings, table)
        if wanted.files is not None:
            tables[table] = [file for entry in wanted.files for file in shop.named(entry, table)]
            continue
        ways = shop.by_stem(STEMS[table])
        if len(ways) > 1:
            raise DataError(
                f"{shop.shown} has the table of {table} more than once: {_listed(sorted(ways))}. "
                f"Say which by 'files:' of {table}, or move the others away"
            )
        if not ways and not may_be_absent[table]:
            raise DataError(
                f"no table of {table} in {shop.shown}: looked for {STEMS[table]} with one of the "
                f"endings {', '.join(ENDINGS)}, for a folder of parts with that name, and in zip "
                f"files; found {_listed(shop.names)}. Name its files by 'files:' of {table}"
            )
        tables[table] = next(iter(ways.values()), [])
    return tables


def fingerprint(source: str | Path, settings: IngestSettings) -> dict[str, str]:
    """What tells whether a shop's files have changed, without reading them.

    Returns
    -------
    By the file's name, a hash of what the file system knows of it (size, time of change, …).

    Raises
    ------
    DataError
        As :func:`find_tables`.
    """
    marks = {}
    for file in itertools.chain.from_iterable(find_tables(source, settings).values()):
        fs, path = _file_system(file.address)
        marks[file.name] = str(fs.ukey(path))
    return marks


@contextmanager
def open_raw(file: RawFile) -> Iterator[IO[bytes]]:
    """Open a raw file as a stream of bytes, taken out of its zip but not of its gzip."""
    with _open_address(file.address) as stream:
        if file.member is None:
            yield stream
        else:
            with zipfile.ZipFile(stream) as archive, archive.open(file.member) as member:
                yield member


class _Shop:
    """What lies at a shop's address."""

    def __init__(self, source: str | Path) -> None:
        self.shown = str(source)
        self._fs, root = _file_system(str(source))
        self._root = root.rstrip("/")
        if not self._fs.exists(root):
            raise DataError(
                f"{self.shown} does not exist: give the folder, zip or address of the shop's files"
            )
        self._zip: str | None = None
        if self._fs.isdir(root):
            self.names = sorted(_name(path) for path in self._fs.ls(root, detail=False))
        elif root.endswith(".zip"):
            self._zip = root
            self.names = self._members(root)
        else:
            raise DataError(
                f"{self.shown} is a file: give the folder that holds the shop's tables, or a .zip"
            )

    def by_stem(self, stem: str) -> dict[str, list[RawFile]]:
        """The ways in which a table is there by its Kaggle name: name of the way -> its files."""
        if self._zip is not None:
            return self._ways_in_zip(self._zip, stem)
        ways: dict[str, list[RawFile]] = {}
        for name in self.names:
            if name == stem or name in _file_names(stem):
                path = f"{self._root}/{name}"
                ways[name] = self._parts(path) if self._fs.isdir(path) else [self._file(path)]
            elif name in [f"{each}.zip" for each in _file_names(stem)]:
                ways |= self._ways_in_zip(f"{self._root}/{name}", stem)
        if not ways:
            for name in self.names:
                if name.endswith(".zip"):
                    ways |= self._ways_in_zip(f"{self._root}/{name}", stem)
        return ways

    def named(self, entry: str, table: TableName) -> list[RawFile]:
        """The files that an entry of ``files:`` stands for."""
        if self._zip is not None and "://" not in entry and not entry.startswith("/"):
            return self._named_in_zip(self._zip, entry, table)
        if "://" in entry:
            fs, path = _file_system(entry)
        else:
            fs, path = self._fs, entry if entry.startswith("/") else f"{self._root}/{entry}"
        paths = sorted(fs.glob(path)) if any(sign in path for sign in "*?[") else [path]
        if not paths or not fs.exists(paths[0]):
            raise DataError(
                f"'files:' of {table} names {entry!r}, and nothing is there"
                f"{_nearest(entry, self.names)}. {self.shown} has {_listed(self.names)}"
            )
        files: list[RawFile] = []
        for found in paths:
            if fs.isdir(found):
                files += self._parts(found, fs)
            elif found.endswith(".zip"):
                files += self._only_way_in_zip(found, table, fs)
            else:
                files.append(self._file(found, fs))
        return files

    def _file(self, path: str, fs: AbstractFileSystem | None = None) -> RawFile:
        name = path.removeprefix(f"{self._root}/")
        address = _address(fs or self._fs, path)
        return RawFile(name if name != path else address, address)

    def _parts(self, folder: str, fs: AbstractFileSystem | None = None) -> list[RawFile]:
        paths = sorted((fs or self._fs).ls(folder, detail=False))
        parts = [path for path in paths if _is_table(path)]
        if not parts:
            raise DataError(
                f"{folder} is a folder without parts: no file in it ends with "
                f"{', '.join(ENDINGS)}; found {_listed([_name(path) for path in paths])}"
            )
        return [self._file(path, fs) for path in parts]

    def _members(self, path: str, fs: AbstractFileSystem | None = None) -> list[str]:
        try:
            with (
                _open_address(_address(fs or self._fs, path)) as stream,
                zipfile.ZipFile(stream) as archive,
            ):
                return sorted(info.filename for info in archive.infolist() if not info.is_dir())
        except zipfile.BadZipFile as error:
            raise DataError(
                f"{path} cannot be read as a zip ({error}): it may be cut off; fetch it again"
            ) from error

    def _ways_in_zip(
        self, path: str, stem: str, fs: AbstractFileSystem | None = None
    ) -> dict[str, list[RawFile]]:
        """Like :meth:`by_stem`, within a zip and whatever folder the members lie in there."""
        archive = self._file(path, fs)
        ways: dict[str, list[RawFile]] = {}
        for member in self._members(path, fs):
            inside = PurePosixPath(member)
            file = RawFile(f"{archive.name}/{member}", archive.address, member)
            if inside.name in _file_names(stem):
                ways[file.name] = [file]
            elif _is_table(member) and inside.parent.name in (stem, *_file_names(stem)):
                ways.setdefault(f"{archive.name}/{inside.parent}", []).append(file)
        return ways

    def _only_way_in_zip(
        self, path: str, table: TableName, fs: AbstractFileSystem
    ) -> list[RawFile]:
        """The table in a zip that ``files:`` names: by its name, or all that is there."""
        ways = self._ways_in_zip(path, STEMS[table], fs)
        if len(ways) == 1:
            return next(iter(ways.values()))
        archive = self._file(path, fs)
        members = [member for member in self._members(path, fs) if _is_table(member)]
        if len(members) != 1:
            raise DataError(
                f"{archive.name} does not say which of its files is the table of {table}: "
                f"{_listed(members)}. Give the zip as the shop and name the file in 'files:'"
            )
        return [RawFile(f"{archive.name}/{members[0]}", archive.address, members[0])]

    def _named_in_zip(self, path: str, entry: str, table: TableName) -> list[RawFile]:
        archive = self._file(path)
        members = [
            member
            for member in self.names
            if fnmatchcase(member, entry)
            or fnmatchcase(member, f"*/{entry}")
            or (_is_table(member) and f"/{entry.rstrip('/')}/" in f"/{member}")
        ]
        if not members:
            raise DataError(
                f"'files:' of {table} names {entry!r}, and nothing in {self.shown} has that name"
                f"{_nearest(entry, self.names)}; found {_listed(self.names)}"
            )
        return [RawFile(f"{archive.name}/{name}", archive.address, name) for name in members]


def _file_system(address: str) -> tuple[AbstractFileSystem, str]:
    from fsspec.core import url_to_fs

    try:
        fs, path = url_to_fs(address)
    except (ValueError, ImportError) as error:
        raise DataError(f"{address} cannot be opened: {error}") from error
    return cast("AbstractFileSystem", fs), str(path)


def _address(fs: AbstractFileSystem, path: str) -> str:
    from fsspec.implementations.local import LocalFileSystem

    return path if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(path))


@contextmanager
def _open_address(address: str) -> Iterator[IO[bytes]]:
    fs, path = _file_system(address)
    with fs.open(path, "rb") as stream:
        yield stream


def _file_names(stem: str) -> list[str]:
    return [stem + ending for ending in ENDINGS]


def _is_table(path: str) -> bool:
    """Whether a file is read as a part; hidden files and markers such as _SUCCESS are not."""
    return path.endswith(ENDINGS) and not _name(path).startswith((".", "_"))


def _name(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]


def _listed(names: list[str], at_most: int = 12) -> str:
    if not names:
        return "nothing"
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more


def _nearest(name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
