"""The stages of a run that train networks, for each recommender that is one and is enabled.

========================  =========================================================================
``train_NAME_earlier``    as of a date before all windows that are chosen or reported on
``train_NAME``            as of the submission's date, for as many epochs as were best before
``learn_gate``            how much each counts for a customer, where ``combined`` is gated: once, on
                          the days after the earlier networks' date and before all windows; that
                          date lies as many days earlier, so switching the gate on trains anew
========================  =========================================================================

One network serves all windows: it is older than each of them, so it knows nothing of what is asked,
and what is in fashion comes from the popularity as of the window's date.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from modiste.data.dataset import Dataset
from modiste.engine.stages import Run
from modiste.errors import DataError
from modiste.models.blend import COMBINED, NETWORKS, BlendSettings
from modiste.models.learning.description import NetworkDescription
from modiste.vectors.article_vectors import ArticleVectors

if TYPE_CHECKING:
    from modiste.models.graph.fitting import TrainedGraph
    from modiste.models.sasrec.fitting import TrainedNetwork

_CODE = ("modiste.engine", "modiste.data", "modiste.models", __name__)


def stages_of(network: str) -> tuple[str, str]:
    """The two stages of a network: that as of an earlier date, and that of the submission."""
    return f"train_{network}_earlier", f"train_{network}"


GATE = "learn_gate"

STAGES = (*(stage for network in NETWORKS for stage in stages_of(network)), GATE)


@dataclass(frozen=True)
class TrainingStages:
    """Folders of what the stages have made, by recommender.

    Attributes
    ----------
    earlier
        Of the networks that are asked on the windows.
    submit
        Of those that are asked for the submission.
    """

    earlier: Mapping[str, Path]
    submit: Mapping[str, Path]


def run_training_stages(
    run: Run,
    dataset: Dataset,
    settings: BlendSettings,
    earliest: date,
    submit_as_of: date,
    reduced: Path | None,
) -> TrainingStages:
    """Do those stages of the enabled networks that are not up to date.

    Parameters
    ----------
    run
        Has done the ingest, and ``reduce`` where there are vectors.
    dataset
        What the ingest gave.
    settings
        Of the recommenders.
    earliest
        A date that no window begins before on which anything is learned, chosen or reported.
    submit_as_of
        The submission's date.
    reduced
        Folder of the articles' vectors; None: there are none.
    """
    earlier: dict[str, Path] = {}
    submit: dict[str, Path] = {}
    if gated(settings):
        # The gate's days are the networks' future and every window's past.
        earliest -= timedelta(days=settings.combined.gate.days)
    for name in settings.enabled_networks:
        of_network = getattr(settings, name)
        settings_of = {
            name: of_network.model_dump(mode="json"),
            "popularity": settings.popularity.model_dump(mode="json"),
        }
        vectors = reduced if of_network.content else None
        needs = ["ingest"] if vectors is None else ["ingest", "reduce"]
        before, after = stages_of(name)
        earlier[name] = run.stage(
            before,
            lambda folder, name=name, vectors=vectors, stage=before: train(  # type: ignore[misc]
                name, dataset, earliest, settings, vectors, folder, run.checkpoints(stage)
            ),
            settings={**settings_of, "as_of": earliest},
            code=_CODE,
            needs=needs,
        )
        submit[name] = run.stage(
            after,
            lambda folder, name=name, vectors=vectors, stage=after: train(  # type: ignore[misc]
                name,
                dataset,
                submit_as_of,
                settings,
                vectors,
                folder,
                run.checkpoints(stage),
                epochs=NetworkDescription.load(earlier[name]).best_epoch,
            ),
            settings={**settings_of, "as_of": submit_as_of},
            code=_CODE,
            needs=[*needs, before],
        )
    if gated(settings):
        gate = run.stage(
            GATE,
            lambda folder: _learn_gate(dataset, earliest, settings, reduced, earlier, folder),
            settings={"combined": settings.combined.model_dump(mode="json"), "as_of": earliest},
            code=_CODE,
            needs=[
                "ingest",
                *(["reduce"] if reduced is not None else []),
                *(stages_of(name)[0] for name in NETWORKS),
            ],
        )
        return TrainingStages({**earlier, COMBINED: gate}, {**submit, COMBINED: gate})
    return TrainingStages(earlier, submit)


def gated(settings: BlendSettings) -> bool:
    """Whether a gate is to be learned."""
    both = len(settings.enabled_networks) == len(NETWORKS)
    return both and settings.combined.way == "gated"


def _learn_gate(
    dataset: Dataset,
    earliest: date,
    settings: BlendSettings,
    reduced: Path | None,
    trained: Mapping[str, Path],
    folder: Path,
) -> None:
    """Learn the gate on the days from the earlier networks' date on, and save it."""
    from modiste.models.combined.gate import learn_gate
    from modiste.models.graph.recommender import GraphRecommender
    from modiste.models.sasrec.recommender import SASRecRecommender

    gate = settings.combined.gate
    vectors = None if reduced is None else ArticleVectors.load(reduced)
    learn_gate(
        dataset.until(earliest + timedelta(days=gate.days)),
        gate,
        SASRecRecommender(settings.sasrec, settings.popularity, vectors, trained["sasrec"]),
        GraphRecommender(settings.gnn, settings.popularity, vectors, trained["gnn"]),
    ).save(folder)


def train(
    network: str,
    dataset: Dataset,
    as_of: date,
    settings: BlendSettings,
    reduced: Path | None,
    folder: Path,
    checkpoints: Path,
    epochs: int | None = None,
) -> None:
    """Train a recommender's network as of a date and save it.

    Parameters
    ----------
    network
        One of ``NETWORKS``.
    epochs
        See :func:`modiste.models.sasrec.fitting.fit_network`.

    Raises
    ------
    DataError
        When there is nothing to learn from.
    """
    trained = _fitter(network)(
        dataset.until(as_of),
        getattr(settings, network),
        settings.popularity,
        None if reduced is None else ArticleVectors.load(reduced),
        epochs=epochs,
        checkpoints=checkpoints,
    )
    if trained is None:
        raise DataError(
            f"nobody bought on two days before {as_of}, so there is no order to learn: give more "
            f"of the past, or go without (--set models.{network}.enabled=false)"
        )
    trained.save(folder)


def _fitter(network: str) -> Callable[..., TrainedNetwork | TrainedGraph | None]:
    """What trains a network; PyTorch and what graphs need take seconds to import."""
    if network == "sasrec":
        from modiste.models.sasrec.fitting import fit_network

        return fit_network
    from modiste.models.graph.fitting import fit_graph

    return fit_graph
