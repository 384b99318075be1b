"""How networks were trained, as the page tells it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from modiste.models.learning.epochs import Epoch
from modiste.report.training import NetworkTraining


def section(text: str, name: str) -> str:
    found = re.search(rf'<section id="{name}".*?</section>', text, re.DOTALL)
    return found.group() if found else ""


def drawn(text: str, name: str) -> dict[str, Any]:
    found = re.search(rf'<script [^>]*data-plot="plot-{name}">(.*?)</script>', text)
    assert found is not None
    (trace,) = json.loads(found.group(1))["data"]
    return dict(trace)


def rows(text: str) -> list[list[str]]:
    """Cells of the bodies of all tables."""
    return [
        [re.sub("<.*?>", "", cell) for cell in re.findall("<t[hd].*?</t[hd]>", row)]
        for body in re.findall("<tbody>(.*?)</tbody>", text, re.DOTALL)
        for row in re.findall("<tr.*?</tr>", body)
    ]


def with_epochs(sasrec: NetworkTraining, *epochs: Epoch) -> NetworkTraining:
    return replace(sasrec, earlier=sasrec.earlier.model_copy(update={"epochs": epochs}))


def test_tells_dates_epochs_and_the_chosen_one(page: Path) -> None:
    training = section(page.read_text(encoding="utf-8"), "training")
    assert "3 epochs were tried without" in training
    assert "12–16 July 2020" in training
    assert "best on these days after epoch 2." in training
    assert rows(training) == [
        ["on the windows", "17 July 2020", "2"],
        ["for the submission", "31 July 2020", "2"],
        ["1", "6.5123", "0.0123"],
        ["2", "5.2500", "0.0346"],
        ["3", "5.1250", "0.0334"],
    ]
    assert re.findall('<tr class="chosen"><th scope="row">(.*?)<', training) == ["2"]


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("sasrec-loss", [6.512346, 5.25, 5.125], "5.2500"),
        ("sasrec-ndcg", [0.0123, 0.03456, 0.0334], "0.0346"),
    ],
)
def test_draws_what_was_measured(page: Path, name: str, values: list[float], said: str) -> None:
    text = page.read_text(encoding="utf-8")
    trace = drawn(text, name)
    assert trace["x"] == [1, 2, 3]
    assert trace["y"] == values
    sizes, colours = trace["marker"]["size"], trace["marker"]["color"]
    assert sizes.index(max(sizes)) == 1
    assert [colour == "var(--accent)" for colour in colours] == [False, True, False]
    label = re.search(rf'id="plot-{name}" role="img" aria-label="(.*?)"', text)
    assert label is not None
    assert f"The chosen epoch, 2, is the large dot, with {said}." in label.group(1)


def test_epochs_without_a_validation_have_no_ndcg(
    run: Any, sasrec: NetworkTraining, tmp_path: Path
) -> None:
    tried = with_epochs(sasrec, Epoch(1, 6.0, None), Epoch(2, 5.0, 0.25))
    text = run.write(tmp_path / "report.html", trainings=[tried])
    assert drawn(text, "sasrec-loss")["x"] == [1, 2]
    assert drawn(text, "sasrec-ndcg")["x"] == [2]
    assert ["1", "6.0000", "–"] in rows(section(text, "training"))


@pytest.mark.parametrize("epochs", [(), (Epoch(1, 6.0, None), Epoch(2, 5.0, None))])
def test_says_where_nothing_could_be_validated(
    run: Any, sasrec: NetworkTraining, tmp_path: Path, epochs: tuple[Epoch, ...]
) -> None:
    text = run.write(tmp_path / "report.html", trainings=[with_epochs(sasrec, *epochs)])
    training = section(text, "training")
    assert "No epoch could be validated" in training
    assert len(rows(training)) == 2
    assert "plot-training" not in text


def test_is_absent_where_nothing_is_trained(run: Any, tmp_path: Path) -> None:
    text = run.write(tmp_path / "report.html", trainings=[])
    assert section(text, "training") == ""
    assert "#training" not in text
    assert "plot-training" not in text


def test_is_read_from_the_networks_folders(sasrec: NetworkTraining, tmp_path: Path) -> None:
    for name, network in (("earlier", sasrec.earlier), ("submit", sasrec.submit)):
        (tmp_path / name).mkdir()
        network.save(tmp_path / name)
    assert NetworkTraining.load("sasrec", tmp_path / "earlier", tmp_path / "submit", 5) == sasrec
    assert sasrec.validation.end == sasrec.earlier.as_of
    assert sasrec.validation.as_of == sasrec.earlier.as_of - timedelta(days=5)
