"""The map in a real browser: search, keyboard, hover, hostile texts, and catalogues of any size."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from browsing import browser, fits, needs_chromium, opened
from modiste.errors import DataError
from modiste.report.catalogue_map import catalogue_map_html
from modiste.report.pictures import PictureFolder
from shops import prepared_articles

SCRIPT = "</script></style><script>alert('owned')</script><!--<script>"
IMAGE = '"\'><img src="http://evil.example/x.png" onerror=alert(1)>&amp;{{ 7 * 7 }}'

# Articles of a row lie from left to right, rows from top to bottom, 5 to a row.
GRID = np.array([(n % 5, -(n // 5)) for n in range(30)], dtype=np.float32)

# The beginning of a JPEG: what it shows is of no matter here.
PHOTO = b"\xff\xd8\xff"


def _articles(n: int) -> pl.DataFrame:
    hostile = {3: SCRIPT, 4: IMAGE, 5: None}
    return prepared_articles(
        {
            "product_code": [f"{article // 2:07d}" for article in range(n)],
            "prod_name": [hostile.get(a, f"Linen dress {a}") for a in range(n)],
            "product_type_name": [("Dress", "Gizmo", None)[a % 3] for a in range(n)],
            "product_group_name": [f"Group {a % 15}" for a in range(n)],
            "colour_group_name": [("Dark Blue", IMAGE)[a % 2] for a in range(n)],
            "section_name": [SCRIPT if a % 5 == 4 else f"Section {a % 5}" for a in range(n)],
            "detail_desc": [IMAGE if a % 2 else "Soft linen." for a in range(n)],
        }
    )


def _write(target: Path, articles: pl.DataFrame, places: npt.NDArray[np.float32]) -> Path:
    images = target.parent / "images" / "000"
    images.mkdir(parents=True, exist_ok=True)
    (images / "0000012.jpg").write_bytes(PHOTO)
    page = catalogue_map_html(articles, places, PictureFolder(images.parent), title=f"Map {IMAGE}")
    target.write_text(page, encoding="utf-8")
    return target


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as launched:
        yield launched


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(tmp_path_factory.mktemp("map") / "map.html", _articles(30), GRID)


def _ready(tab: Any) -> Any:
    tab.wait_for_selector("html[data-ready]", state="attached")
    return tab


def _chosen(tab: Any) -> str:
    return str(tab.locator("#details-title").inner_text())


def _press(tab: Any, *keys: str) -> None:
    for key in keys:
        tab.keyboard.press(key)
    # The marks follow with the next frame.
    tab.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def _ring(tab: Any) -> tuple[float, float]:
    """Where the chosen article lies on the screen."""
    box = tab.locator("#ring").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@needs_chromium
def test_search_highlights_and_jumps_from_match_to_match(chromium: Any, page: Path) -> None:
    with opened(chromium, page) as tab:
        _ready(tab).locator("#search").fill("LÍNEN dress 2")
        tab.wait_for_selector("#suggestions li")
        # 2 and 20 to 29.
        assert tab.locator("#matches").inner_text() == "11 matches"
        assert tab.locator("#suggestions mark").first.inner_text() == "Linen dress 2"
        visited = []
        for _ in range(3):
            _press(tab, "Enter")
            visited.append(_chosen(tab))
            stage = tab.locator("#stage").bounding_box()
            middle = (stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2)
            assert _ring(tab) == pytest.approx(middle, abs=2)
        assert visited == ["Linen dress 2", "Linen dress 20", "Linen dress 21"]
        assert tab.locator("#matches").inner_text() == "3 of 11"
        _press(tab, "Shift+Enter")
        assert _chosen(tab) == "Linen dress 20"
        # By id, and chosen from the list.
        tab.locator("#search").fill("000000001")
        tab.wait_for_selector("#suggestions li >> nth=6")
        _press(tab, "ArrowDown", "ArrowDown", "Enter")
        assert _chosen(tab) == "Linen dress 11"
        tab.locator("#search").fill("no such thing")
        tab.wait_for_selector("#matches:text-is('Nothing found')")
        _press(tab, "Enter")
        assert _chosen(tab) == "Linen dress 11"


@needs_chromium
def test_the_keyboard_moves_zooms_and_resets(chromium: Any, page: Path) -> None:
    with opened(chromium, page) as tab:
        _ready(tab)
        for _ in range(9):
            if tab.evaluate("document.activeElement.id") == "stage":
                break
            tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.id") == "stage"
        _press(tab, "ArrowRight")
        assert _chosen(tab) in ("Linen dress 12", "Linen dress 17")
        _press(tab, *["ArrowUp"] * 5, *["ArrowLeft"] * 5)
        assert _chosen(tab) == "Linen dress 0"
        assert "no article farther" in tab.locator("#said").inner_text()
        _press(tab, "ArrowRight", "ArrowDown")
        assert _chosen(tab) == "Linen dress 6"
        assert "Linen dress 6, Dress, Dark Blue, Section 1" in tab.locator("#said").inner_text()
        assert tab.locator("#card b").inner_text() == "Linen dress 6"
        before = _ring(tab)
        _press(tab, "ArrowRight")
        step = _ring(tab)[0] - before[0]
        _press(tab, "+", "+")
        near = _ring(tab)
        _press(tab, "ArrowRight")
        assert _ring(tab)[0] - near[0] > 2 * step or _chosen(tab) == "Linen dress 8"
        _press(tab, "Escape")
        assert _chosen(tab) == "No article chosen"
        assert tab.locator("#ring").is_hidden()
        assert tab.locator("#card").is_hidden()
        # Nothing is a trap: Tab goes on.
        _press(tab, "Tab")
        assert tab.evaluate("document.activeElement.id") == "nearer"


@needs_chromium
def test_hover_shows_name_and_picture_and_a_click_chooses(chromium: Any, page: Path) -> None:
    with opened(chromium, page) as tab:
        _ready(tab).locator("#search").fill("dress 24")
        tab.wait_for_selector("#suggestions li")
        _press(tab, "Enter")
        x, y = _ring(tab)
        assert tab.locator("#card").is_hidden()
        tab.mouse.move(x + 3, y - 2)
        tab.wait_for_selector("#card", state="visible")
        assert tab.locator("#card b").inner_text() == "Linen dress 24"
        assert tab.locator("#card image").get_attribute("href").startswith("data:image/jpeg;base64")
        tab.mouse.move(x + 60, y - 60)
        tab.wait_for_selector("#card", state="hidden")
        tab.mouse.click(x + 60, y - 60)
        assert _chosen(tab) == "No article chosen"
        tab.mouse.click(x, y)
        assert _chosen(tab) == "Linen dress 24"
        assert "Soft linen." in tab.locator("#about").inner_text()
        assert tab.locator("#about .near button").count() == 6
        # Others of the product share the photograph, the rest is drawn.
        tab.locator("#about .near button").first.click()
        assert _chosen(tab) != "Linen dress 24"
        assert tab.locator("#about .picture path, #about .picture text").count() > 0


@needs_chromium
def test_dragging_and_the_wheel_move_the_map(chromium: Any, page: Path) -> None:
    with opened(chromium, page) as tab:
        _ready(tab).focus("#stage")
        _press(tab, "ArrowRight")
        x, y = _ring(tab)
        tab.mouse.move(x + 80, y + 80)
        tab.mouse.down()
        tab.mouse.move(x + 120, y + 60, steps=4)
        tab.mouse.up()
        _press(tab)
        assert _ring(tab) == pytest.approx((x + 40, y - 20), abs=2)
        # The point below the pointer stays there.
        tab.mouse.move(x + 40, y - 20)
        tab.mouse.wheel(0, -300)
        tab.wait_for_timeout(300)
        assert _ring(tab) == pytest.approx((x + 40, y - 20), abs=3)
        tab.locator("#reset").click()
        assert _chosen(tab) == "No article chosen"


@needs_chromium
def test_fingers_move_zoom_and_choose(chromium: Any, page: Path) -> None:
    with opened(chromium, page, 390, 844) as tab:
        _ready(tab).focus("#stage")
        _press(tab, "ArrowRight")
        x, y = _ring(tab)
        chosen = _chosen(tab)
        _press(tab, "ArrowUp")
        gap = y - _ring(tab)[1]
        fingers = tab.context.new_cdp_session(tab)

        def touch(kind: str, *points: tuple[float, float]) -> None:
            places = [{"x": px, "y": py, "id": n} for n, (px, py) in enumerate(points)]
            fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

        touch("touchStart", (x - 30, y), (x + 30, y))
        for part in range(1, 7):
            touch("touchMove", (x - 30 - 5 * part, y), (x + 30 + 5 * part, y))
        touch("touchEnd")
        _press(tab)
        assert y - _ring(tab)[1] == pytest.approx(2 * gap, abs=4)
        # A tap where the first one still lies, between the fingers.
        touch("touchStart", (x + 3, y))
        touch("touchEnd")
        _press(tab)
        assert _chosen(tab) == chosen


@needs_chromium
def test_legend_isolates_a_group(chromium: Any, page: Path) -> None:
    with opened(chromium, page) as tab:
        _ready(tab)
        assert tab.locator("#largest button").count() == 5
        button = tab.locator("#largest button").first
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        name = button.locator(".label").inner_text()
        # The arrows go through this group alone.
        tab.focus("#stage")
        for key in ("ArrowRight", "ArrowDown", "ArrowDown"):
            _press(tab, key)
            assert name in tab.locator("#about dl").inner_text()
        button.click()
        assert button.get_attribute("aria-pressed") == "false"
        tab.locator("#coloured-by").select_option("product_group_name")
        assert tab.locator("#legend-title").inner_text() == "Product group"
        assert tab.locator("#largest button").count() == 12
        tab.locator("#rest summary").click()
        assert tab.locator("#rest button").count() == 3


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_phone_and_is_drawn(chromium: Any, page: Path, scheme: str) -> None:
    with opened(chromium, page, 360, 780, scheme) as tab:
        assert fits(_ready(tab))
        tab.locator("#search").fill("onerror")
        tab.wait_for_selector("#suggestions li")
        assert fits(tab)
        _press(tab, "Enter")
        assert fits(tab)
        tab.focus("#stage")
        _press(tab, "ArrowLeft")
        card, stage = (tab.locator(name).bounding_box() for name in ("#card", "#stage"))
        assert card["x"] >= stage["x"]
        assert card["x"] + card["width"] <= stage["x"] + stage["width"]
        shot = tab.locator("#stage").screenshot()
        tab.locator("#points").evaluate("canvas => canvas.remove()")
        assert tab.locator("#stage").screenshot() != shot


@needs_chromium
def test_hostile_texts_are_texts(chromium: Any, page: Path) -> None:
    with opened(chromium, page) as tab:
        assert tab.title() == f"modiste · Map {IMAGE}"
        _ready(tab).locator("#search").fill("script>alert")
        tab.wait_for_selector("#suggestions li")
        _press(tab, "Enter")
        assert _chosen(tab) == SCRIPT
        tab.locator("#search").fill("onerror")
        tab.wait_for_selector("#suggestions li")
        _press(tab, "Enter")
        assert _chosen(tab) == IMAGE
        assert IMAGE not in tab.content()
        assert tab.locator("img").count() == 0
        assert tab.locator("script").count() == 4
        assert SCRIPT in tab.locator("#largest").inner_text()


@needs_chromium
def test_articles_without_a_place_are_found_by_the_search(chromium: Any, tmp_path: Path) -> None:
    places = GRID.copy()
    places[7] = np.nan
    places[8, 1] = np.inf
    with opened(chromium, _write(tmp_path / "nan.html", _articles(30), places)) as tab:
        _ready(tab)
        assert "28 articles" in tab.locator("header").inner_text()
        assert "2 others have no place here" in tab.locator("header").inner_text()
        tab.locator("#search").fill("dress 8")
        tab.wait_for_selector("#suggestions li")
        _press(tab, "Enter")
        assert _chosen(tab) == "Linen dress 8"
        assert "no place on the map" in tab.locator("#about").inner_text()
        assert tab.locator("#ring").is_hidden()
        tab.locator("#search").fill("dress 9")
        tab.wait_for_selector("#suggestions li")
        _press(tab, "Enter")
        assert _chosen(tab) == "Linen dress 9"
        assert tab.locator("#ring").is_visible()


@needs_chromium
def test_no_article_and_no_place(chromium: Any, tmp_path: Path) -> None:
    nowhere = np.full((30, 2), np.nan, dtype=np.float32)
    for articles, places, says in (
        (_articles(0), np.empty((0, 2), dtype=np.float32), "empty"),
        (_articles(30), nowhere, "No article has a place"),
    ):
        with opened(chromium, _write(tmp_path / "none.html", articles, places), 360) as tab:
            _ready(tab)
            assert says in tab.locator("#nothing").inner_text()
            tab.locator("#search").fill("dress 1")
            tab.focus("#stage")
            _press(tab, "ArrowRight", "+", "Escape")
            tab.mouse.move(150, 400)
            tab.locator("#reset").click()
            assert fits(tab)


@needs_chromium
@pytest.mark.parametrize("n", [1, 4])
def test_points_at_one_place(chromium: Any, tmp_path: Path, n: int) -> None:
    places = np.full((n, 2), 3.5, dtype=np.float32)
    with opened(chromium, _write(tmp_path / "one.html", _articles(n), places)) as tab:
        _ready(tab).focus("#stage")
        seen = []
        for _ in range(n + 1):
            _press(tab, "ArrowRight")
            seen.append(tab.locator("#about code").inner_text())
        # The arrow reaches each of those that lie on each other, and stays at the last.
        assert len(set(seen)) == n
        assert seen[-1] == seen[-2]
        _press(tab, "+", "+", "-")
        stage = tab.locator("#stage").bounding_box()
        middle = (stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2)
        assert _ring(tab) == pytest.approx(middle, abs=2)


@needs_chromium
def test_says_so_without_webgl(chromium: Any, page: Path) -> None:
    without = "HTMLCanvasElement.prototype.getContext = () => null"
    with opened(chromium, page, before=without) as tab:
        _ready(tab)
        assert "needs WebGL 2" in tab.locator("#nothing").inner_text()
        tab.locator("#search").fill("dress 8")
        tab.wait_for_selector("#suggestions li")
        _press(tab, "Enter")
        assert _chosen(tab) == "Linen dress 8"


def _script(page: str, name: str) -> Any:
    found = re.search(f'<script type="application/json" id="{name}">(.*?)</script>', page, re.S)
    assert found
    return json.loads(found[1])


def test_photographs_fill_no_more_than_their_budget(tmp_path: Path) -> None:
    (tmp_path / "000").mkdir()
    for product in range(5):
        (tmp_path / "000" / f"{product:07d}.jpg").write_bytes(PHOTO + bytes([product] * 300))
    folder = PictureFolder(tmp_path)
    one = len(folder.embedded(tmp_path / "000" / "0000000.jpg") or "")

    def carried(budget: int, priority: list[int] | None = None) -> set[int]:
        page = catalogue_map_html(
            _articles(30), GRID, folder, photograph_bytes=budget, priority=priority
        )
        photographs = _script(page, "photographs")
        assert len(photographs["files"]) <= budget / one
        # The others have product 0's, by the beginning of their ids.
        return {int(article) for article in photographs["of"]} & set(range(10))

    assert carried(0) == set()
    assert carried(2 * one) == {0, 1, 2, 3}
    assert carried(2 * one, [9, 3, 0]) == {9, 8, 3, 2}
    assert carried(10 * one) == set(range(10))


def test_what_repeats_is_sent_once() -> None:
    page = catalogue_map_html(_articles(30), GRID, PictureFolder(None))
    catalogue = _script(page, "catalogue")
    assert len(catalogue["drawings"]["outlines"]) == 1
    assert len(catalogue["drawings"]["kinds"]) == 2 + 2
    assert len(_script(page, "descriptions")["values"]) == 2
    assert page == catalogue_map_html(_articles(30), GRID, PictureFolder(None))


def test_places_must_fit_the_articles() -> None:
    with pytest.raises(DataError, match=r"30 articles needs places of the shape \(30, 2\)"):
        catalogue_map_html(_articles(30), GRID[:4], PictureFolder(None))
    with pytest.raises(DataError, match="choose one of section_name"):
        catalogue_map_html(_articles(30), GRID, PictureFolder(None), colour_by="price")
