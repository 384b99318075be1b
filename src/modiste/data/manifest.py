"""The account of an ingest: what came in, what was rejected and why, what lies in the folder."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from modiste.data.schema import TableName
from modiste.errors import DataError

FILE_NAME = "manifest.json"

# Rises when the layout of the prepared folder changes in a way that older readers misread.
LAYOUT = 1


class TableAccount(BaseModel):
    """Where the rows of one table came from and went to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: list[str]
    rows_in: int
    rows_out: int
    rejected: dict[str, int]
    """Rows rejected, by reason."""
    repaired: dict[str, int]
    """Rows kept after a repair, by what was repaired."""
    added: int
    """Rows that no input table had: ids seen only in transactions."""

    @property
    def rows_rejected(self) -> int:
        """Number of rejected rows, over all reasons."""
        return sum(self.rejected.values())


class Manifest(BaseModel):
    """The manifest of a prepared folder.

    ``rows_in + added == rows_out + rejected`` holds for every table.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: int
    tables: dict[TableName, TableAccount]
    partitions: int
    partition_customers: int
    first_day: date
    last_day: date

    def rows_out(self, table: TableName) -> int:
        """Number of rows of a prepared table."""
        return self.tables[table].rows_out

    def write(self, folder: Path) -> None:
        """Write ``manifest.json`` into ``folder``."""
        (folder / FILE_NAME).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of a prepared folder.

        Raises
        ------
        DataError
            When there is none, or when it is damaged or of another layout.
        """
        path = folder / FILE_NAME
        if not path.is_file():
            raise DataError(
                f"{folder} is not a folder of prepared tables (no {FILE_NAME} in it): "
                "make one with 'modiste ingest'"
            )
        try:
            manifest = cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (ValidationError, UnicodeDecodeError) as error:
            raise DataError(f"{path} is damaged: run 'modiste ingest' again ({error})") from error
        if manifest.layout != LAYOUT:
            raise DataError(
                f"{folder} has layout {manifest.layout}, this version reads layout {LAYOUT}: "
                "run 'modiste ingest' again"
            )
        return manifest
