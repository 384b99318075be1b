"""Similar articles: from prepared tables through the stages to the answer of a look-up."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import faiss
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from modiste.cli import app
from modiste.config import Config, load_config
from modiste.engine import Engine
from modiste.errors import DataError
from modiste.lookup import ArticleLookup, Filters
from modiste.pipeline import run_article_pipeline
from shops import write_prepared

KINDS = ["Dress", "Trousers", "Sweater", "Tights", "Sandals", "Bikini top", "Raincoat", "Beanie"]
COLOURS = ["Black", "Red", "Light Blue", "Dark Green", "Yellow"]
FIRST = date(2020, 6, 1)
DAYS = 60


def article(kind: str, colour: str) -> str:
    """The id of a kind in a colour."""
    return f"{KINDS.index(kind):07d}{COLOURS.index(colour):03d}"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give eight products in five colours each; those in yellow were sold long ago or never."""
    things = [(kind, colour) for kind in KINDS for colour in COLOURS]
    return write_prepared(
        tmp_path_factory.mktemp("shop"),
        articles=pl.DataFrame(
            {
                "article": range(len(things) + 1),
                "article_id": [*(article(*thing) for thing in things), "0999999001"],
                "product_code": [*(article(*thing)[:7] for thing in things), None],
                "prod_name": [*(f"Nice {kind.lower()}" for kind, _ in things), None],
                "product_type_name": [*(kind for kind, _ in things), None],
                "colour_group_name": [*(colour for _, colour in things), None],
                "section_name": [
                    *("Sea" if kind in KINDS[4:6] else "Town" for kind, _ in things),
                    None,
                ],
            }
        ),
        customers=pl.DataFrame({"customer": range(3)}),
        transactions=pl.DataFrame(
            [
                {
                    "customer": row % 3,
                    "article": row,
                    "t_dat": FIRST + timedelta(days=DAYS - 1 - day),
                    "price": 0.01 * (row + 1) * price,
                }
                for row, (_, colour) in enumerate(things)
                for day, price in ((0, 1), (1, 3))
                if colour != "Yellow"
            ]
            + [{"customer": 0, "article": 4, "t_dat": FIRST, "price": 0.05}]
        ),
    )


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(overrides=["vectors.enabled=true", "vectors.encoder.model=all-MiniLM-L6-v2"])


