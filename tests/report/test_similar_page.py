"""The page of a look-up: whole in a real browser, safe against hostile texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from browsing import browser, fits, needs_chromium, opened
from modiste.report.pictures import PictureFolder
from modiste.report.similar import similar_html
from shops import prepared_articles

SCRIPT = "</script></style><script>alert('owned')</script>"
IMAGE = '"\'><img src="http://evil.example/x.png" onerror=alert(1)>&amp;{{ 7 * 7 }}'


def _articles(n: int) -> pl.DataFrame:
    return prepared_articles(
        {
            "product_code": [f"{article // 2:07d}" for article in range(n)],
            "prod_name": [("Linen dress", SCRIPT, IMAGE, None)[a % 4] for a in range(n)],
            "product_type_name": [("Dress", "Gizmo", None)[a % 3] for a in range(n)],
            "colour_group_name": [("Dark Blue", IMAGE)[a % 2] for a in range(n)],
            "section_name": [("Womens", SCRIPT)[a % 2] for a in range(n)],
        }
    )


def _found(n: int, scores: list[float] | None = None) -> pl.DataFrame:
    return _articles(n).with_columns(
        score=pl.Series(scores or [1 - a / 20 for a in range(n)], dtype=pl.Float64),
        same_product=pl.Series([a % 2 == 0 for a in range(n)], dtype=pl.Boolean),
    )


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as launched:
        yield launched


@pytest.fixture
def page(tmp_path: Path) -> Path:
    images = tmp_path / "images" / "000"
    images.mkdir(parents=True)
    (images / "0000001.jpg").write_bytes(b"\xff\xd8\xff")
    text = similar_html(
        f"Articles like {IMAGE}",
        ["section is Womens", SCRIPT],
        _articles(2),
        _found(12),
        PictureFolder(tmp_path / "images"),
    )
    target = tmp_path / "similar.html"
    target.write_text(text, encoding="utf-8")
    return target


@needs_chromium
@pytest.mark.parametrize(
    ("width", "scheme"), [(360, "light"), (360, "dark"), (1400, "light"), (1400, "dark")]
)
def test_shows_all_at_every_width(chromium: Any, page: Path, width: int, scheme: str) -> None:
    with opened(chromium, page, width, scheme=scheme) as tab:
        assert fits(tab)
        assert tab.locator("#asked .tile").count() == 2
        assert tab.locator("#found .tile").count() == 12
        assert tab.locator("#found .same").count() == 6
        assert tab.locator("h1").inner_text() == f"Articles like {IMAGE}"
        first = tab.locator("#found .tile").first.inner_text()
        for text in ("Linen dress", "Dress", "Dark Blue", "Womens", "0000000000", "1.000"):
            assert text in first
        assert SCRIPT in tab.locator("#found .tile").nth(1).inner_text()
        assert tab.locator("script, img").count() == 0


@needs_chromium
def test_the_keyboard_reaches_every_tile_in_order(chromium: Any, page: Path) -> None:
    with opened(chromium, page) as tab:
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.className") == "skip"
        reached = []
        for _ in range(14):
            tab.keyboard.press("Tab")
            reached.append(
                tab.evaluate(
                    "[...document.querySelectorAll('.tile')].indexOf(document.activeElement)"
                )
            )
            assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        assert reached == list(range(14))


def test_a_question_in_words_that_finds_nothing(tmp_path: Path) -> None:
    none = similar_html("  ", ["on sale"], _articles(0), _found(0), PictureFolder(None))
    assert "Nothing was found." in none
    assert "ask again with fewer" in none
    assert "Asked about" not in none
    assert "<h1>Look-up</h1>" in none


def test_scores_below_nought_have_no_bar() -> None:
    page = similar_html("red", [], _articles(0), _found(2, [0.5, -0.25]), PictureFolder(None))
    assert "−0.250" in page
    assert 'class="bar"' not in page
    page = similar_html("red", [], _articles(0), _found(2, [0.5, 0.25]), PictureFolder(None))
    assert "width:50.0%" in page
