"""What the page asks beside the API's lists: pictures, samples, later purchases, measurements."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import httpx2
import numpy as np
import polars as pl
import pytest
from PIL import Image

from modiste.data.dataset import Dataset
from modiste.errors import DataError
from modiste.evaluation.metrics import score_customers
from modiste.service.bundle import Bundle
from modiste.service.export import export_bundle
from modiste.service.pictures import drawing
from modiste.service.settings import ServiceSettings
from serving import UNHURRIED, assert_problem, serving

PHOTOGRAPHED = f"{3:010d}"


def next_days(shop: Dataset) -> pl.DataFrame:
    """What 20 customers buy after the shop's data, and somebody whom nobody knows."""
    rng = np.random.default_rng(4)
    customers = [*(f"{code:064d}" for code in range(20) for _ in range(3)), "a stranger"]
    return pl.DataFrame(
        {
            "t_dat": [shop.next_day.isoformat()] * len(customers),
            "customer_id": customers,
            "article_id": [f"{code:010d}" for code in rng.integers(0, 12, len(customers))],
        }
    )


@pytest.fixture(scope="module")
def told(served_run: Path, small_shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle that was told what was bought later."""
    folder = tmp_path_factory.mktemp("told")
    next_days(small_shop).write_csv(folder / "later.csv")
    export_bundle(served_run, folder / "bundle", purchases=folder / "later.csv")
    return Bundle.open(folder / "bundle")


@pytest.fixture(scope="module")
def teller(told: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    images = tmp_path_factory.mktemp("images")
    (images / "000").mkdir()
    Image.new("RGB", (20, 30), "teal").save(images / "000" / f"{PHOTOGRAPHED}.jpg")
    with serving(told, ServiceSettings(limits=UNHURRIED, images=images)) as client:
        yield client


def evaluated(client: httpx2.Client, **wanted: object) -> list[dict[str, object]]:
    answer = client.post("/v1/evaluations", json=wanted)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def test_evaluation_without_rules_is_the_map_of_what_is_recommended(
    teller: httpx2.Client, small_shop: Dataset
) -> None:
    later = next_days(small_shop).filter(pl.col("customer_id") != "a stranger")
    labels = later.select(
        customer=pl.col("customer_id").cast(pl.Int32), article=pl.col("article_id").cast(pl.Int32)
    )
    ids = later["customer_id"].unique(maintain_order=True).to_list()
    lists = teller.post("/v1/batch/recommendations", json={"customer_ids": ids}).json()
    rows = [
        (int(each["customer_id"]), int(article["article_id"]), article["rank"])
        for each in lists["customers"]
        for article in each["recommendations"]
    ]
    recommended = pl.DataFrame(rows, schema=["customer", "article", "rank"], orient="row")
    expected = score_customers(
        recommended.cast({"customer": pl.Int32, "article": pl.Int32}), labels
    )["average_precision"]
    *_, last = evaluated(teller)
    assert (last["customers"], last["done"], last["changed"]) == (20, 20, 0)
    assert last["before"]["mean"] == pytest.approx(expected.mean())  # type: ignore[index]
    assert last["after"] == last["before"]
    assert last["change"] == {"mean": 0, "low": 0, "high": 0}


def test_evaluation_tells_how_far_it_is_and_what_rules_change(teller: httpx2.Client) -> None:
    bought = [f"{code:010d}" for code in range(12)]
    first, *_, last = evaluated(teller, rules={"exclude_articles": bought}, customers=15)
    assert (first["done"], first["before"]) == (0, None)
    assert last["done"] == last["customers"] == 15
    # Nothing that was bought may be shown.
    assert last["after"]["mean"] == 0  # type: ignore[index]
    assert last["change"]["mean"] == -last["before"]["mean"] < 0  # type: ignore[index]


def test_weights_by_request_are_those_of_a_hybrid_that_has_them(
    teller: httpx2.Client, told: Bundle
) -> None:
    customer = f"{7:064d}"
    address = f"/v1/customers/{customer}/recommendations"
    weights = {"blend": 0.0, "logistic": 1.0}
    batch = told.customers.batch([7])
    expected = told.hybrid.with_weights(weights).recommend(batch, 12)["article"].to_list()
    for reasons in (False, True):
        wanted = {"scorer_weights": weights, "reasons": reasons}
        found = teller.post(address, json=wanted).json()["recommendations"]
        assert [int(each["article_id"]) for each in found] == expected
    own = teller.get(address).json()["recommendations"]
    assert [int(each["article_id"]) for each in own] != expected
    scorers = {each["scorer"]: each["weights"] for each in teller.get("/v1/scorers").json()}
    assert scorers["lightgbm"] == {"cold": 0.5, "lately": 0.5, "earlier": 0.5}
    (*_, alone) = evaluated(teller, scorer_weights=weights)
    assert alone["changed"]
    for wrong, said in (({"nobody": 1.0}, "no scorer nobody"), ({"blend": 0.0}, "more than 0")):
        assert_problem(teller.post(address, json={"scorer_weights": wrong}), 422, said)
        assert_problem(teller.post("/v1/evaluations", json={"scorer_weights": wrong}), 422, said)


def test_evaluation_refuses_rules_of_another_shop(teller: httpx2.Client) -> None:
    answer = teller.post(
        "/v1/evaluations", json={"rules": {"only": {"section_name": ["of nobody"]}}}
    )
    assert_problem(answer, 422, "of nobody")


def test_later_purchases_are_those_of_the_file(teller: httpx2.Client, small_shop: Dataset) -> None:
    customer = f"{7:064d}"
    own = next_days(small_shop).filter(pl.col("customer_id") == customer)["article_id"]
    found = teller.get(f"/v1/customers/{customer}/later-purchases").json()["articles"]
    assert [each["article_id"] for each in found] == sorted(set(own))
    nothing = teller.get(f"/v1/customers/{50:064d}/later-purchases")
    assert nothing.json() == {"articles": []}
    assert_problem(teller.get("/v1/customers/nobody/later-purchases"), 404)


def test_a_bundle_says_what_it_lacks(client: httpx2.Client, teller: httpx2.Client) -> None:
    assert client.get("/v1/version").json()["parts"] == []
    assert teller.get("/v1/version").json()["parts"] == ["later purchases"]
    assert_problem(client.post("/v1/evaluations", json={}), 404, "--purchases")
    assert_problem(client.get(f"/v1/customers/{1:064d}/later-purchases"), 404, "--purchases")
    assert_problem(client.get("/v1/map"), 404, "no map")
    assert_problem(client.get("/v1/results"), 404, "not evaluated")
    assert client.get("/v1/customers?bought_later=true").json() == []


def test_sampled_customers_are_the_same_of_the_same_seed(
    teller: httpx2.Client, small_shop: Dataset
) -> None:
    first = teller.get("/v1/customers?k=9&seed=5").json()
    assert first == teller.get("/v1/customers?k=9&seed=5").json()
    assert first != teller.get("/v1/customers?k=9&seed=6").json()
    for each in first:
        known = teller.get(f"/v1/customers/{each['customer_id']}?limit=200").json()
        assert (each["age"], each["segment"]) == (known["age"], known["segment"])
        assert each["purchases"] == sum(entry["pieces"] for entry in known["history"])
    buyers = teller.get("/v1/customers?k=50&bought_later=true").json()
    assert {each["customer_id"] for each in buyers} == {f"{code:064d}" for code in range(20)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("customer,article\n1,2\n", "columns customer_id and article_id"),
        ("customer_id,article_id\nnobody,0000000001\n", "do they belong together"),
        (f"t_dat,customer_id,article_id\n2001-01-01,{1:064d},0000000001\n", "has learned from"),
    ],
)
def test_later_purchases_that_cannot_be_are_refused(
    served_run: Path, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "later.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        export_bundle(served_run, tmp_path / "bundle", purchases=tmp_path / "later.csv")
    assert not (tmp_path / "bundle").exists()


def test_pictures_are_photographs_or_drawings(teller: httpx2.Client) -> None:
    photograph = teller.get(f"/pictures/{PHOTOGRAPHED}")
    assert photograph.headers["content-type"] == "image/jpeg"
    assert photograph.content.startswith(b"\xff\xd8\xff")
    drawn = teller.get(f"/pictures/{4:010d}")
    assert drawn.headers["content-type"] == "image/svg+xml"
    assert "default-src 'none'" in drawn.headers["content-security-policy"]
    assert ElementTree.fromstring(drawn.text).tag.endswith("svg")
    for unknown in ("1", "..%2F..%2Fetc%2Fpasswd", "%00"):
        assert teller.get(f"/pictures/{unknown}").status_code == 404


def test_a_letter_cannot_break_out_of_its_drawing() -> None:
    letters = [
        "".join(ElementTree.fromstring(drawing(None, "#000000", letter)).itertext())
        for letter in ("<", "&", "Z")
    ]
    assert letters == ["<", "&", "Z"]


def test_answers_are_timed_by_operation(teller: httpx2.Client) -> None:
    def counts() -> dict[str, int]:
        found = teller.get("/v1/latencies").json()
        assert all(0 < each["p50_ms"] <= each["p99_ms"] <= each["max_ms"] for each in found)
        return {each["operation"]: each["answers"] for each in found}

    teller.get("/v1/version")
    before = counts()
    for customer in ("nobody", f"{1:064d}"):
        teller.get(f"/v1/customers/{customer}")
    teller.get("/")
    after = counts()
    assert after["A customer"] - before.get("A customer", 0) == 2
    assert after["What is served"] == before["What is served"]
    assert not [name for name in after if "nobody" in name or "/" in name]


def test_the_page_may_load_nothing_from_elsewhere(client: httpx2.Client) -> None:
    for path in ("/", "/page/main.js", "/page/views/customer.js", "/page/page.css"):
        answer = client.get(path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in answer.text
    assert client.get("/page/../app.py").status_code == 404
    assert client.get("/page/%2e%2e/app.py").status_code == 404
