"""From a shop's raw files to the prepared folder that :class:`modiste.data.dataset.Dataset` opens.

The way of the rows: raw files are found (``sources``), made plain local files where they are not
(``unpacking``), their columns mapped (``mapping``), split into blocks (``splitting``). Each block
is read and typed by a worker (``reading``); articles and customers are numbered (``entities``),
transactions encoded and grouped by partition (``purchases``); each partition is gathered, sorted
and written (``partitions``). What is bad is listed on the way (``findings``, ``account``).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from uuid import uuid4

import polars as pl

from modiste.data.account import AccountBook, BlockAccount
from modiste.data.encoding import Vocabulary
from modiste.data.entities import EntityBlock, added_rows, make_distinct, read_entity_block
from modiste.data.manifest import FILE_NAME, LAYOUT, Manifest
from modiste.data.mapping import TableFile, map_file
from modiste.data.partitions import PartitionParts, numbered, write_parquet, write_partition
from modiste.data.purchases import (
    Encoding,
    PurchaseBlock,
    collect_new,
    read_purchase_block,
    settle_purchase_block,
)
from modiste.data.schema import COLUMNS, TABLES, TableName
from modiste.data.settings import IngestSettings, TableSettings
from modiste.data.slices import Slice
from modiste.data.sources import RawFile, find_tables
from modiste.data.splitting import SEARCH_BYTES, Block, has_quote, split
from modiste.data.unpacking import encoding_name, unpack
from modiste.engine import Engine, atomic_folder
from modiste.errors import DataError, ModisteError


def ingest(
    source: str | Path,
    target: Path,
    settings: IngestSettings,
    engine: Engine,
    today: date | None = None,
) -> Manifest:
    """Read a shop's raw files and write the prepared folder.

    Parameters
    ----------
    source
        Folder, zip or fsspec address of the shop.
    target
        The prepared folder; an earlier one is replaced as a whole, or left as it was on failure.
    settings
        How the tables are found and read.
    engine
        Where the work is done. A cluster's workers must see ``source`` and ``target``.
    today
        Later dates are typing errors; by default the date of this day.

    Returns
    -------
    The account, which is also in the folder. The bytes of the tables depend on the rows of the raw
    files, ``partition_customers`` and the kind of unknown ids alone, not on ``block_bytes``, on the
    packing of the files or on the engine.

    Raises
    ------
    DataError
        When a table is missing or cannot be read, or has too many bad rows.
    ModisteError
        When the folder cannot be written.
    """
    target = target.absolute()
    _check_target(target)
    raw = find_tables(source, settings)
    with atomic_folder(target) as folder:
        # Its name is new each time: workers keep what they read by path.
        work = folder / f"work-{uuid4().hex}"
        work.mkdir()
        try:
            run = _Ingest(settings, engine, folder, work, today or date.today())
            manifest = run.prepare(raw)
        finally:
            Vocabulary.forget()
            shutil.rmtree(work, ignore_errors=True)
        manifest.write(folder)
    return manifest


def _check_target(target: Path) -> None:
    try:
        ours = (
            not target.exists()
            or (target / FILE_NAME).is_file()
            or (target.is_dir() and not any(target.iterdir()))
        )
    except PermissionError as error:
        raise ModisteError(
            f"no permission to look at {target}: choose another place or change its permissions"
        ) from error
    if not ours:
        raise ModisteError(
            f"{target} is there and is no folder of prepared tables: it is not replaced. Choose "
            "another place, or move it away"
        )


@dataclass(frozen=True)
class _Ingest:
    """One run: what all of its steps share."""

    settings: IngestSettings
    engine: Engine
    folder: Path
    work: Path
    today: date

    def prepare(self, raw: dict[TableName, list[RawFile]]) -> Manifest:
        """Write all but the manifest into the folder."""
        books = {
            table: AccountBook(table, [file.name for file in files], self._max_reject_share)
            for table, files in raw.items()
        }
        blocks = self._split(self._make_ready(raw))
        tables = self._read_entities(blocks, books)
        encoding = Encoding(
            {table: self._write_ids(ids, table) for table, (_, ids) in tables.items()},
            frozenset(self._tables_to_extend()),
            self.settings.partition_customers,
        )
        purchases = self._read_purchases(blocks["transactions"], encoding)
        _enter(books["transactions"], blocks["transactions"], [each.account for each in purchases])
        books["transactions"].check()
        shutil.rmtree(self.work / "raw")

        added = {table: collect_new(purchases, table) for table in tables}
        purchases = self._settle(purchases, encoding, tables, added)
        days = [day for block in purchases if block.days for day in block.days]
        if not days:  # however many may be bad, a shop without a purchase is none
            raise DataError(
                "no row of the table of transactions is good: with a max_reject_share below 1 the "
                "reasons are told"
            )
        slices = {
            table: [Slice(block.rows, 0, block.height) for block in read]
            for table, (read, _) in tables.items()
        }
        for table, ids in added.items():
            if len(ids):
                slices[table].append(added_rows(ids, table, self.work / f"added-{table}.arrow"))
        self._write_articles(slices["articles"])
        partitions = self._write_partitions(slices["customers"], purchases)
        for book in books.values():
            book.write(self.folder)
        return Manifest(
            layout=LAYOUT,
            tables={
                table: book.closed(len(added[table]) if table in added else 0)
                for table, book in books.items()
            },
            partitions=partitions,
            partition_customers=self.settings.partition_customers,
            first_day=min(days),
            last_day=max(days),
        )

    @property
    def _max_reject_share(self) -> float:
        return self.settings.max_reject_share

    def _tables_to_extend(self) -> Iterator[TableName]:
        if self.settings.unknown_articles == "add":
            yield "articles"
        if self.settings.unknown_customers == "add":
            yield "customers"

    def _of(self, table: TableName) -> TableSettings:
        settings: TableSettings = getattr(self.settings, table)
        return settings

    def _make_ready(self, raw: dict[TableName, list[RawFile]]) -> list[TableFile]:
        """Plain local files of all tables, in order, with their columns mapped."""
        folder = self.work / "raw"
        folder.mkdir()
        tables = [table for table, files in raw.items() for _ in files]
        items = [
            (file, encoding_name(self._of(table).encoding), folder / f"{table}-{index:05d}")
            for table, files in raw.items()
            for index, file in enumerate(files)
        ]
        ready = self.engine.map(unpack, items, label="making files ready")
        return [
            map_file(file, table, self._of(table))
            for file, table in zip(ready, tables, strict=True)
        ]

    def _split(self, files: list[TableFile]) -> dict[TableName, list[Block]]:
        ranges = [
            (file.path, start)
            for file in files
            if not file.is_parquet
            for start in range(0, file.path.stat().st_size, SEARCH_BYTES)
        ]
        found = self.engine.map(has_quote, ranges, label="looking for quotes")
        quoted = {path for (path, _), quote in zip(ranges, found, strict=True) if quote}
        blocks: dict[TableName, list[Block]] = {table: [] for table in TABLES}
        for file in files:
            blocks[file.table] += split(file, self.settings.block_bytes, quoted=file.path in quoted)
        return blocks

    def _read_entities(
        self, blocks: dict[TableName, list[Block]], books: dict[TableName, AccountBook]
    ) -> dict[TableName, tuple[list[EntityBlock], pl.Series]]:
        """Articles and customers: the blocks' rows, and all ids in the order of their codes."""
        items = self._with_stems([*blocks["articles"], *blocks["customers"]], "entities")
        read = self.engine.map(
            read_entity_block, items, self.today, label="reading articles and customers"
        )
        n_articles = len(blocks["articles"])
        parts: dict[TableName, list[EntityBlock]] = {
            "articles": read[:n_articles],
            "customers": read[n_articles:],
        }
        tables = {}
        for table, of_table in parts.items():
            distinct, ids = make_distinct(of_table, table)
            _enter(books[table], blocks[table], [block.account for block in distinct])
            if books[table].files:
                books[table].check()
            tables[table] = (distinct, ids)
        return tables

    def _write_ids(self, ids: pl.Series, name: str) -> Path:
        path = self.work / f"ids-{name}.arrow"
        pl.DataFrame({"id": ids}).write_ipc(path)
        return path

    def _read_purchases(self, blocks: list[Block], encoding: Encoding) -> list[PurchaseBlock]:
        return self.engine.map(
            read_purchase_block,
            self._with_stems(blocks, "transactions"),
            encoding,
            self.today,
            label="reading transactions",
        )

    def _settle(
        self,
        purchases: list[PurchaseBlock],
        encoding: Encoding,
        tables: dict[TableName, tuple[list[EntityBlock], pl.Series]],
        added: dict[TableName, pl.Series],
    ) -> list[PurchaseBlock]:
        """Give new ids their codes in the blocks that have some."""
        waiting = [block for block in purchases if block.new]
        vocabularies = {
            table: self._write_ids(pl.concat([ids, added[table]]), f"all-{table}")
            for table, (_, ids) in tables.items()
            if waiting
        }
        settled = self.engine.map(
            settle_purchase_block,
            waiting,
            replace(encoding, vocabularies=vocabularies),
            label="encoding new ids",
        )
        final = iter(settled)
        return [next(final) if block.new else block for block in purchases]

    def _with_stems(self, blocks: list[Block], name: str) -> list[tuple[Block, Path]]:
        """Each block with the path, without suffix, of the files that its task writes."""
        folder = self.work / name
        folder.mkdir()
        return [(block, folder / f"{index:06d}") for index, block in enumerate(blocks)]

    def _write_articles(self, slices: list[Slice]) -> None:
        names = [column.name for column in COLUMNS["articles"]]
        rows = pl.concat([piece.scan().select(names) for piece in slices]).collect()
        write_parquet(numbered(rows, "article", 0), self.folder / "articles.parquet")

    def _write_partitions(self, customers: list[Slice], purchases: list[PurchaseBlock]) -> int:
        """Write customers and transactions; returns the number of partitions."""
        for name in ("customers", "transactions"):
            (self.folder / name).mkdir()
        size = self.settings.partition_customers
        by_partition = _cut(customers, size)
        bought: list[list[Slice]] = [[] for _ in by_partition]
        for block in purchases:
            for index, piece in block.slices.items():
                bought[index].append(piece)
        parts = [
            PartitionParts(index, index * size, by_partition[index], bought[index])
            for index in range(len(by_partition))
        ]
        self.engine.map(write_partition, parts, self.folder, label="writing partitions")
        return len(parts)


def _enter(book: AccountBook, blocks: list[Block], accounts: list[BlockAccount]) -> None:
    """Enter the accounts of a table's blocks, with the line that each begins at."""
    next_line: dict[Path, int] = {}
    for block, account in zip(blocks, accounts, strict=True):
        line = next_line.get(block.file.path, block.file.data_line)
        book.add(block.file.name, line, account)
        next_line[block.file.path] = line + account.lines


def _cut(slices: list[Slice], size: int) -> list[list[Slice]]:
    """Cut consecutive rows into consecutive groups of ``size`` rows; the last may be smaller."""
    groups: list[list[Slice]] = []
    room = 0
    for piece in slices:
        start, left = piece.start, piece.length
        while left:
            if room == 0:
                groups.append([])
                room = size
            taken = min(left, room)
            groups[-1].append(Slice(piece.rows, start, taken))
            start, left, room = start + taken, left - taken, room - taken
    return groups
