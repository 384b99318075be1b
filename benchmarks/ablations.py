"""What the hybrid loses without each source, group of features and scorer; and what rankers use.

    python benchmarks/ablations.py --data SHOP --work FOLDER [--as-of DATE --horizon DAYS]
                                   [--run RUN] [--customers N] [--seeds N] [--set …] [--out FILE]

SHOP is what ``modiste run --data`` takes. The windows are those of such a run's test; for each line
of the table everything is learned and chosen anew, on days before it. Left out is:

source
    Its columns, in the blend too, and the candidates that it alone proposed. The lists are those of
    the whole, filtered: where the merge had cut one, a candidate of another source might have come
    in instead, and quotas would have been set otherwise, so that the loss is rather too great.
    Popularity stays a feature of articles, and in the blend.
group
    Rankers do not see its features; the blend, another scorer, still has the sources' scores.
scorer
    The weights of the others are chosen anew; nothing is learned.
seed
    Nothing, but trees draw their features otherwise: what chance alone does to a line.

Printed is one table: which share of the purchases is among the candidates, MAP@12 of all buyers of
the test window, and what is lost, of all and by segment, with paired 95 % bootstrap intervals
(+: the part helps). They know of the chance in who buys and not of that in learning: see the lines
of other seeds. Slow rankers score whole lists (no cascade), and no rules of the shop are applied.

A second table is of the watched window: what MAP@12 of each ranker's lists (those of its segments
that hold a purchase; the ranker alone, as it learned from windows before) falls by when features
are permuted over all rows.

``--work`` keeps the rows and every line that is done: an interrupted run goes on. ``--run`` is a
finished run of the same tables and settings, whose blend and rows are taken; only those of the test
window are made. Networks are not supported. The last line, and ``--out``, is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from machine import describe_machine
from modiste.candidates.settings import SEGMENTS
from modiste.config import Config, load_config
from modiste.data.dataset import Dataset
from modiste.engine import Engine
from modiste.engine.stages import Run
from modiste.evaluation.intervals import mean_interval, paired_differences
from modiste.evaluation.settings import EvaluationSettings
from modiste.evaluation.splits import RankerWindows, ranker_windows, split
from modiste.models.blend import Artifacts
from modiste.pipeline import choose, chosen_settings, prepared_folder
from modiste.ranking.ablation import AblationRows, ScoredHybrid, learn_and_test, without_scorer
from modiste.ranking.permutation_importance import permutation_importance
from modiste.ranking.rankers import load_rankers, save_rankers
from modiste.ranking.scorers import scorers_of
from modiste.ranking.settings import RankingSettings
from modiste.ranking_stages import (
    CODE,
    ROWS,
    TO_TEST,
    RankingParts,
    read_rows,
    read_whole_lists,
    write_rows,
)
from modiste.vectors.article_vectors import ArticleVectors

WHOLE = "the whole"
ALL = "all"

# Sources that propose much the same: neither is missed while the other is there.
_TOGETHER = (("repurchase", "most_frequent"),)

_PERMUTATIONS = 3
_FEATURES_SHOWN = 15


@dataclass(frozen=True)
class Line:
    """A line of the table: what is left out, or drawn otherwise.

    Attributes
    ----------
    kind
        "source", "group", "scorer" or "seed".
    name
        What stands in the table.
    parts
        Names of what is left out; of a seed, its number.
    """

    kind: str
    name: str
    parts: tuple[str, ...]

    @property
    def stage(self) -> str:
        """Name of the folder that keeps it."""
        return re.sub(r"[^a-z0-9_]+", "_", f"{self.kind}_{self.name}".lower())


@dataclass(frozen=True)
class Laid:
    """What every line is made of.

    Attributes
    ----------
    run
        Keeps what is done.
    parts
        Of the hybrid.
    windows
        To learn and choose on.
    written, tested
        Folders of the rows of those windows, and of the test window's.
    k
        Recommendations a customer that count.
    """

    run: Run
    parts: RankingParts
    windows: RankerWindows
    written: Path
    tested: Path
    k: int

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources of candidates."""
        return tuple(self.parts.generator().sources)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="as of modiste run")
    parser.add_argument("--work", type=Path, required=True, help="keeps what is done")
    parser.add_argument("--run", type=Path, help="a finished run, for its rows")
    parser.add_argument("--as-of", help="first day of the test window")
    parser.add_argument("--horizon", type=int, default=7)
    parser.add_argument("--customers", type=int, help="buyers of the test, drawn (default: all)")
    parser.add_argument("--seeds", type=int, default=2, help="other seeds of the trees")
    parser.add_argument("--permute", nargs="*", help="rankers (default: those of LightGBM)")
    parser.add_argument("--vectors", type=Path, help="folder of article vectors, of a run")
    parser.add_argument("--config", type=Path, help="as of modiste run")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE, as of modiste run")
    parser.add_argument("--workers", type=int, help="threads over partitions (default: all cores)")
    parser.add_argument("--out", type=Path, help="write the JSON object here, too")
    options = parser.parse_args()
    started = time.monotonic()
    laid_on = [f"horizon={options.horizon}", *([f"as_of={options.as_of}"] if options.as_of else [])]
    config = load_config(options.config, overrides=[*laid_on, *options.set])
    if config.models.enabled_networks:
        raise SystemExit("networks are not supported: disable them")
    with Run(options.work) as run, Engine(workers=options.workers) as engine:
        laid = lay(run, engine, config, options)
        found = measure(laid, config.evaluation, options)
    found |= {"seconds": round(time.monotonic() - started, 1), "machine": describe_machine()}
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print_lines(found)
    print_permutations(found["permutations"])
    print(json.dumps(found))


