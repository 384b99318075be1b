"""The account while it is being made: what each block found, put together by table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

import polars as pl

from modiste.data.findings import count_findings, findings_frame
from modiste.data.manifest import TableAccount
from modiste.data.schema import TableName
from modiste.errors import DataError

Kind = Literal["rejects", "repairs"]
KINDS: tuple[Kind, ...] = ("rejects", "repairs")


@dataclass(frozen=True)
class BlockAccount:
    """What became of the rows of one block; small, the findings themselves lie in files.

    Attributes
    ----------
    lines
        Number of lines in the block: what the lines of the next block are counted from.
    rows_in
        Rows in the block, rejected ones too.
    rejected, repaired
        Number of rows by reason.
    rejects, repairs
        Arrow files of findings; None: no findings.
    """

    lines: int
    rows_in: int
    rejected: dict[str, int]
    repaired: dict[str, int]
    rejects: Path | None
    repairs: Path | None

    @classmethod
    def of(
        cls,
        lines: int,
        rows_in: int,
        rejects: pl.DataFrame,
        repairs: pl.DataFrame,
        stem: Path,
        repaired_ids: dict[str, int] | None = None,
    ) -> Self:
        """Count findings and keep them beside a block's other files."""
        return cls(
            lines,
            rows_in,
            count_findings(rejects),
            {**count_findings(repairs), **(repaired_ids or {})},
            _keep(rejects, stem.with_name(f"{stem.name}.rejects")),
            _keep(repairs, stem.with_name(f"{stem.name}.repairs")),
        )

    def findings(self, kind: Kind) -> pl.DataFrame:
        """The findings that were kept, by line of the block."""
        path = self.rejects if kind == "rejects" else self.repairs
        return findings_frame() if path is None else pl.read_ipc(path)


@dataclass
class AccountBook:
    """The account of one table, block after block in the order of its files."""

    table: TableName
    files: list[str]
    max_reject_share: float
    blocks: list[tuple[str, int, BlockAccount]] = field(default_factory=list)

    def add(self, file: str, first_line: int, account: BlockAccount) -> None:
        """Add the next block; ``first_line`` is its first line's number in the file, from 0."""
        self.blocks.append((file, first_line, account))

    @property
    def rows_in(self) -> int:
        """Rows read so far."""
        return sum(account.rows_in for _, _, account in self.blocks)

    @property
    def rejected(self) -> dict[str, int]:
        """Rows rejected, by reason, the most frequent reason first."""
        return _added(account.rejected for _, _, account in self.blocks)

    @property
    def repaired(self) -> dict[str, int]:
        """Rows repaired, by what was repaired."""
        return _added(account.repaired for _, _, account in self.blocks)

    def check(self) -> None:
        """Stop when the table has no rows or too many rejected ones.

        Raises
        ------
        DataError
            With the reasons and an example of each.
        """
        where = ", ".join(self.files[:3]) + (" …" if len(self.files) > 3 else "")
        if self.rows_in == 0:
            raise DataError(f"the table of {self.table} has no rows ({where})")
        rejected = self.rejected
        bad = sum(rejected.values())
        if bad > self.max_reject_share * self.rows_in:
            examples = self._examples()
            reasons = "".join(
                f"\n  {count:,} × {what}, first in {examples[what]}"
                for what, count in rejected.items()
            )
            raise DataError(
                f"{bad:,} of {self.rows_in:,} rows of the table of {self.table} are bad "
                f"({bad / self.rows_in:.2%}), more than max_reject_share allows "
                f"({self.max_reject_share:.2%}):{reasons}\n{_advice(self.table, rejected)}"
            )

    def write(self, folder: Path) -> None:
        """Write the table's findings to ``rejects/`` and ``repairs/``, in file order."""
        for kind in KINDS:
            path = folder / kind / f"{self.table}.csv"
            path.parent.mkdir(exist_ok=True)
            with path.open("wb") as out:
                out.write(b"file,line,column,value,reason\n")
                for file, first_line, account in self.blocks:
                    rows = _at_lines(account.findings(kind), file, first_line)
                    rows.write_csv(out, include_header=False)

    def closed(self, added: int) -> TableAccount:
        """The account as the manifest has it."""
        rejected = self.rejected
        return TableAccount(
            files=self.files,
            rows_in=self.rows_in,
            rows_out=self.rows_in + added - sum(rejected.values()),
            rejected=rejected,
            repaired=self.repaired,
            added=added,
        )

    def _examples(self) -> dict[str, str]:
        """Where each reason for rejection occurs first."""
        found: dict[str, str] = {}
        for file, first_line, account in self.blocks:
            if account.rejected.keys() <= found.keys():
                continue
            rows = _at_lines(account.findings("rejects"), file, first_line)
            for _, line, column, value, reason in rows.unique(
                ["column", "reason"], keep="first", maintain_order=True
            ).iter_rows():
                what = f"{column}: {reason}" if column else reason
                found.setdefault(what, f"{file} line {line}: {value!r}")
        return found


def _keep(findings: pl.DataFrame, path: Path) -> Path | None:
    if findings.height == 0:
        return None
    findings.write_ipc(path)
    return path


def _at_lines(findings: pl.DataFrame, file: str, first_line: int) -> pl.DataFrame:
    """Findings of a block with their file and its lines, counted from 1."""
    return findings.select(
        pl.lit(file).alias("file"),
        (pl.col("line") + first_line + 1).alias("line"),
        "column",
        "value",
        "reason",
    )


def _added(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _advice(table: TableName, rejected: dict[str, int]) -> str:
    """What to try, by the most frequent reason."""
    reason = next(iter(rejected))
    for sign, advice in (
        ("not valid", f"Set 'encoding:' of {table}, for instance latin-1 or cp1252"),
        ("fields", f"Check 'separator:' of {table}, and the quotes in the file"),
        ("quotes", f"Check 'separator:' of {table}, and the quotes in the file"),
        ("not a date", f"Set 'date_format:' of {table}, for instance '%d.%m.%Y'"),
        ("not a number", f"Set 'decimal_comma: true' of {table} if numbers are written 12,99"),
        (
            "unknown",
            "Check that the tables belong together, or set 'unknown_articles: add' or "
            "'unknown_customers: add'",
        ),
    ):
        if sign in reason:
            return f"{advice}; or mend the file, or raise max_reject_share."
    return "Mend the file, or raise max_reject_share."
