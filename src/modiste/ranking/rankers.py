"""Every ranker by its name, and how it is made; a new one is registered here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from modiste.ranking.protocol import Ranker
from modiste.ranking.settings import RankerName, RankingSettings


def _lightgbm(settings: RankingSettings) -> Ranker:
    from modiste.ranking.lightgbm_ranker import LightGBMRanker  # LightGBM takes a second

    return LightGBMRanker(settings.lightgbm)


def _tabnet(settings: RankingSettings) -> Ranker:
    from modiste.ranking.tabnet.ranker import TabNetRanker  # PyTorch takes seconds

    return TabNetRanker(settings.tabnet)


def _logistic(settings: RankingSettings) -> Ranker:
    from modiste.ranking.logistic import LogisticRanker

    return LogisticRanker(settings.logistic)


RANKERS: dict[RankerName, Callable[[RankingSettings], Ranker]] = {
    "lightgbm": _lightgbm,
    "lightgbm_known": _lightgbm,
    "tabnet": _tabnet,
    "logistic": _logistic,
}

# Those that are so slow that only the first of the candidates are worth their while.
SLOW: frozenset[str] = frozenset({"tabnet"})


def make_rankers(settings: RankingSettings) -> dict[str, Ranker]:
    """Those that the settings name, not fitted yet."""
    return {name: RANKERS[name](settings) for name in settings.rankers}


def save_rankers(rankers: Mapping[str, Ranker], folder: Path) -> None:
    """Write each ranker into a folder of its own, of its name."""
    for name, ranker in rankers.items():
        (folder / name).mkdir()
        ranker.save(folder / name)


def load_rankers(settings: RankingSettings, folder: Path) -> dict[str, Ranker]:
    """Read back what :func:`save_rankers` wrote."""
    return {name: made.load(folder / name) for name, made in make_rankers(settings).items()}
