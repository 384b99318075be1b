"""The whole way, on a real folder of raw files: resume, kill, cluster, full disk, and no leak."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from distributed import LocalCluster
from typer.testing import CliRunner

from modiste.cli import app
from modiste.config import load_config
from modiste.data.dataset import Window
from modiste.data.synthetic import SCALES, write_shop
from modiste.engine import Engine
from modiste.errors import ConfigError, ModisteError, RunError
from modiste.pipeline import STAGES, RunResult, evaluate_submission, run_pipeline

# Several partitions and several blocks a file, so that order and workers could matter.
SETTINGS = (
    "ingest.partition_customers=500",
    "ingest.block_bytes=300000",
    "evaluation.resamples=20",
    "report.customers=2",
    "vectors.enabled=true",
    "vectors.encoder.model=all-MiniLM-L6-v2",
    "vectors.map=false",  # tests/test_lookup.py has one; UMAP compiles in every process
    "models.weights.content=15",
    "models.sasrec.enabled=true",
    "models.sasrec.network.dimensions=16",
    "models.sasrec.network.blocks=1",
    "models.sasrec.training.epochs=2",
    "models.sasrec.training.checkpoint_steps=5",
    "models.weights.sasrec=1",
    "models.gnn.enabled=true",
    "models.gnn.network.dimensions=16",
    "models.gnn.network.articles_of_customer=5",
    "models.gnn.network.customers_of_article=3",
    "models.gnn.training.days=14",
    "models.gnn.training.epochs=2",
    "models.gnn.training.checkpoint_steps=5",
    "models.weights.gnn=1",
    "ranking.windows=1",
    "ranking.watched=300",
    "ranking.lightgbm.rounds=40",
)
# A run without vectors, networks and rankers.
LEAST = ("evaluation.resamples=20", "report.customers=0", "ranking.enabled=false")
DONE = [stage for stage in STAGES if stage not in ("map", "learn_gate")]
EARLIER = date(2020, 9, 10)
LEARNED = ("stages/choose/", "stages/ranking_rows/", "stages/choose_ranking/")


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the texts' vectors a place: each is embedded once for all of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw") / "shop"
    # Small: a run has some twenty stages, and these tests do a dozen runs.
    size = replace(SCALES["demo"], customers=1_200, never_bought=8, articles=500, rows=27_000)
    write_shop(folder, size, 1, Engine(workers=1))
    return folder


def run(shop: Path, out: Path, *more: str, engine: Engine | None = None) -> RunResult:
    return run_pipeline(
        str(shop), out, load_config(overrides=(*SETTINGS, *more)), engine or Engine(workers=2)
    )


@pytest.fixture(scope="session")
def undisturbed(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one worker, which all others have to equal."""
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    run(shop, out, engine=Engine(workers=1))
    return out


