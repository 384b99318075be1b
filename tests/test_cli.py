"""The command line, as a newcomer meets it: help, typing errors, and never a traceback."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from modiste.cli import main

VERBS = ("synth", "ingest", "run", "explain", "evaluate", "config")

# One partition of few customers; the least that every stage has something to do with.
SMALL = tuple(
    part
    for setting in (
        "evaluation.resamples=20",
        "report.customers=2",
        "ranking.windows=1",
        "ranking.older_windows=0",
        "ranking.lightgbm.rounds=10",
    )
    for part in ("--set", setting)
)

PROGRAM = (sys.executable, "-c", "from modiste.cli import main; main()")


def modiste(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A command's status and what it writes, without a process of its own."""
    command = ["modiste", *map(str, arguments)]
    output, errors = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        patch.setenv("COLUMNS", "200")
        patch.setenv("NO_COLOR", "1")
        patch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as end:
            main()
    status = end.value.code
    assert isinstance(status, int)
    return subprocess.CompletedProcess(command, status, output.getvalue(), errors.getvalue())


def refused(*arguments: str | Path) -> str:
    """What a command says that ends with status 2."""
    done = modiste(*arguments)
    assert done.returncode == 2, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five articles, six customers, two months."""
    folder = tmp_path_factory.mktemp("cli") / "shop"
    folder.mkdir()
    (folder / "articles.csv").write_text("article_id\n" + "".join(f"a{n}\n" for n in range(5)))
    (folder / "customers.csv").write_text("customer_id\n" + "".join(f"c{n}\n" for n in range(6)))
    rows = [
        f"2020-{month:02d}-{day:02d},c{day * (day + month) % 6},a{day // 2 % 5}\n"
        for month in (7, 8)
        for day in range(1, 31)
    ]
    (folder / "transactions_train.csv").write_text("t_dat,customer_id,article_id\n" + "".join(rows))
    return folder


@pytest.fixture(scope="module")
def finished(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "run"
    done = modiste("run", "--data", shop, "--out", out, *SMALL)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str) -> None:
    done = modiste(verb, "--help")
    assert done.returncode == 0
    options = [line for line in done.stdout.splitlines() if "--" in line]
    assert len(options) >= 3
    assert verb in modiste("--help").stdout


def test_the_version() -> None:
    import modiste as package

    assert modiste("--version").stdout == f"modiste {package.__version__}\n"


ALL_BUT_TYPER = ["polars", "numpy", "scipy", "dask", "distributed", "pydantic", "plotly", "yaml"]


@pytest.mark.parametrize(
    ("program", "heavy"),
    [
        ("import modiste", ALL_BUT_TYPER),
        (
            "import sys; sys.argv = ['modiste', '--help']\n"
            "from modiste.cli import main\n"
            "try: main()\n"
            "except SystemExit: pass",
            ALL_BUT_TYPER,
        ),
        # A run or a bundle without networks needs none of these.
        ("import modiste.pipeline", ["torch", "lightgbm", "plotly", "sentence_transformers"]),
        ("import modiste.ranking.lightgbm_ranker", ["sklearn", "pandas", "joblib"]),
        ("import modiste.service.server", ["torch", "sentence_transformers", "dask"]),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_used(program: str, heavy: list[str]) -> None:
    check = f"\nimport sys; print([m for m in {heavy} if m in sys.modules], file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program + check], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runn"], "Did you mean 'run'?"),
        (["run", "--dta", "x"], "--data"),
        (["run", "--data", "x"], "Missing option '--out'"),
        (["run", "--as-of", "2020-13-01"], "--as-of"),
        (["run", "--horizon", "0"], "--horizon"),
        (["synth", "--out", "x", "--scale", "demoo"], "none of demo, small, full"),
        (["config", "--set", "horizn=3"], "did you mean 'horizon'?"),
        (["config", "--preset", "dmo"], "no preset 'dmo'"),
        (["config", "--config", "nowhere.yaml"], "no config file nowhere.yaml"),
        (["run", "--data", "nowhere", "--out", "x", "--only", "fitt"], "no stage 'fitt'"),
        (["evaluate", "nowhere.csv", "--data", "nowhere"], "nowhere"),
        (["explain"], "Missing argument 'customer'"),
        (["explain", "c1", "--run", "nowhere"], "nowhere is no finished run"),
        (["explain", "c1", "-k", "0"], "-k"),
        (["run", "--data", "x", "--out", "y", "--cluster", "foo"], "missing port number"),
    ],
)
def test_a_typing_error_is_told_and_nothing_is_written(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_described_settings_are_a_config_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(modiste("config", "--preset", "demo").stdout)
    assert modiste("config", "--config", file).stdout == file.read_text()


def test_a_place_that_cannot_be_written(shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    for out in (file, file / "run", tmp_path / "link", shop):
        assert "--out" in refused("run", "--data", shop, "--out", out)


def test_days_that_the_data_does_not_have(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for as_of, message in (
        ("1990-01-01", "nothing is known before 1990-01-01"),
        ("2020-07-01", "nothing is known before 2020-07-01"),
        ("2020-07-02", "too few days for rankers to learn from"),
        ("2030-01-01", "nothing was sold in the 28 days before 2030-01-01"),
    ):
        text = refused("run", "--data", shop, "--out", out, "--as-of", as_of, *SMALL)
        assert message in text
    assert not (out / "submission.csv").exists()
    assert "nothing is known" in refused("run", "--data", shop, "--out", out, "--horizon", "3000")


def test_a_submission_of_fewer_articles_than_places(finished: Path) -> None:
    submission = pl.read_csv(finished / "submission.csv")
    assert submission["customer_id"].to_list() == [f"c{n}" for n in range(6)]
    for prediction in submission["prediction"]:
        assert sorted(prediction.split(" ")) == [f"a{n}" for n in range(5)]


def test_ids_that_a_submission_could_not_hold(shop: Path, tmp_path: Path) -> None:
    for name in ("articles.csv", "customers.csv", "transactions_train.csv"):
        text = (shop / name).read_text()
        (tmp_path / name).write_text(text.replace("a3\n", "a 3\n").replace("c3", '"c ""3"'))
    out = tmp_path / "run"
    message = refused("run", "--data", tmp_path, "--out", out, *SMALL)
    assert "'a 3'" in message
    assert "white space" in message
    articles = tmp_path / "articles.csv"
    articles.write_text(articles.read_text().replace("a 3", '"a,<3"'))
    sales = tmp_path / "transactions_train.csv"
    sales.write_text(sales.read_text().replace("a 3", '"a,<3"'))
    assert modiste("run", "--data", tmp_path, "--out", out, *SMALL).returncode == 0
    submission = pl.read_csv(out / "submission.csv")
    assert submission["customer_id"][3] == 'c "3'
    assert all("a,<3" in prediction.split(" ") for prediction in submission["prediction"])


def test_another_date_is_in_the_metrics(shop: Path, finished: Path, tmp_path: Path) -> None:
    """Both dates are after the data, so that the windows are the same."""
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    done = modiste("run", "--data", shop, "--out", out, "--as-of", "2020-09-05", *SMALL)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["submission"]["as_of"] == "2020-09-05"


def test_prepared_tables_made_anew_are_noticed(shop: Path, tmp_path: Path) -> None:
    """Other purchases may leave every count in the manifest as it was."""
    raw, prepared, out = tmp_path / "raw", tmp_path / "prepared", tmp_path / "run"
    shutil.copytree(shop, raw)

    def submission(*more: str) -> tuple[bytes, str]:
        done = modiste("run", "--data", prepared, "--out", out, *SMALL, *more)
        assert done.returncode == 0, done.stderr
        return (out / "submission.csv").read_bytes(), done.stderr

    assert modiste("ingest", "--data", raw, "--out", prepared).returncode == 0
    before, _ = submission()
    assert "fit: there already" in submission()[1]
    for table in prepared.rglob("*.parquet"):
        table.touch()
    assert "fit: there already" in submission()[1]
    assert "fit: there already" not in submission("--from", "ingest")[1]
    manifest = (prepared / "manifest.json").read_bytes()
    sales = raw / "transactions_train.csv"
    swapped = (
        sales.read_text().replace("a1\n", "x\n").replace("a2\n", "a1\n").replace("x\n", "a2\n")
    )
    sales.write_text(swapped)
    assert modiste("ingest", "--data", raw, "--out", prepared).returncode == 0
    assert (prepared / "manifest.json").read_bytes() == manifest
    assert submission()[0] != before


def test_a_damaged_note_of_a_stage_is_made_again(
    shop: Path, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    for name in ("stages/fit/stage.json", "timings.json"):
        (out / name).write_text("{")
    done = modiste("run", "--data", shop, "--out", out, *SMALL)
    assert done.returncode == 0, done.stderr
    assert "choose: there already" in done.stderr
    assert "fit: there already" not in done.stderr


def test_a_file_called_truth_that_is_no_truth(shop: Path, tmp_path: Path) -> None:
    data = tmp_path / "shop"
    shutil.copytree(shop, data)
    for text in ("{", "{}", "[]", '{"expected_map": null}'):
        (data / "truth.json").write_text(text)
        done = modiste("run", "--data", data, "--out", tmp_path / "run", *SMALL)
        assert done.returncode == 0, done.stderr


def test_no_folder_of_pictures(shop: Path, tmp_path: Path) -> None:
    setting = f"report.images={tmp_path / 'nowhere'}"
    message = refused("run", "--data", shop, "--out", tmp_path / "run", "--set", setting)
    assert "report.images: no folder" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no CSV file with the columns customer_id and prediction"),
        ("customer,prediction\nc1,a1\n", "customer_id"),
        ("customer_id,prediction\n", "no customer of"),
        ("customer_id,prediction\nx,a1\n", "no customer of"),
        ("customer_id,prediction\nc1,a1\nc1,a2\n", "'c1' more than once"),
        ("customer_id,prediction\nc1,a1,a2\n", "is no CSV file"),
    ],
)
def test_a_submission_that_cannot_be_scored(
    text: str, message: str, finished: Path, tmp_path: Path
) -> None:
    submission = tmp_path / "submission.csv"
    submission.write_text(text)
    assert message in refused("evaluate", submission, "--data", finished)


def test_empty_lists_and_unknown_ids_score_nothing(finished: Path, tmp_path: Path) -> None:
    submission = tmp_path / "submission.csv"
    submission.write_text('customer_id,prediction\nc1,\nc2,""\nc3,zz  a9 \nwho,a1\n')
    done = modiste("evaluate", submission, "--data", finished)
    assert done.returncode == 0, done.stderr
    assert "0.00000" in done.stdout


def test_how_near_the_best_possible_is_said_of_the_week_of_the_truth_alone(
    finished: Path, tmp_path: Path
) -> None:
    submission, week = tmp_path / "submission.csv", tmp_path / "next_week.csv"
    submission.write_text("customer_id,prediction\nc1,a1\n")
    week.write_text("customer_id,article_id\nc1,a1\n")

    def said(*more: str | Path) -> str:
        done = modiste("evaluate", submission, "--data", finished, *more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "best possible" not in said("--purchases", week)
    (tmp_path / "truth.json").write_text('{"expected_map": 0.8}')
    assert "125.0% of the best possible MAP@12: 0.80000" in said("--purchases", week)
    assert "best possible" not in said()
    other = week.rename(tmp_path / "other_week.csv")
    assert "best possible" not in said("--purchases", other)


def test_days_after_the_data_cannot_be_scored(finished: Path) -> None:
    submission = finished / "submission.csv"
    for as_of in ("2020-08-31", "9999-12-30"):
        text = refused(
            "evaluate", submission, "--data", finished, "--as-of", as_of, "--horizon", "90"
        )
        assert "the data ends on 2020-08-30" in text


def test_an_interrupted_run_says_that_it_can_go_on(shop: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [*PROGRAM, "run", "--data", str(shop), "--out", str(tmp_path / "run")],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stderr is not None
        assert "ingest" in process.stderr.readline()
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait() == 130
    assert "interrupted" in rest
    assert "Traceback" not in rest


def test_what_is_measured_is_what_is_submitted(shop: Path, tmp_path: Path) -> None:
    """Also where the other baselines propose fewer articles than a list has places."""
    out = tmp_path / "run"
    few = ("--set", "models.candidates=1", "--as-of", "2020-08-24")
    assert modiste("run", "--data", shop, "--out", out, *SMALL, *few).returncode == 0
    measured = json.loads((out / "metrics.json").read_text())["map@12"]
    submission = out / "submission.csv"
    scores = modiste("evaluate", submission, "--data", out, "--as-of", "2020-08-24").stdout
    assert f"{measured:.5f}" in scores


def test_why_a_customer_is_shown_an_article(finished: Path) -> None:
    shown = modiste("explain", "c1", "--run", finished).stdout
    submission = pl.read_csv(finished / "submission.csv", infer_schema=False)
    lists = submission.filter(pl.col("customer_id") == "c1")["prediction"].item().split(" ")
    lines = [line.split() for line in shown.splitlines() if " a" in line and "customer" not in line]
    assert [line[1] for line in lines if line[0].isdigit()] == lists
    told = json.loads(modiste("explain", "c1", lists[0], "--run", finished, "--json").stdout)
    assert (told["customer"], told["shown_at"], told["place"]) == ("c1", 1, 1)
    assert sum(each["part"] for each in told["scorers"]) == pytest.approx(told["score"])
    printed = modiste("explain", "c1", lists[0], "--run", finished).stdout
    assert f"Shown at place 1 of {told['candidates']} candidates." in printed
    assert f"Why: {told['reason']}." in printed
    assert "did you mean" in refused("explain", "c1", "a", "--run", finished)
    assert "no customer 'c9'" in refused("explain", "c9", "--run", finished)


def test_a_run_of_prepared_tables_is_explained_where_they_lie(shop: Path, tmp_path: Path) -> None:
    prepared, out = tmp_path / "prepared", tmp_path / "run"
    assert modiste("ingest", "--data", shop, "--out", prepared).returncode == 0
    assert modiste("run", "--data", prepared, "--out", out, *SMALL).returncode == 0
    shown = modiste("explain", "c1", "--run", out)
    assert "Shown to customer c1" in shown.stdout
    moved = prepared.rename(tmp_path / "moved")
    assert "(--data)" in refused("explain", "c1", "--run", out)
    again = modiste("explain", "c1", "--run", out, "--data", moved)
    assert again.stdout == shown.stdout
