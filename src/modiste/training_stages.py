"""The stages of a run that train networks.

=================  =================================================================================
``train_earlier``  SASRec as of a date before all windows that are chosen or reported on
``train``          SASRec as of the submission's date, for as many epochs as were best before
=================  =================================================================================

One network serves all windows: it is older than each of them, so it knows nothing of what is asked,
and what is in fashion comes from the popularity as of the window's date.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from modiste.data.dataset import Dataset
from modiste.engine.stages import Run
from modiste.errors import DataError
from modiste.evaluation.splits import Split
from modiste.models.blend import BlendSettings
from modiste.models.learning.description import NetworkDescription
from modiste.vectors.article_vectors import ArticleVectors

STAGES = ("train_earlier", "train")

_CODE = ("modiste.engine", "modiste.data", "modiste.models", __name__)


@dataclass(frozen=True)
class TrainingStages:
    """Folders of what the stages have made.

    Attributes
    ----------
    earlier
        Of the network that is asked on the windows.
    submit
        Of that which is asked for the submission.
    """

    earlier: Path
    submit: Path


def run_training_stages(
    run: Run,
    dataset: Dataset,
    settings: BlendSettings,
    windows: Split,
    reduced: Path | None,
) -> TrainingStages:
    """Do those stages that are not up to date.

    Parameters
    ----------
    run
        Has done the ingest, and ``reduce`` where there are vectors.
    dataset
        What the ingest gave.
    settings
        Of the recommenders.
    windows
        Of the run.
    reduced
        Folder of the articles' vectors; None: there are none.
    """
    with_vectors = ["reduce"] if reduced is not None and settings.sasrec.content else []
    earliest = _before_all(windows)
    settings_of = {
        "sasrec": settings.sasrec.model_dump(mode="json"),
        "popularity": settings.popularity.model_dump(mode="json"),
    }
    earlier = run.stage(
        "train_earlier",
        lambda folder: train(
            dataset, earliest, settings, reduced, folder, run.checkpoints("train_earlier")
        ),
        settings={**settings_of, "as_of": earliest},
        code=_CODE,
        needs=["ingest", *with_vectors],
    )
    submit = run.stage(
        "train",
        lambda folder: train(
            dataset,
            windows.submit,
            settings,
            reduced,
            folder,
            run.checkpoints("train"),
            epochs=NetworkDescription.load(earlier).best_epoch,
        ),
        settings={**settings_of, "as_of": windows.submit},
        code=_CODE,
        needs=["ingest", *with_vectors, "train_earlier"],
    )
    return TrainingStages(earlier, submit)


def _before_all(windows: Split) -> date:
    """A date that no window begins before.

    A window's length before those that are chosen on: the test window ends there at the earliest
    and is chosen for on days before it, and where it begins later, because there are labels from
    the submission's date on, the submission must not depend on it.
    """
    chosen_on = [window.earlier().as_of for window in windows.selection]
    return min(*chosen_on, *(window.as_of for window in windows.reported), windows.submit)


def train(
    dataset: Dataset,
    as_of: date,
    settings: BlendSettings,
    reduced: Path | None,
    folder: Path,
    checkpoints: Path,
    epochs: int | None = None,
) -> None:
    """Train SASRec as of a date and save it: see :func:`modiste.models.sasrec.fitting.fit_network`.

    Raises
    ------
    DataError
        When there is no order to learn from.
    """
    from modiste.models.sasrec.fitting import fit_network  # PyTorch takes seconds

    trained = fit_network(
        dataset.until(as_of),
        settings.sasrec,
        settings.popularity,
        None if reduced is None else ArticleVectors.load(reduced),
        epochs=epochs,
        checkpoints=checkpoints,
    )
    if trained is None:
        raise DataError(
            f"nobody bought on two days before {as_of}, so there is no order to learn: give more "
            "of the past, or go without (--set models.sasrec.enabled=false)"
        )
    trained.save(folder)
