"""What the run behind a bundle measured, before it was fitted on all there is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from pydantic import ValidationError

from modiste.errors import DataError
from modiste.report.results import RunMetrics

FILE_NAME = "metrics.json"


def copy_results(run: Path, folder: Path) -> None:
    """Copy a run's metrics into a bundle's folder, where the run was evaluated."""
    source = run / FILE_NAME
    if source.is_file():
        shutil.copyfile(source, folder / FILE_NAME)


def open_results(folder: Path) -> RunMetrics | None:
    """A bundle's metrics; None where its run was not evaluated.

    Raises
    ------
    DataError
        When the file is damaged.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    try:
        return RunMetrics.of(json.loads(path.read_text("utf-8")))
    except (ValueError, ValidationError) as error:
        raise DataError(f"{path} is damaged: make the bundle again") from error