def lay(run: Run, engine: Engine, config: Config, options: argparse.Namespace) -> Laid:
    """Choose the blend and write the rows of all windows, where that is not done."""
    dataset = Dataset.open(prepared_folder(run, options.data, config.ingest, engine), engine)
    tested = split(dataset, config.as_of, config.horizon)
    older = config.ranking.older_windows
    windows = ranker_windows(
        dataset, tested.validation, config.horizon, config.ranking.windows, older
    )
    vectors = None if options.vectors is None else ArticleVectors.load(options.vectors)
    artifacts = Artifacts(vectors)
    shared = {"rows": of_rows(config), "vectors": str(options.vectors)}
    if options.run is None:
        chosen = run.stage(
            "choose",
            lambda folder: choose(dataset, tested.validation, config, folder, artifacts),
            settings={**shared, "windows": [str(window) for window in tested.validation]},
            code=(*CODE, "modiste.pipeline"),
            needs=["ingest"],
        )
    else:
        chosen = finished(run, options.run, "choose", "rehearse", config)
    parts = RankingParts(
        chosen_settings(chosen), config.candidates, config.ranking, config.rules, artifacts
    )
    if options.run is None:
        written = run.stage(
            ROWS,
            lambda folder: write_rows(dataset, windows, parts, folder),
            settings={"windows": str(windows)},
            code=CODE,
            needs=["ingest", "choose"],
        )
    else:
        written = finished(run, options.run, ROWS, ROWS + TO_TEST, config)
    customers = options.customers or dataset.purchases(tested.test)["customer"].n_unique()
    ranking = config.ranking.model_copy(update={"watched": customers})
    to_test = RankingParts(parts.models, parts.candidates, ranking, parts.rules, artifacts)
    test = run.stage(
        "test_rows",
        lambda folder: write_rows(dataset, RankerWindows(tested.test, (), ()), to_test, folder),
        settings={**shared, "window": str(tested.test), "customers": customers},
        code=CODE,
        needs=["ingest", "choose"],
    )
    return Laid(run, parts, windows, written, test, config.evaluation.k)


def of_rows(config: Config) -> dict[str, Any]:
    """The settings that the rows depend on."""
    learning = {"enabled", "weights", "z", "cascade", "lightgbm", "tabnet", "logistic"}
    wanted = {"as_of", "horizon", "models", "selection", "candidates", "ranking"}
    settings = config.model_dump(mode="json", include=wanted)
    ranking = {name: value for name, value in settings["ranking"].items() if name not in learning}
    return {**settings, "ranking": ranking, "k": config.evaluation.k}


def finished(run: Run, other: Path, stage: str, to_test: str, config: Config) -> Path:
    """The folder of a stage of another run, of the one for its test where there is one.

    Raises
    ------
    SystemExit
        When that run has other settings.
    """
    if of_rows(load_config(other / "config.yaml")) != of_rows(config):
        raise SystemExit(f"{other} has other settings: give the same, or leave --run out")
    for_test = other / "stages" / to_test
    folder = for_test if for_test.is_dir() else other / "stages" / stage
    run.known(stage, json.loads((folder / "stage.json").read_text(encoding="utf-8")))
    return folder