@pytest.fixture(scope="session")
def earlier(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as of a date that the data goes on after."""
    out = tmp_path_factory.mktemp("runs") / "earlier"
    run(shop, out, f"as_of={EARLIER}")
    return out


def content(out: Path) -> dict[str, bytes]:
    """Every file of a run; without what tells the time that was needed."""
    files = {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "timings.json"
    }
    for name in ("report.html", "stages/report/report.html"):
        timed = b'<section id="timings".*?</section>|<div id="took">.*?</div>'
        files[name] = re.sub(timed, b"", files[name], flags=re.DOTALL)
    return files


def same(out: Path, other: Path) -> None:
    ours, theirs = content(out), content(other)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_outputs(shop: Path, undisturbed: Path) -> None:
    assert {path.name for path in undisturbed.iterdir()} == {
        ".lock",
        "config.yaml",
        "item_faiss_index.bin",
        "item_faiss_index.json",
        "metrics.json",
        "report.html",
        "stages",
        "submission.csv",
        "timings.json",
    }
    customers = pl.read_csv(shop / "customers.csv", infer_schema=False)["customer_id"]
    submission = pl.read_csv(undisturbed / "submission.csv", infer_schema=False)
    assert submission.columns == ["customer_id", "prediction"]
    assert submission["customer_id"].to_list() == customers.to_list()
    lists = submission["prediction"].str.split(" ")
    assert (lists.list.len() == 12).all()
    assert (lists.list.n_unique() == 12).all()
    articles = pl.read_csv(shop / "articles.csv", infer_schema=False)["article_id"]
    assert lists.explode().is_in(articles.implode()).all()
    metrics = json.loads((undisturbed / "metrics.json").read_text())
    submitted = metrics["test"]["models"][metrics["recommender"]]
    assert metrics["recommender"] == "hybrid"
    assert metrics["map@12"] == submitted["metrics"]["average_precision"]["mean"]


def test_who_is_like_a_customer_on_the_command_line(shop: Path, undisturbed: Path) -> None:
    bought = pl.read_csv(shop / "transactions_train.csv", infer_schema=False)
    customer = bought["customer_id"][0]
    asked = ["similar", "--run", str(undisturbed), "--customer", customer, "-k", "3"]
    printed = CliRunner().invoke(app, asked, env={"COLUMNS": "200"})
    assert printed.exit_code == 0, printed.output
    assert f"Like {customer[:12]}…" in printed.output
    answer = json.loads(CliRunner().invoke(app, [*asked, "--json", "--full-ids"]).output)
    near = {row["customer_id"] for row in answer["similar"]}
    assert {row["rank"] for row in answer["similar"]} == {1, 2, 3}
    assert len(near) == 3
    assert customer not in near
    assert near <= set(bought["customer_id"])
    assert len(answer["suggested"]) == 12
    for article in answer["suggested"]:
        assert f"{article['article_id']}  {article['prod_name']}" in printed.output


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_no_whole_id_of_a_customer_is_shown_unasked(
    form: list[str], shop: Path, undisturbed: Path
) -> None:
    customers = pl.read_csv(shop / "customers.csv", infer_schema=False)["customer_id"]
    bought = pl.read_csv(shop / "transactions_train.csv", infer_schema=False)
    asked = ["similar", "--run", str(undisturbed), "--customer", bought["customer_id"][0]]
    shown = CliRunner().invoke(app, [*asked, *form], env={"COLUMNS": "200"}).output
    assert "…" in shown or "\\u2026" in shown
    assert not [each for each in customers if each in shown]


def test_similar_customers_can_be_switched_off_for_privacy(
    shop: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """In a run that had them: what shows customers to others is gone, and the rest stays."""
    out = tmp_path / "run"
    shutil.copytree(undisturbed, out)
    index = out / "stages" / "network_index"
    shows = {f"user_faiss_index{suffix}" for suffix in (".bin", ".json")} | {
        "customer_ids.parquet",
        "bought.parquet",
    }
    before = {path.name for path in index.iterdir()}
    assert shows <= before
    run(shop, out, "privacy.similar_customers=false")
    assert {path.name for path in index.iterdir()} == before - shows
    assert not list(out.rglob("user_faiss_index*"))
    for name in ("submission.csv", "item_faiss_index.bin"):
        assert (out / name).read_bytes() == (undisturbed / name).read_bytes()
    asked = CliRunner().invoke(app, ["similar", "--run", str(out), "--customer", "anyone"])
    assert "switched off there (privacy.similar_customers)" in str(asked.exception)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["0108775015"], "not for both"),
        (["--text", "red dress"], "not for both"),
        (["--on-sale"], "filters, --html and --images"),
        (["--where", "section_name=x"], "filters, --html and --images"),
        (["--max-price", "0"], "filters, --html and --images"),
        (["--html", "page.html"], "filters, --html and --images"),
    ],
)
def test_what_a_question_about_a_customer_cannot_have_is_refused(
    more: list[str], message: str
) -> None:
    asked = CliRunner().invoke(app, ["similar", "--customer", "someone", *more])
    assert isinstance(asked.exception, ConfigError)
    assert message in str(asked.exception)


def test_full_ids_are_of_customers() -> None:
    asked = CliRunner().invoke(app, ["similar", "0108775015", "--full-ids"])
    assert "name a customer" in str(asked.exception)


def test_the_parquet_says_the_same_as_the_submission(undisturbed: Path) -> None:
    parts = pl.read_parquet(undisturbed / "stages/recommend/recommendations/*.parquet")
    lists = (
        parts.sort("customer_id", "rank")
        .group_by("customer_id", maintain_order=True)
        .agg(prediction=pl.col("article_id").str.join(" "))
    )
    submission = pl.read_csv(undisturbed / "submission.csv", infer_schema=False)
    assert lists.equals(submission.sort("customer_id"))


def test_gains_are_differences_of_what_is_compared(undisturbed: Path) -> None:
    metrics = json.loads((undisturbed / "metrics.json").read_text())
    scores = {
        name: model["metrics"]["average_precision"]["mean"]
        for name, model in metrics["test"]["models"].items()
    }
    assert scores["hybrid"] > scores["popularity"]
    for model, gain in metrics["ranking"]["gains"].items():
        assert gain["difference"] == pytest.approx(scores["hybrid"] - scores[model])


def test_evaluate_gives_the_run_s_own_figure(earlier: Path) -> None:
    metrics = json.loads((earlier / "metrics.json").read_text())
    window = Window(EARLIER, 7)
    scores = evaluate_submission(earlier / "submission.csv", earlier, window, None, Engine())
    assert scores["average_precision"].mean() == pytest.approx(metrics["map@12"])


def test_again_does_nothing_and_a_changed_setting_only_what_follows(
    shop: Path, undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    shutil.copytree(undisturbed, out)
    capsys.readouterr()
    run(shop, out)
    assert capsys.readouterr().err.count("there already") == len(DONE)
    same(out, undisturbed)
    run(shop, out, "report.customers=3")
    said = capsys.readouterr().err
    assert said.count("there already") == len(DONE) - 1
    assert "report: there already" not in said


def test_files_copied_anew_are_read_again_and_nothing_else_is_done_again(
    shop: Path, undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, copied = tmp_path / "run", tmp_path / "copied"
    shutil.copytree(undisturbed, out)
    shutil.copytree(shop, copied, copy_function=shutil.copyfile)
    capsys.readouterr()
    run(copied, out)
    said = capsys.readouterr().err
    assert said.count("there already") == len(DONE) - 1
    assert "ingest: there already" not in said


def test_from_and_only(shop: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(undisturbed, out)
    config = load_config(overrides=SETTINGS)
    before = {stage: (out / "stages" / stage).stat().st_ino for stage in DONE}
    run_pipeline(str(shop), out, config, Engine(), redo_from="fit")
    redone = [s for s in DONE if (out / "stages" / s).stat().st_ino != before[s]]
    assert redone == ["fit", "recommend", "network_index", "report"]
    same(out, undisturbed)
    with pytest.raises(ConfigError, match="no stage 'fitt'"):
        run_pipeline(str(shop), out, config, Engine(), only="fitt")
    without = load_config(overrides=[*SETTINGS, "vectors.enabled=false"])
    with pytest.raises(ConfigError, match="stage 'embed' needs article vectors"):
        run_pipeline(str(shop), out, without, Engine(), only="embed")
    with pytest.raises(RunError, match="no up-to-date outputs"):
        run_pipeline(str(shop), tmp_path / "new", config, Engine(), only="fit")
    new = run_pipeline(str(shop), tmp_path / "new", config, Engine(), only="ingest")
    assert new.metrics == {}
    assert [path.name for path in (tmp_path / "new" / "stages").iterdir()] == ["ingest"]


def test_more_workers_give_the_same_bytes(shop: Path, undisturbed: Path, tmp_path: Path) -> None:
    run(shop, tmp_path / "run", engine=Engine(workers=5))
    same(tmp_path / "run", undisturbed)


def test_a_cluster_of_which_a_worker_is_killed_gives_the_same_bytes(
    shop: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """Killed when the tables are made; the cluster starts another one in its place."""
    out = tmp_path / "run"
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        worker = next(iter(cluster.workers.values())).pid
        ingested = out / "stages" / "ingest"
        killing = threading.Thread(target=_kill_when, args=(ingested, worker), daemon=True)
        killing.start()
        with Engine(cluster.scheduler_address) as engine:
            run(shop, out, engine=engine)
        killing.join()
        assert worker not in {each.pid for each in cluster.workers.values()}
    same(out, undisturbed)


def _kill_when(path: Path, pid: int) -> None:
    while not path.exists():
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)


# Few customers and one network, of ten steps: what counts is that every kind of stage is there.
KILLED = (
    "as_of=2020-09-16",
    "ingest.partition_customers=300",
    "evaluation.resamples=20",
    "report.customers=2",
    "models.sasrec.enabled=true",
    "models.sasrec.network.dimensions=8",
    "models.sasrec.network.blocks=1",
    "models.sasrec.training.epochs=2",
    "models.sasrec.training.checkpoint_steps=2",
    "models.weights.sasrec=1",
    "ranking.windows=1",
    "ranking.watched=100",
    "ranking.lightgbm.rounds=20",
)
STAGES_KILLED = {
    *("ingest", "train_sasrec_earlier", "train_sasrec", "choose", "ranking_rows", "choose_ranking"),
    *("learn_ranking", "evaluate", "fit", "recommend", "network_index", "report"),
}


# What takes a second or more, and is imported where it is used.
IMPORTED_BY_STAGES = (
    "modiste.models.graph_filter",
    "modiste.models.sasrec.fitting",
    "modiste.ranking.lightgbm_ranker",
    "modiste.ranking.logistic",
)


def test_killed_in_every_stage_and_resumed(tmp_path: Path) -> None:
    """Killed once in each stage, at a random moment of its work, it ends as if undisturbed."""
    shop, whole, out = (tmp_path / name for name in ("shop", "whole", "out"))
    size = replace(SCALES["demo"], customers=800, rows=18_000)
    write_shop(shop, size, 1, Engine(workers=1))
    run_pipeline(str(shop), whole, load_config(overrides=KILLED), Engine(workers=2))
    timings = json.loads((whole / "timings.json").read_text())
    stages = [stage for stage in STAGES if (whole / "stages" / stage).is_dir()]
    assert set(stages) == STAGES_KILLED
    rng = np.random.default_rng()
    for stage in stages:
        seconds = rng.uniform(0, 0.8) * timings[stage]["seconds"]
        while not _killed_in(stage, shop, out, seconds):
            seconds /= 2
    run_pipeline(str(shop), out, load_config(overrides=KILLED), Engine(workers=2))
    same(out, whole)


def _killed_in(stage: str, shop: Path, out: Path, seconds: float) -> bool:
    """Kill a run when a stage has been at work for some seconds; whether it still was, by then."""
    folder = out / "stages" / stage
    shutil.rmtree(folder, ignore_errors=True)
    # Forked from a process that has imported all: a fresh one takes longer to start than to run.
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload([__name__, *IMPORTED_BY_STAGES])
    heard, said = forking.Pipe(duplex=False)
    process = forking.Process(target=_run_and_say, args=(shop, out, said))
    process.start()
    said.close()  # the run's own end is the only one: where it dies, the lines end
    with heard, open(heard.fileno(), encoding="utf-8", closefd=False) as lines:
        assert any(line.startswith(f"modiste: {stage} …") for line in lines), stage
        time.sleep(seconds)
        process.kill()
    process.join()
    return not folder.exists()


def _run_and_say(shop: Path, out: Path, said: Connection) -> None:
    with open(said.fileno(), "w", encoding="utf-8", closefd=False) as sys.stderr:
        run_pipeline(str(shop), out, load_config(overrides=KILLED), Engine(workers=2))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_is_a_clear_error_and_keeps_the_earlier_result(
    shop: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], check=False
    ).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    try:
        settings = load_config(overrides=LEAST)
        run_pipeline(str(shop), disk / "run", settings, Engine(workers=2))
        before = content(disk / "run")
        free = shutil.disk_usage(disk).free
        (disk / "ballast").write_bytes(b"x" * (free - 100_000))
        other = load_config(overrides=(*LEAST, "ingest.partition_customers=250"))
        with pytest.raises(ModisteError, match="no room on disk"):
            run_pipeline(str(shop), disk / "run", other, Engine(workers=2))
        left = content(disk / "run")
        assert left.keys() == before.keys()
        assert [name for name in left if left[name] != before[name]] == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_two_processes_do_not_share_a_run(shop: Path, undisturbed: Path) -> None:
    from filelock import FileLock

    with (
        FileLock(undisturbed / ".lock"),
        pytest.raises(RunError, match="another process works in"),
    ):
        run(shop, undisturbed)


def test_a_foreign_folder_is_refused(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="not a run of modiste"):
        run(shop, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("edit", ["changed", "dropped"])
def test_rows_from_the_date_on_change_no_recommendation(
    shop: Path, earlier: Path, tmp_path: Path, edit: str
) -> None:
    """The property of the door through time, from raw files to the submission's bytes."""
    edited = tmp_path / "edited"
    edited.mkdir()
    for name in ("articles.csv", "customers.csv"):
        shutil.copy(shop / name, edited / name)
    rows = pl.read_csv(shop / "transactions_train.csv", infer_schema=False)
    later = pl.col("t_dat") >= str(EARLIER)
    past = rows.filter(~later)
    future = {
        "dropped": past.clear(),
        "changed": pl.concat([rows.filter(later).gather_every(3), past.tail(500)]).with_columns(
            pl.col("customer_id").reverse(), t_dat=pl.lit("2020-09-12"), price=pl.lit("0.5")
        ),
    }[edit]
    pl.concat([future, past]).write_csv(edited / "transactions_train.csv")
    run(edited, tmp_path / "other", f"as_of={EARLIER}")
    one, other = content(earlier), content(tmp_path / "other")
    recommended = [
        name
        for name in one
        if name.startswith((*LEARNED, "stages/fit/", "stages/recommend/", "submission"))
        and not name.endswith("stage.json")
    ]
    assert len(recommended) > 5
    assert [name for name in recommended if one[name] != other[name]] == []
