"""One set of checks that every ranker goes through; a new one by being registered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modiste.errors import DataError
from modiste.ranking.lightgbm_ranker import LightGBMRanker
from modiste.ranking.lightgbm_settings import LightGBMSettings
from modiste.ranking.list_accuracy import mean_average_precision
from modiste.ranking.logistic import LogisticRanker
from modiste.ranking.protocol import Ranker
from modiste.ranking.rows import Feature, RankingRows
from modiste.ranking.tabnet.ranker import TabNetRanker
from modiste.ranking.tabnet.settings import (
    TabNetNetworkSettings,
    TabNetSettings,
    TabNetTrainingSettings,
)
from ranking_lists import FEATURES, LIST, make_rows

SMALL_TABNET = TabNetSettings(
    network=TabNetNetworkSettings(
        decision_width=8, attention_width=8, steps=2, virtual_batch=64, embedding=2
    ),
    training=TabNetTrainingSettings(
        batch=128,
        epochs=8,
        least_steps_per_epoch=1,
        learning_rate=0.02,
        warm_up_steps=5,
        weight_average=0.9,
        checkpoint_steps=7,
    ),
)

RANKERS: dict[str, Callable[[], Ranker]] = {
    "tabnet": lambda: TabNetRanker(SMALL_TABNET),
    "logistic": LogisticRanker,
    "lightgbm": lambda: LightGBMRanker(
        LightGBMSettings(loss="binary", min_rows=5, rounds=40, learning_rate=0.1, categories=True)
    ),
}

every_ranker = pytest.mark.parametrize("name", RANKERS)


@pytest.fixture(scope="module")
def rows() -> RankingRows:
    return make_rows(150)


@pytest.fixture(scope="module")
def held_out() -> RankingRows:
    return make_rows(80, window=1)


@pytest.fixture(scope="module")
def fitted(rows: RankingRows) -> dict[str, Ranker]:
    return {name: make().fit(rows) for name, make in RANKERS.items()}


def accuracy(rows: RankingRows, scores: np.ndarray) -> float:
    return mean_average_precision(rows.list_sizes(), rows.frame["bought"].to_numpy(), scores)


def saved(ranker: Ranker, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    ranker.save(folder)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@every_ranker
def test_obeys_the_protocol(name: str, fitted: dict[str, Ranker], held_out: RankingRows) -> None:
    ranker = fitted[name]
    assert isinstance(ranker, Ranker)
    assert ranker.rounds >= 1
    scores = ranker.score(held_out.frame)
    assert scores.dtype == np.float32
    assert scores.shape == (held_out.frame.height,)
    assert np.isfinite(scores).all()
    importance = ranker.importance()
    assert importance.schema == {"feature": pl.String, "importance": pl.Float64}
    assert importance["feature"].to_list() == held_out.names
    assert importance["importance"].sum() == pytest.approx(1)
    assert (importance["importance"] >= 0).all()


@every_ranker
def test_learns_what_was_planted(
    name: str, fitted: dict[str, Ranker], held_out: RankingRows
) -> None:
    chance = np.mean(
        [accuracy(held_out, np.random.default_rng(seed).random(80 * LIST)) for seed in range(10)]
    )
    found = accuracy(held_out, fitted[name].score(held_out.frame))
    assert found > 1.5 * chance
    importance = dict(fitted[name].importance().iter_rows())
    assert importance["noise"] < importance["sales"]


@every_ranker
def test_a_row_is_scored_by_itself(
    name: str, fitted: dict[str, Ranker], held_out: RankingRows
) -> None:
    """In whatever order and with whichever others it comes, and without what was bought.

    To the last bit; a network's products of matrices round by their shape.
    """
    ranker, frame = fitted[name], held_out.frame.drop("bought", "weight")
    scores, rounding = ranker.score(frame), 1e-4 if name == "tabnet" else 0
    for part in (slice(0, 1), slice(3, 400), slice(17, 24), slice(1599, 1600)):
        alone = ranker.score(frame[part])
        assert alone == pytest.approx(scores[part], abs=rounding, rel=rounding)
    order = np.random.default_rng(0).permutation(len(scores))
    again = ranker.score(frame[order])
    assert again == pytest.approx(scores[order], abs=rounding, rel=rounding)
    assert ranker.score(frame.select(reversed(frame.columns))) == pytest.approx(scores)
    assert ranker.score(frame.clear()).shape == (0,)


@every_ranker
def test_the_same_rows_give_the_same_bytes(
    name: str, fitted: dict[str, Ranker], rows: RankingRows, tmp_path: Path
) -> None:
    again = RANKERS[name]().fit(rows)
    assert saved(again, tmp_path / "again") == saved(fitted[name], tmp_path / "first")


@every_ranker
def test_saved_and_loaded(
    name: str, fitted: dict[str, Ranker], held_out: RankingRows, tmp_path: Path
) -> None:
    ranker = fitted[name]
    before = saved(ranker, tmp_path / "saved")
    loaded = RANKERS[name]().load(tmp_path / "saved")
    assert np.array_equal(loaded.score(held_out.frame), ranker.score(held_out.frame))
    assert loaded.importance().equals(ranker.importance())
    assert loaded.rounds == ranker.rounds
    assert saved(loaded, tmp_path / "again") == before


@every_ranker
def test_nothing_or_something_damaged_is_not_loaded(
    name: str, fitted: dict[str, Ranker], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no"):
        RANKERS[name]().load(tmp_path / "empty")
    for each in saved(fitted[name], tmp_path / "saved"):
        path = tmp_path / "saved" / each
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match="damaged"):
            RANKERS[name]().load(tmp_path / "saved")
        path.write_bytes(whole)
    RANKERS[name]().load(tmp_path / "saved")


@every_ranker
def test_rounds_and_what_is_watched(
    name: str, rows: RankingRows, held_out: RankingRows, tmp_path: Path
) -> None:
    watching = RANKERS[name]().fit(rows, held_out)
    assert watching.rounds >= 1
    two = RANKERS[name]().fit(rows, rounds=2)
    assert two.rounds == 2
    # So many rounds are so many, whatever is watched.
    also = RANKERS[name]().fit(rows, held_out, rounds=2)
    assert saved(also, tmp_path / "also") == saved(two, tmp_path / "two")


@every_ranker
def test_what_was_never_met(name: str, fitted: dict[str, Ranker], held_out: RankingRows) -> None:
    """A colour without a code, nothing known at all, and numbers far beyond all others."""
    some = held_out.frame.head(40)
    unknown = some.with_columns(pl.lit(99).cast(pl.Int32).alias("colour"))
    none = some.with_columns(pl.lit(None).cast(pl.Int32).alias("colour"))
    nothing = some.with_columns(
        pl.lit(None).cast(pl.Float32).alias(each) for each in ("sales", "days", "noise")
    )
    far = some.with_columns(pl.lit(3e38).cast(pl.Float32).alias(each) for each in ("sales", "days"))
    ranker = fitted[name]
    assert np.array_equal(ranker.score(unknown), ranker.score(none))
    for frame in (nothing, far):
        assert np.isfinite(ranker.score(frame)).all()


@every_ranker
def test_nan_is_missing(name: str, fitted: dict[str, Ranker], held_out: RankingRows) -> None:
    as_nan = held_out.frame.with_columns(pl.col("days").fill_null(float("nan")))
    ranker = fitted[name]
    assert np.array_equal(ranker.score(as_nan), ranker.score(held_out.frame))


@every_ranker
@pytest.mark.parametrize("feature", FEATURES, ids=[each.name for each in FEATURES])
def test_one_feature_is_enough(name: str, feature: Feature, rows: RankingRows) -> None:
    ranker = RANKERS[name]().fit(RankingRows((feature,), rows.frame))
    assert np.isfinite(ranker.score(rows.frame)).all()
    assert ranker.importance()["importance"].to_list() == pytest.approx([1])


@every_ranker
def test_features_that_say_nothing(name: str, rows: RankingRows) -> None:
    """Always the same, never known, hardly ever: no error, and other features still count."""
    n = rows.frame.height
    frame = rows.frame.with_columns(
        pl.lit(7.0).cast(pl.Float32).alias("same"),
        pl.lit(None).cast(pl.Float32).alias("never"),
        pl.Series("once", np.arange(n) == 5, dtype=pl.Float32),
        pl.lit(None).cast(pl.Int32).alias("nothing"),
    )
    extra = (
        Feature("same", "more", "always 7"),
        Feature("never", "more", "never known"),
        Feature("once", "more", "1 once, else 0"),
        Feature("nothing", "more", "no category", 3),
    )
    ranker = RANKERS[name]().fit(RankingRows((*FEATURES, *extra), frame))
    scores = ranker.score(frame)
    assert np.isfinite(scores).all()
    assert accuracy(rows, scores) > accuracy(rows, rows.frame["noise"].to_numpy())


@every_ranker
def test_one_list(name: str) -> None:
    one = make_rows(1, seed=3)
    assert one.frame["bought"].any()
    ranker = RANKERS[name]().fit(one)
    assert np.isfinite(ranker.score(one.frame)).all()


@every_ranker
def test_weights_count_as_rows(name: str, rows: RankingRows) -> None:
    """Others than 1 change what is learned."""
    heavy = rows.frame.with_columns(
        pl.when("bought").then(1.0).otherwise(20.0).cast(pl.Float32).alias("weight")
    )
    ranker = RANKERS[name]().fit(RankingRows(rows.features, heavy))
    plain = RANKERS[name]().fit(rows)
    assert not np.array_equal(ranker.score(rows.frame), plain.score(rows.frame))


@every_ranker
def test_where_all_was_bought_rows_are_alike(name: str, rows: RankingRows) -> None:
    """As in a shop with one article: there is nothing to tell them from."""
    every = RankingRows(rows.features, rows.frame.with_columns(bought=pl.lit(True)))
    ranker = RANKERS[name]().fit(every, every)
    scores = ranker.score(rows.frame)
    assert np.isfinite(scores).all()
    again = RANKERS[name]().fit(every, rounds=ranker.rounds)
    assert np.isfinite(again.score(rows.frame)).all()


@every_ranker
def test_nothing_to_learn_from(name: str, rows: RankingRows, held_out: RankingRows) -> None:
    def changed(rows: RankingRows, *columns: pl.Expr) -> RankingRows:
        return RankingRows(rows.features, rows.frame.with_columns(columns))

    never = pl.lit(False).alias("bought")
    with pytest.raises(DataError, match="none of the 3,000 rows was bought"):
        RANKERS[name]().fit(changed(rows, never))
    with pytest.raises(DataError, match="none of the watched rows was bought"):
        RANKERS[name]().fit(rows, changed(held_out, never))
    with pytest.raises(DataError, match=r"weight .* is not a positive number"):
        RANKERS[name]().fit(changed(rows, pl.lit(0.0).cast(pl.Float32).alias("weight")))
    with pytest.raises(DataError, match="lack bought and weight"):
        RANKERS[name]().fit(RankingRows(FEATURES, rows.frame.drop("bought", "weight")))
    with pytest.raises(DataError, match="no features"):
        RANKERS[name]().fit(RankingRows((), rows.frame))


@every_ranker
def test_missing_columns_and_nothing_learned(
    name: str, fitted: dict[str, Ranker], held_out: RankingRows, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="lack the features sales, colour"):
        fitted[name].score(held_out.frame.drop("sales", "colour"))
    with pytest.raises(DataError, match="learned nothing yet"):
        RANKERS[name]().score(held_out.frame)
    with pytest.raises(DataError, match="learned nothing yet"):
        RANKERS[name]().save(tmp_path)


@pytest.mark.parametrize("name", ["tabnet", "logistic"])  # trees take seconds, and begin anew
def test_killed_and_gone_on(
    name: str,
    rows: RankingRows,
    held_out: RankingRows,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is killed while it measures what it watches goes on to the same bytes."""
    whole = RANKERS[name]().fit(rows, held_out, checkpoints=tmp_path / "whole")
    from modiste.ranking import list_accuracy

    calls = 0

    class KilledError(Exception):
        pass

    def killed(*args: object, **keywords: object) -> float:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KilledError
        return list_accuracy.mean_average_precision(*args, **keywords)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        for module in ("tabnet.training", "logistic"):
            patched.setattr(f"modiste.ranking.{module}.mean_average_precision", killed)
        with pytest.raises(KilledError):
            RANKERS[name]().fit(rows, held_out, checkpoints=tmp_path / "cut")
    resumed = RANKERS[name]().fit(rows, held_out, checkpoints=tmp_path / "cut")
    assert saved(resumed, tmp_path / "resumed") == saved(whole, tmp_path / "never cut")