def measure(
    laid: Laid, settings: EvaluationSettings, options: argparse.Namespace
) -> dict[str, Any]:
    """Every line of the table, and the permutations: plain values."""

    @cache
    def rows() -> AblationRows:
        return AblationRows(
            read_rows(laid.written, laid.windows.before),
            read_whole_lists(laid.written).with_purchases(),
            read_rows(laid.written, laid.windows.learned),
            read_whole_lists(laid.tested).with_purchases(),
            laid.sources,
        )

    whole = make(laid, "whole", lambda: _whole(laid, rows(), laid.parts.ranking), keep=True)
    groups = json.loads((laid.written / "features.json").read_text(encoding="utf-8"))
    lines = [
        *(Line("source", name, (name,)) for name in laid.sources),
        *(
            Line("source", " and ".join(names), names)
            for names in _TOGETHER
            if set(names) <= set(laid.sources)
        ),
        *(Line("group", name, (name,)) for name in dict.fromkeys(each["group"] for each in groups)),
        *(
            Line("scorer", name, (name,))
            for name in scorers_of(laid.parts.ranking.rankers, laid.sources)
        ),
        *(Line("seed", str(seed), (str(seed),)) for seed in range(1, options.seeds + 1)),
    ]
    made = {
        line: make(laid, line.stage, lambda line=line: _without(laid, line, rows(), whole))  # type: ignore[misc]
        for line in lines
    }
    permuted = options.permute or [
        name for name in laid.parts.ranking.rankers if name.startswith("lightgbm")
    ]
    permutations = laid.run.stage(
        "permutations",
        lambda folder: permute(laid, whole, permuted, folder),
        settings={"rankers": permuted, "permutations": _PERMUTATIONS},
        code=CODE,
        needs=[ROWS, "whole"],
    )
    return {
        "benchmark": "ablations",
        "watched": str(laid.windows.watched),
        "learned_from": len(laid.windows.learned),
        "lines": described(whole, made, settings),
        "permutations": pl.read_parquet(permutations / "permutations.parquet").to_dicts(),
    }


def make(
    laid: Laid,
    stage: str,
    test: Callable[[], tuple[ScoredHybrid, AblationRows]],
    *,
    keep: bool = False,
) -> Path:
    """Do a line where it is not done; its folder.

    It holds ``precision.parquet`` and ``choice.json``, and where the line is to be gone on from,
    all of :class:`modiste.ranking.ablation.ScoredHybrid`.
    """

    def work(folder: Path) -> None:
        started = time.monotonic()
        tested, rows = test()
        tested.precision.write_parquet(folder / "precision.parquet")
        if keep:
            tested.watched.write_parquet(folder / "watched.parquet")
            tested.test.write_parquet(folder / "test.parquet")
            (folder / "rankers").mkdir()
            save_rankers(tested.rankers, folder / "rankers")
        choice = {
            "scorers": tested.scorers,
            "weights": tested.weights,
            "rounds": {name: ranker.rounds for name, ranker in tested.rankers.items()},
            "found": rows.found,
            "purchases": rows.test.labels.height,
            "seconds": round(time.monotonic() - started, 1),
        }
        (folder / "choice.json").write_text(json.dumps(choice, indent=2) + "\n", encoding="utf-8")

    needs = [ROWS, "test_rows", *([] if stage == "whole" else ["whole"])]
    settings = {"k": laid.k, "ranking": laid.parts.ranking.model_dump(mode="json")}
    return laid.run.stage(stage, work, settings=settings, code=CODE, needs=needs)


def _whole(
    laid: Laid, rows: AblationRows, settings: RankingSettings
) -> tuple[ScoredHybrid, AblationRows]:
    return learn_and_test(rows, settings, laid.parts.models.weights, laid.k), rows


def _without(
    laid: Laid, line: Line, rows: AblationRows, whole: Path
) -> tuple[ScoredHybrid, AblationRows]:
    """Learn, choose and test without what a line leaves out."""
    settings = laid.parts.ranking
    if line.kind == "source":
        return _whole(laid, rows.without_sources(line.parts), settings)
    if line.kind == "group":
        return _whole(laid, rows.without_groups(line.parts), settings)
    if line.kind == "seed":
        trees = settings.lightgbm.model_copy(update={"seed": int(line.name)})
        return _whole(laid, rows, settings.model_copy(update={"lightgbm": trees}))
    made = ScoredHybrid(
        load_rankers(settings, whole / "rankers"),
        {},
        pl.read_parquet(whole / "watched.parquet"),
        pl.read_parquet(whole / "test.parquet"),
        tuple(json.loads((whole / "choice.json").read_text(encoding="utf-8"))["scorers"]),
        pl.DataFrame(),
    )
    return without_scorer(made, line.name, rows, settings, laid.k), rows