@pytest.fixture(scope="module")
def run(shop: Path, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    cache = tmp_path_factory.mktemp("cache")
    vectors = config.vectors.model_copy(update={"cache": cache})
    with Engine() as engine:
        run_article_pipeline(str(shop), out, config.model_copy(update={"vectors": vectors}), engine)
    return out


@pytest.fixture(scope="module")
def lookup(run: Path) -> ArticleLookup:
    return ArticleLookup.open(run)


def test_other_colours_of_the_same_product_are_nearest(lookup: ArticleLookup) -> None:
    found = lookup.similar(article("Dress", "Red"), k=6)
    assert found["same_product"].to_list() == [True] * 4 + [False] * 2
    assert article("Dress", "Red") not in found["article_id"]
    assert found["score"].is_sorted(descending=True)


def test_words_find_what_they_say(lookup: ArticleLookup) -> None:
    assert (
        lookup.similar(text="something for a rainy day", k=5)["product_type_name"].to_list()
        == ["Raincoat"] * 5
    )
    assert lookup.similar(text="yellow dress", k=1)["article_id"].item() == article(
        "Dress", "Yellow"
    )


def test_unlike_keeps_away(lookup: ArticleLookup) -> None:
    red_dress, black_dress = article("Dress", "Red"), article("Dress", "Black")

    def mean_place_of_black(unlike: list[str]) -> float:
        found = lookup.similar(red_dress, unlike=unlike, k=lookup.articles.height)
        assert not set(unlike) & set(found["article_id"])
        others = found.filter(pl.col("article_id") != black_dress)
        return float(np.mean(others["colour_group_name"].eq("Black").arg_true().to_numpy()))

    assert mean_place_of_black([black_dress]) > mean_place_of_black([])


def test_filters(lookup: ArticleLookup) -> None:
    dress = article("Dress", "Red")
    every = lookup.articles.height
    on_sale = lookup.similar(dress, filters=Filters(on_sale=True), k=every)
    assert on_sale["on_sale"].all()
    assert on_sale.height == 8 * 4 - 1
    assert "Yellow" not in on_sale["colour_group_name"]
    at_sea = lookup.similar(dress, filters=Filters(where={"section_name": "sea"}), k=every)
    assert set(at_sea["product_type_name"]) == {"Sandals", "Bikini top"}
    assert at_sea.height == 10
    cheap = lookup.similar(dress, filters=Filters(max_price=0.2, min_price=0.1), k=every)
    assert cheap.height
    assert cheap["price"].is_between(0.1, 0.2).all()
    without = [article("Dress", "Black")]
    found = lookup.similar(dress, filters=Filters(without=without), k=every)
    assert not found["article_id"].is_in(without).any()
    nothing = lookup.similar(dress, filters=Filters(min_price=1e9), k=3)
    assert nothing.is_empty()


def test_the_price_is_that_of_the_last_day(lookup: ArticleLookup) -> None:
    black_dress = lookup.articles.filter(article_id=article("Dress", "Black"))
    assert black_dress["price"].item() == pytest.approx(0.01)
    never_sold = lookup.articles.filter(article_id=article("Beanie", "Yellow"))
    assert never_sold["price"].item() is None


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ({"articles": ["1001"]}, "no article '1001': did you mean '0000001001'"),
        ({"articles": ["nonsense"]}, "no article 'nonsense'"),
        ({"articles": ["0999999001"]}, "has no text, and so no vector"),
        ({"articles": []}, "nothing to look for"),
        ({"articles": [], "text": "  "}, "the text to look for is empty"),
        ({"filters": Filters(where={"section": "Sea"})}, "'section_no' or 'section_name'"),
        ({"filters": Filters(where={"section_name": "Se"})}, "did you mean 'Sea'"),
        ({"filters": Filters(without=["7"])}, "no article '7'"),
    ],
)
def test_what_cannot_be_answered_is_told(
    lookup: ArticleLookup, question: dict[str, object], told: str
) -> None:
    articles = question.pop("articles", [article("Dress", "Red")])
    with pytest.raises(DataError, match=told):
        lookup.similar(*articles, **question)  # type: ignore[arg-type,misc]


def test_a_run_without_vectors_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="modiste embed"):
        ArticleLookup.open(tmp_path)


def test_the_published_index_opens_with_plain_faiss(run: Path, lookup: ArticleLookup) -> None:
    index = faiss.read_index(str(run / "item_faiss_index.bin"))
    assert index.ntotal == lookup.articles.height - 1, "the article without a text is left out"
    assert (run / "catalogue_map.html").is_file()


def test_started_again_nothing_is_redone(run: Path, shop: Path, config: Config) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    with Engine() as engine:
        run_article_pipeline(str(shop), run, config, engine)
    after = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    redone = {path.name for path in after if before.get(path) != after[path]}
    assert redone <= {".lock"}


def test_the_command_line(run: Path, tmp_path: Path) -> None:
    dress = article("Dress", "Red")
    ask = ["similar", dress, "--run", str(run), "-k", "3"]
    table = CliRunner().invoke(app, ask)
    assert table.exit_code == 0, table.output
    assert "same product" in table.output
    answer = CliRunner().invoke(
        app, [*ask, "--not", article("Dress", "Black"), "--where", "section_name=Town", "--json"]
    )
    read = json.loads(answer.stdout)
    assert len(read["found"]) == 3
    assert read["filters"] == ["section_name: Town"]
    page = tmp_path / "page.html"
    CliRunner().invoke(app, [*ask, "--html", str(page)])
    assert "Nice dress" in page.read_text()
    assert CliRunner().invoke(app, [*ask, "--where", "nonsense"]).exit_code == 2
