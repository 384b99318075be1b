"""What is said of articles: facts beside a naive count, what is like them, what is found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import polars as pl
import pytest

from modiste.config import load_config
from modiste.data.dataset import Dataset, History
from modiste.engine import Engine
from modiste.lookup import ArticleLookup, Filters
from modiste.pipeline import run_article_pipeline
from modiste.service.bundle import Bundle
from modiste.service.export import export_bundle
from modiste.service.settings import ServiceSettings
from serving import UNHURRIED, assert_problem, serving


@pytest.fixture(scope="module")
def history(small_shop: Dataset) -> History:
    return small_shop.until(small_shop.next_day)


@pytest.fixture(scope="module")
def purchases(history: History) -> pl.DataFrame:
    return pl.concat(
        batch.transactions.join(batch.customers, on="customer") for batch in history.batches()
    )


def told(answer: httpx2.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_an_article_is(client: httpx2.Client, history: History) -> None:
    for row in history.articles.iter_rows(named=True):
        article = told(client.get(f"/v1/articles/{row['article_id']}"))
        assert article["article_id"] == row["article_id"]
        assert article["section"] == row["section_name"]
        assert article["description"] == row["detail_desc"]
        assert article["attributes"] == {
            "section_name": row["section_name"],
            "department_name": row["department_name"],
        }
        colours = history.articles.filter(
            pl.col("product_code") == row["product_code"], pl.col("article") != row["article"]
        )
        assert [each["article_id"] for each in article["colours"]] == colours[
            "article_id"
        ].to_list()


def test_sales_by_week(client: httpx2.Client, history: History, purchases: pl.DataFrame) -> None:
    for code, article_id in history.articles.select("article", "article_id").iter_rows():
        sold = Counter(
            (history.as_of - day).days - 1
            for day in purchases.filter(pl.col("article") == code)["t_dat"]
        )
        expected = {
            (history.as_of - timedelta(days=7 * (week + 1))).isoformat(): sum(
                n for ago, n in sold.items() if ago // 7 == week
            )
            for week in range(max(sold) // 7 + 1 if sold else 0)
        }
        weeks = told(client.get(f"/v1/articles/{article_id}"))["sales"]
        assert {each["first_day"]: each["pieces"] for each in weeks} == expected
        assert [each["first_day"] for each in weeks] == sorted(expected)


def test_who_buys(client: httpx2.Client, history: History, purchases: pl.DataFrame) -> None:
    for code, article_id in history.articles.select("article", "article_id").iter_rows():
        ages = purchases.filter(pl.col("article") == code).unique("customer")["age"]
        buyers = told(client.get(f"/v1/articles/{article_id}"))["buyers"]
        found = {each["ages"]: each["buyers"] for each in buyers}
        assert found["unknown"] == ages.null_count()
        assert found["60+"] == (ages >= 60).sum()
        assert found["20-24"] == ages.is_between(20, 24).sum()
        assert sum(found.values()) == len(ages)
        assert sum(each["share"] for each in buyers) == pytest.approx(1 if len(ages) else 0)


def test_without_vectors_what_is_bought_together_is_alike(
    client: httpx2.Client, bundle: Bundle
) -> None:
    own = bundle.articles["article_id"][0]
    found = told(client.get(f"/v1/articles/{own}/similar", params={"k": 5}))
    assert found["by"] == "bought together"
    assert 0 < len(found["articles"]) <= 5
    assert own not in [each["article_id"] for each in found["articles"]]
    scores = [each["score"] for each in found["articles"]]
    assert all(each["on_sale"] for each in found["articles"])
    assert min(scores) > 0


def test_without_vectors_the_words_are_looked_for(client: httpx2.Client, bundle: Bundle) -> None:
    found = told(client.get("/v1/search", params={"q": "NUMBER 17", "k": 3}))
    assert found["by"] == "words"
    assert found["articles"][0]["article_id"] == bundle.articles["article_id"][17]
    started = told(client.get("/v1/search", params={"q": "numb", "k": 200, "on_sale": False}))
    assert len(started["articles"]) == bundle.articles.height
    offered = told(client.get("/v1/search", params={"q": "numb", "k": 200}))
    assert len(offered["articles"]) == bundle.articles["on_sale"].sum()
    assert told(client.get("/v1/search", params={"q": "unheard"}))["articles"] == []


@pytest.mark.parametrize(
    "text",
    ['"', "' OR 1=1 --", "a AND", "NEAR(", "*", "^", "{}", "-", "\x00", "👗", "words:x", "  "],
)
def test_no_words_are_commands(text: str, client: httpx2.Client) -> None:
    assert told(client.get("/v1/search", params={"q": text}))["by"] == "words"


def test_what_rules_can_name(client: httpx2.Client, bundle: Bundle) -> None:
    columns = {each["column"]: each["values"] for each in told(client.get("/v1/attributes"))}
    for column in ("section_name", "department_name"):
        values = {each["value"]: each["articles"] for each in columns[column]}
        assert values == dict(Counter(bundle.articles[column].to_list()))
        assert sum(each["on_sale"] for each in columns[column]) == bundle.articles["on_sale"].sum()


@pytest.mark.parametrize("path", ["/v1/articles/{}", "/v1/articles/{}/similar"])
@pytest.mark.parametrize("unknown", ["nothing", "..%2f", "%00", "1", "%3Cscript%3E"])
def test_unknown_articles(path: str, unknown: str, client: httpx2.Client) -> None:
    assert_problem(client.get(path.format(unknown)), 404)


def test_similar_customers_without_vectors(client: httpx2.Client, bundle: Bundle) -> None:
    answer = client.get(f"/v1/customers/{bundle.customers.customer_id(1)}/similar")
    assert_problem(answer, 404, "no vectors of customers")


@pytest.fixture(scope="module")
def run_with_vectors(
    small_shop: Dataset, served_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The served run, and beside what it has fitted the vectors of the articles' texts."""
    folder = tmp_path_factory.mktemp("with_vectors")
    config = load_config(
        overrides=[
            "vectors.enabled=true",
            "vectors.encoder.model=all-MiniLM-L6-v2",
            "vectors.map=false",  # tests/test_lookup.py has one; UMAP takes long to compile
            f"vectors.cache={folder / 'cache'}",
        ]
    )
    with Engine() as engine:
        run_article_pipeline(str(small_shop.folder), folder / "run", config, engine)
    (folder / "run" / "stages" / "fit").symlink_to(served_run / "stages" / "fit")
    return folder / "run"


@pytest.fixture(scope="module")
def client_with_vectors(
    run_with_vectors: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx2.Client]:
    folder = tmp_path_factory.mktemp("bundle_with_vectors") / "bundle"
    export_bundle(run_with_vectors, folder)
    with serving(Bundle.open(folder), ServiceSettings(limits=UNHURRIED)) as client:
        yield client


def test_vectors_find_what_the_run_finds(
    client_with_vectors: httpx2.Client, run_with_vectors: Path
) -> None:
    lookup = ArticleLookup.open(run_with_vectors)
    own = lookup.articles["article_id"][3]
    found = told(client_with_vectors.get(f"/v1/articles/{own}/similar", params={"k": 7}))
    expected = lookup.similar(own, k=7, filters=Filters(on_sale=True))
    assert found["by"] == "vectors"
    assert [each["article_id"] for each in found["articles"]] == expected["article_id"].to_list()
    words = told(
        client_with_vectors.get("/v1/search", params={"q": "section 2", "k": 9, "on_sale": False})
    )
    assert words["by"] == "vectors"
    expected = lookup.similar(text="section 2", k=9)
    assert [each["article_id"] for each in words["articles"]] == expected["article_id"].to_list()
