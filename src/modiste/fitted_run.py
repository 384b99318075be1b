"""What a run has fitted, opened to be asked about one customer.

>>> from modiste.fitted_run import FittedRun
>>> run = FittedRun.open("run")  # doctest: +SKIP
>>> run.customer("00000dbacae5ab…").explain(run.code("0706016001"))  # doctest: +SKIP
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from modiste.data.dataset import Dataset, History
from modiste.data.ids import beginning, unknown_article
from modiste.data.manifest import FILE_NAME as MANIFEST
from modiste.engine import Engine
from modiste.errors import DataError, damaged
from modiste.ranking.explanation import ExplainedCustomer
from modiste.ranking.hybrid import Hybrid, holds_hybrid

# What the stage ``fit`` leaves beside what it has fitted.
FITTED = "fitted.json"

_K = 12


class _Fitted(BaseModel):
    """What is noted beside what was fitted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: date
    data: Path | None
    articles: int
    customers: int


def note_fitted(folder: Path, history: History, prepared: Path | None) -> None:
    """Write ``fitted.json``: as of when it was fitted, and on which tables.

    Parameters
    ----------
    folder
        Of what was fitted.
    history
        What it was fitted on.
    prepared
        Where the prepared tables lie; None: in the run's own folder, wherever that is moved to.
    """
    noted = _Fitted(
        as_of=history.as_of,
        data=prepared,
        articles=history.n_articles,
        customers=history.n_customers,
    )
    (folder / FITTED).write_text(noted.model_dump_json(indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class FittedRun:
    """The hybrid of a run, and the tables it was fitted on; open one with :meth:`open`.

    Attributes
    ----------
    hybrid
        As it recommends.
    history
        What was known as of the day that the run recommends for.
    stages
        Folder of what the run's stages have left.
    """

    hybrid: Hybrid
    history: History
    stages: Path

    @classmethod
    def open(cls, run: Path | str, data: Path | str | None = None) -> Self:
        """Open what a run has fitted.

        Parameters
        ----------
        run
            The run's folder.
        data
            The folder of prepared tables, where the run was made from one that was moved since;
            None: where they were.

        Raises
        ------
        DataError
            When there is no run, or one without a ranking; when its tables are not there, or are
            others.
        """
        folder = Path(run) / "stages" / "fit"
        if not folder.is_dir():
            raise DataError(
                f"{run} is no finished run: make one with 'modiste run --data … --out {run}'"
            )
        if not holds_hybrid(folder):
            raise DataError(
                f"{run} has no ranking (ranking.enabled=false): the blend alone recommends there, "
                "and the run's report.html shows each source's share"
            )
        try:
            noted = _Fitted.model_validate_json((folder / FITTED).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise damaged(folder, FITTED, error, "let the run do its stage 'fit' again") from error
        prepared = Path(data or noted.data or folder.parent / "ingest")
        if not (prepared / MANIFEST).is_file():
            raise DataError(
                f"the prepared tables of {run} are not in {prepared}: give the folder that they "
                "were moved to (--data)"
            )
        history = Dataset.open(prepared, Engine(workers=1)).until(noted.as_of)
        if (history.n_articles, history.n_customers) != (noted.articles, noted.customers):
            raise DataError(
                f"{prepared} has {history.n_articles:,} articles and {history.n_customers:,} "
                f"customers, but {run} was made from {noted.articles:,} and "
                f"{noted.customers:,}: give the prepared tables of that run (--data)"
            )
        return cls(Hybrid.load(folder), history, folder.parent)

    def customer(self, customer_id: str, k: int = _K) -> ExplainedCustomer:
        """One customer's candidates, to be explained.

        Raises
        ------
        DataError
            When nobody has the id.
        """
        batch = self.history.customer(customer_id)
        if batch is None:
            # No near ids: they are other people's.
            raise DataError(
                f"no customer {beginning(customer_id)!r}: give the whole id, as in the customers' "
                "table"
            )
        return ExplainedCustomer(self.hybrid, batch, self.history.articles, k)

    def code(self, article_id: str) -> int:
        """The code of an article.

        Raises
        ------
        DataError
            When no article has the id.
        """
        ids = self.history.articles["article_id"]
        # Compared here and not by Polars, which takes no half characters, as a terminal may give.
        known = ids.to_list()
        if article_id not in known:
            raise unknown_article(article_id, known)
        return known.index(article_id)
