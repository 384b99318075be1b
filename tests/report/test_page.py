"""The page: valid, the same bytes, safe against hostile texts, and whole in a real browser."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from modiste.models.blend import RECOMMENDERS
from modiste.report.results import readable
from outlines import Outline

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def outline(page: Path) -> Outline:
    return Outline(page.read_text(encoding="utf-8"))


def test_is_well_formed(outline: Outline) -> None:
    assert outline.open == []


def test_every_reference_finds_its_element(outline: Outline) -> None:
    ids = Counter(attributes["id"] for _, attributes in outline.elements if "id" in attributes)
    assert max(ids.values()) == 1
    for tag, attributes in outline.elements:
        targets = (attributes.get("aria-labelledby") or "").split()
        if tag in ("a", "use"):
            targets.append((attributes["href"] or "").removeprefix("#"))
        if "data-plot" in attributes:
            targets.append(attributes["data-plot"] or "")
        for target in targets:
            assert target in ids


def test_headings_skip_no_level(outline: Outline) -> None:
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))


def test_pictures_and_plots_have_a_text(outline: Outline) -> None:
    drawn = [attributes for _, attributes in outline.elements if attributes.get("role") == "img"]
    assert drawn
    assert all(attributes["aria-label"] for attributes in drawn)


def test_shows_every_model_and_section(outline: Outline) -> None:
    text = " ".join(outline.texts)
    for name in ("blend", *RECOMMENDERS):
        assert readable(name) in text
    sections = [attributes["id"] for attributes in outline.named("section")]
    assert sections == [
        "results",
        "segments",
        "blend",
        "training",
        "customers",
        "shop",
        "ingest",
        "timings",
        "settings",
    ]
    assert "12.5" in text
    assert "0.4000" in text


def test_carries_each_photograph_once(outline: Outline) -> None:
    photographs = [attributes["href"] for attributes in outline.named("image")]
    assert photographs
    assert len(photographs) == len(set(photographs))
    assert len(outline.named("use")) > len(photographs)


def test_twice_the_same_bytes(run: Any, page: Path, tmp_path: Path) -> None:
    assert run.write(tmp_path / "again.html") == page.read_text(encoding="utf-8")


def test_only_the_timings_depend_on_time(run: Any, page: Path, tmp_path: Path) -> None:
    slower = run.write(tmp_path / "slower.html", timings={"fit": {"seconds": 99, "peak_mib": 1}})
    assert slower != page.read_text(encoding="utf-8")
    assert _without_timings(slower) == _without_timings(page.read_text(encoding="utf-8"))
    never = run.write(tmp_path / "never.html", timings={})
    assert _without_timings(never) == _without_timings(slower)


def test_hostile_texts_are_texts(outline: Outline) -> None:
    assert not [attributes for _, attributes in outline.elements if "onerror" in attributes]
    assert not outline.named("img")
    assert all((link["href"] or "").startswith("#") for link in outline.named("a"))
    text = " ".join(outline.texts)
    assert "</script><script>alert('owned')</script>" in text
    assert "{{ 7 * 7 }}" in text


def test_without_examples_and_ceiling(run: Any, tmp_path: Path) -> None:
    outline = Outline(run.write(tmp_path / "bare.html", customers=0, ceiling=None))
    assert outline.open == []
    assert not outline.named("article")
    assert "best possible" not in " ".join(outline.texts)


@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM} to open the page in")
def test_in_a_browser(page: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=CHROMIUM_ARGS, timeout=30_000
        )
        for width, scheme in ((390, "light"), (1400, "dark")):
            _check_in(browser, page, width, scheme)
        browser.close()


def _check_in(browser: Any, page: Path, width: int, scheme: str) -> None:
    tab = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    events: list[str] = []
    tab.on("console", lambda message: events.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: events.append(f"error: {error}"))
    tab.on("dialog", lambda dialog: _note_dialog(dialog, events))
    tab.on("request", lambda request: _note_foreign(request.url, events))
    tab.goto(page.as_uri())
    tab.wait_for_selector(f"html[data-drawn={scheme}]", timeout=30_000)
    plots = tab.locator(".plot").count()
    assert plots > 10
    assert tab.locator(".plot:has(svg.main-svg)").count() == plots
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    background = "getComputedStyle(document.body).backgroundColor"
    before = tab.evaluate(background)
    other = "light" if scheme == "dark" else "dark"
    tab.emulate_media(color_scheme=other)
    tab.wait_for_selector(f"html[data-drawn={other}]", timeout=30_000)
    assert tab.evaluate(background) != before
    tab.set_viewport_size({"width": 390 + 1400 - width, "height": 844})
    tab.wait_for_timeout(300)
    assert tab.evaluate("document.documentElement.scrollWidth") == 390 + 1400 - width
    # The keyboard reaches the results first, and what scrolls inside itself.
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    assert tab.evaluate(
        "[...document.querySelectorAll('.scroll, .strip, pre')].every(box => box.tabIndex === 0)"
    )
    tab.close()
    assert events == []


def _note_foreign(url: str, events: list[str]) -> None:
    if not url.startswith(("file:", "data:", "blob:")):
        events.append(f"request: {url}")


def _note_dialog(dialog: Any, events: list[str]) -> None:
    events.append(f"dialog: {dialog.message}")
    dialog.dismiss()


def _without_timings(text: str) -> str:
    timed = r'<section id="timings".*?</section>|<div id="took">.*?</div>'
    return re.sub(timed, "", text, flags=re.DOTALL)