def permute(laid: Laid, whole: Path, names: Sequence[str], folder: Path) -> None:
    """Write what each ranker loses when a group, or a feature, is permuted."""
    settings = laid.parts.ranking
    rankers = load_rankers(settings, whole / "rankers")
    watched = read_whole_lists(laid.written).rows
    found = []
    for name in names:
        asked = watched.of_segments(settings.segments_of(name))
        for what, permuted in (
            ("group", asked.names_by_group),
            ("feature", {feature: [feature] for feature in asked.names}),
        ):
            dropped = permutation_importance(
                rankers[name], asked, permuted, seeds=range(_PERMUTATIONS), k=laid.k
            )
            found.append(
                dropped.select(
                    pl.lit(name).alias("ranker"), pl.lit(what).alias("what"), pl.all()
                ).sort("drop", "name", descending=[True, False])
            )
    pl.concat(found).write_parquet(folder / "permutations.parquet")


def described(
    whole: Path, made: Mapping[Line, Path], settings: EvaluationSettings
) -> list[dict[str, Any]]:
    """The lines of the table as plain values, the whole first; losses by segment, "all" first."""
    base = pl.read_parquet(whole / "precision.parquet")
    found = []
    for line, folder in ((Line("whole", WHOLE, ()), whole), *made.items()):
        precision = pl.read_parquet(folder / "precision.parquet")
        assert precision["customer"].equals(base["customer"])
        choice = json.loads((folder / "choice.json").read_text(encoding="utf-8"))
        of_segments: dict[str, Any] = {}
        for segment in (ALL, *SEGMENTS):
            here = pl.lit(value=True) if segment == ALL else pl.col("segment") == segment
            scores, reference = (
                frame.filter(here)["average_precision"].to_numpy() for frame in (precision, base)
            )
            if not len(scores):
                continue
            drawn = (settings.level, settings.resamples, settings.seed)
            of_segments[segment] = {
                "customers": len(scores),
                "map": asdict(mean_interval(scores, *drawn)),
                "loses": None
                if folder == whole
                else asdict(paired_differences(reference, {"": scores}, *drawn)[""]),
            }
        found.append({"kind": line.kind, "name": line.name, **choice, "segments": of_segments})
    return found


def print_lines(found: Mapping[str, Any]) -> None:
    """The table of what is lost."""
    whole, *lines = found["lines"]
    segments = list(whole["segments"])
    customers = ", ".join(f"{name} {whole['segments'][name]['customers']:,}" for name in segments)
    print(f"\nBuyers: {customers}; weights chosen on {found['watched']}\n")
    print(f"| without | found | MAP@12 | {' | '.join(f'loses, {name}' for name in segments)} |")
    print(f"| --- | --- | --- | {' | '.join('---' for _ in segments)} |")
    for line in (whole, *lines):
        name = WHOLE if line is whole else f"{line['kind']} {line['name']}"
        losses = [
            f"(MAP@12 {of_it['map']['mean']:.4f})" if line is whole else _difference(of_it["loses"])
            for of_it in line["segments"].values()
        ]
        total = line["segments"][ALL]["map"]["mean"]
        share = line["found"] / line["purchases"]
        print(f"| {name} | {share:.4f} | {total:.4f} | {' | '.join(losses)} |")


def _difference(loses: Mapping[str, float]) -> str:
    mean, low, high = (loses[name] for name in ("difference", "low", "high"))
    return f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]".replace("-", "−")


def print_permutations(permutations: Sequence[Mapping[str, Any]]) -> None:
    """The table of what is lost when features are permuted."""
    for ranker in dict.fromkeys(each["ranker"] for each in permutations):
        of_it = [each for each in permutations if each["ranker"] == ranker]
        print(f"\n| {ranker}, MAP@12 {of_it[0]['map']:.4f}, permuted | falls by | ± |")
        print("| --- | --- | --- |")
        for what, most in (("group", len(of_it)), ("feature", _FEATURES_SHOWN)):
            for each in [each for each in of_it if each["what"] == what][:most]:
                name = f"**{each['name']}**" if what == "group" else each["name"]
                print(f"| {name} | {each['drop']:.4f} | {each['spread']:.4f} |")


if __name__ == "__main__":
    main()
