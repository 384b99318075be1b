"""A finished run as its folder tells it: settings, figures, scores by customer, time and memory."""

from __future__ import annotations

import filecmp
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import polars as pl
import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from modiste.data.dataset import Window
from modiste.errors import RunError
from modiste.report.results import RunMetrics, WindowScores

TEST = "test"

# What a run shows at the top of its folder when it is done, and where a stage has made it.
_SHOWN = {
    "config.yaml": None,
    "metrics.json": "evaluate",
    "submission.csv": "recommend",
    "report.html": "report",
}


class Usage(BaseModel):
    """What a stage took the last time that it was done."""

    seconds: float
    peak_mib: float


@dataclass(frozen=True)
class SavedRun:
    """What a finished run has left in its folder; open one with :meth:`open`.

    Attributes
    ----------
    folder
        The run's folder.
    version
        Of modiste, that made the figures.
    config
        All settings, a tree of plain values.
    metrics
        Content of ``metrics.json``.
    timings
        By stage; those that were never done in this folder have none.
    """

    folder: Path
    version: str
    config: dict[str, Any]
    metrics: RunMetrics
    timings: dict[str, Usage]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read what is small of a run.

        Raises
        ------
        RunError
            When the folder is not there, is not a run, or the run is not finished or damaged.
        """
        if not folder.is_dir():
            raise RunError(f"no folder {folder}: name the folder that 'modiste run --out' has made")
        missing = [name for name in _SHOWN if not (folder / name).is_file()]
        if len(missing) == len(_SHOWN) and not (folder / "stages").is_dir():
            raise RunError(
                f"{folder} is not a run of modiste: name the folder that 'modiste run --out' has "
                "made"
            )
        if missing:
            raise RunError(
                f"the run in {folder} is not finished, as {missing[0]} is not there: start "
                "'modiste run' with the same --out again"
            )
        for name, stage in _SHOWN.items():
            made = folder / "stages" / str(stage) / name
            if made.is_file() and not filecmp.cmp(made, folder / name, shallow=False):
                raise RunError(
                    f"the run in {folder} is not finished, as {name} is older than what stage "
                    f"'{stage}' has made: start 'modiste run' with the same --out again"
                )
        try:
            metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
            timings = folder / "timings.json"
            return cls(
                folder,
                str(metrics.get("modiste", "")),
                yaml.safe_load((folder / "config.yaml").read_text("utf-8")),
                RunMetrics.of(metrics),
                _TIMINGS.validate_json(timings.read_bytes()) if timings.is_file() else {},
            )
        except (ValueError, yaml.YAMLError, AttributeError, ValidationError) as error:
            raise RunError(
                f"the run in {folder} cannot be read, as it is damaged or of another version of "
                f"modiste: {str(error).splitlines()[0]}"
            ) from error

    @property
    def windows(self) -> dict[str, WindowScores]:
        """What was measured, by what the window is for: "test" first, then those to choose on."""
        validation = {
            f"validation of {scores.horizon_days} day{'s' if scores.horizon_days != 1 else ''}": (
                scores
            )
            for scores in self.metrics.validation
        }
        return {TEST: self.metrics.test, **validation}

    @property
    def has_customers(self) -> bool:
        """Whether scores by customer are there: they lie with the stages, which may be removed."""
        return self._customers_file.is_file()

    def customers(self, window: Window) -> pl.DataFrame:
        """Scores by customer in a window that was measured.

        Returns
        -------
        One row a model and customer, as in
        :attr:`modiste.evaluation.backtest.Evaluation.customers`, with the ids ``customer_id``
        beside the codes, which are of this run's own tables.
        """
        # A folder's name may hold what Polars takes for a pattern: [ ] * ?
        every = pl.read_parquet(self._customers_file, glob=False)
        scores = every.filter(pl.col("window") == str(window))
        # Every customer has a line, in the order of the codes.
        ids = pl.read_csv(
            self.folder / "submission.csv", columns=["customer_id"], infer_schema=False, glob=False
        ).with_row_index("customer")
        return scores.drop("window").join(
            ids.with_columns(pl.col("customer").cast(scores.schema["customer"])),
            on="customer",
            how="left",
            maintain_order="left",
        )

    @property
    def _customers_file(self) -> Path:
        return self.folder / "stages" / "evaluate" / "customers.parquet"


_TIMINGS = TypeAdapter(dict[str, Usage])
