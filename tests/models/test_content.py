"""Content against a naive version: dense, in one piece, straight from the formula."""

from __future__ import annotations

import pickle
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from threadpoolctl import threadpool_limits

from modiste.data.dataset import Dataset, History
from modiste.errors import ConfigError, DataError
from modiste.models import content
from modiste.models.blend import Artifacts, Blend, BlendSettings, make_recommenders
from modiste.models.content import Content, ContentSettings
from modiste.models.popularity import PopularitySettings, article_popularity
from modiste.models.selection import SelectionSettings, select_settings
from modiste.vectors.article_vectors import ArticleVectors, unit_rows
from shops import (
    SMALL_SHOP_ARTICLES,
    SMALL_SHOP_DAYS,
    SMALL_SHOP_START,
    some_vectors,
    write_prepared,
)

VECTORS = some_vectors(SMALL_SHOP_ARTICLES)
NEW = 30  # from this code on, never sold


@pytest.fixture(scope="module")
def history(small_shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> History:
    """A quarter of the articles were not sold yet, and every seventh is off sale."""
    as_of = SMALL_SHOP_START + timedelta(days=SMALL_SHOP_DAYS - 10)
    whole = small_shop.until(as_of)
    rows = pl.concat([batch.transactions for batch in whole.batches()])
    early = pl.col("t_dat") < SMALL_SHOP_START + timedelta(days=10)
    rows = rows.filter(pl.col("article") < NEW, early | (pl.col("article") % 7 != 0))
    customers = pl.concat([batch.customers for batch in whole.batches()])
    folder = write_prepared(tmp_path_factory.mktemp("shop"), whole.articles, customers, rows)
    return Dataset.open(folder).until(as_of)


@pytest.mark.parametrize("cosines_in_a_block", [1, 300, 100_000])
@pytest.mark.parametrize("never_sold", [False, True])
def test_neighbours_are_exact_in_any_blocks(
    history: History, monkeypatch: pytest.MonkeyPatch, cosines_in_a_block: int, never_sold: bool
) -> None:
    monkeypatch.setattr(content, "_COSINES_IN_A_BLOCK", cosines_in_a_block)
    settings = ContentSettings(
        neighbours=4, similarity_power=2.5, popularity_power=0.5, never_sold=never_sold
    )
    found = Content(VECTORS, settings).fit(history).neighbours

    table = article_popularity(history, PopularitySettings())
    popularity = np.zeros(SMALL_SHOP_ARTICLES)
    popularity[table["article"].to_numpy()] = table["popularity"].to_numpy()
    assert (popularity[0:NEW:7] == 0).all()
    if never_sold:
        popularity[NEW:] = np.median(table["popularity"].to_numpy())
    cosine = np.maximum(VECTORS.vectors.astype(np.float64) @ VECTORS.vectors.T, 0)
    np.fill_diagonal(cosine, 0)
    score = cosine**2.5 * popularity**0.5
    for source in range(SMALL_SHOP_ARTICLES):
        mine = found.filter(pl.col("source") == source).sort("units", descending=True)
        best = np.sort(score[source])[::-1][:4]
        best = best[best > 0]
        assert mine["units"].to_numpy() * 2.0**-20 == pytest.approx(best, abs=2e-3)
        assert score[source, mine["target"].to_numpy()] == pytest.approx(best, abs=2e-3)


def test_scores_are_sums_over_the_latest_purchases(history: History) -> None:
    settings = ContentSettings(recent_articles=2)
    fitted = Content(VECTORS, settings).fit(history)
    near = {(s, t): units * 2.0**-20 for s, t, units in fitted.neighbours.iter_rows()}
    batch = history.partitions[0].read()
    for (customer,), rows in batch.interactions.group_by("customer"):
        weight: dict[int, float] = {}
        for article, day in rows.select("article", "t_dat").iter_rows():
            weight[article] = weight.get(article, 0) + 1 / (history.as_of - day).days
        latest = sorted(weight, key=lambda article: (-weight[article], article))[:2]
        expected: dict[int, float] = {}
        for source in latest:
            for target in range(SMALL_SHOP_ARTICLES):
                if (source, target) in near:
                    gain = weight[source] * near[source, target]
                    expected[target] = expected.get(target, 0) + gain
        mine = fitted.recommend(batch.only(pl.Series([customer])), 100)
        scores = dict(mine.select("article", "score").iter_rows())
        assert scores == pytest.approx(expected, rel=1e-4)


def test_same_bytes_for_any_threads_and_blocks(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With float sums this fails: twins in rounding, torn apart by the order of the adding."""
    rng = np.random.default_rng(1)
    drawn = rng.normal(size=(4, 700)).repeat(SMALL_SHOP_ARTICLES // 4, axis=0)
    vectors = ArticleVectors(unit_rows(drawn[:, rng.permutation(700)]), {})
    settings = ContentSettings(neighbours=3)
    shown = []
    for threads, block in [(1, 1), (1, 1_000_000), (2, 130), (2, 1_000_000)]:
        monkeypatch.setattr(content, "_COSINES_IN_A_BLOCK", block)
        with threadpool_limits(threads):
            shown.append(Content(vectors, settings).fit(history).neighbours)
    for other in shown[1:]:
        assert_frame_equal(shown[0], other, check_exact=True)


def test_products_stay_whole_in_float32() -> None:
    """The longest sums that there can be: an article with itself, in few and many dimensions."""
    rng = np.random.default_rng(2)
    for dimensions in (1, 2, 64, 768, 4096):
        drawn = [np.ones(dimensions), np.eye(dimensions)[0], *rng.normal(size=(20, dimensions))]
        whole = content._whole(unit_rows(np.array(drawn)))
        assert whole.dtype == np.float32
        lengths = (whole.astype(np.float64) ** 2).sum(axis=1)
        assert (lengths <= 2**24).all()
        exact = whole.astype(np.int64) @ whole.astype(np.int64).T
        assert ((whole @ whole.T).astype(np.int64) == exact).all()


def test_equal_articles_go_by_code(history: History) -> None:
    """All have the same text: the code decides, whatever a partial sort picks."""
    alike = ArticleVectors(unit_rows(np.ones((SMALL_SHOP_ARTICLES, 8))), {})
    settings = ContentSettings(neighbours=3, popularity_power=0)
    found = Content(alike, settings).fit(history).neighbours
    assert found.filter(pl.col("source") == 39)["target"].to_list() == [1, 2, 3]
    assert found.filter(pl.col("source") == 2)["target"].to_list() == [1, 3, 4]


def test_an_article_without_text_takes_no_part(history: History) -> None:
    unknown = VECTORS.vectors.copy()
    unknown[[3, 35]] = 0
    settings = ContentSettings(neighbours=SMALL_SHOP_ARTICLES, never_sold=True)
    found = Content(ArticleVectors(unknown, {}), settings).fit(history).neighbours
    assert not found.select(
        pl.any_horizontal(pl.col("source", "target").is_in([3, 35])).any()
    ).item()
    nothing = ArticleVectors(np.zeros_like(unknown), {})
    fitted = Content(nothing).fit(history)
    assert fitted.recommend(history.partitions[0].read(), 12).is_empty()


@pytest.mark.parametrize("never_sold", [False, True])
def test_never_sold_are_let_in_by_their_setting_alone(history: History, never_sold: bool) -> None:
    fitted = Content(VECTORS, ContentSettings(never_sold=never_sold)).fit(history)
    found = fitted.recommend(history.partitions[0].read(), 12)["article"]
    assert (found >= NEW).any() == never_sold
    assert not found.is_in(list(range(0, NEW, 7))).any()


def test_vectors_of_another_shop_are_refused(history: History) -> None:
    with pytest.raises(DataError, match="39 articles, but the shop has 40"):
        Content(some_vectors(39)).fit(history)


def test_vectors_do_not_travel_to_workers(history: History) -> None:
    fitted = Content(VECTORS).fit(history)
    sent = pickle.loads(pickle.dumps(fitted))  # noqa: S301 -- as the cluster does
    assert sent.vectors is None
    batch = history.partitions[0].read()
    assert_frame_equal(sent.recommend(batch, 12), fitted.recommend(batch, 12), check_exact=True)


def test_without_vectors_it_is_absent_or_an_error(small_shop: Dataset, history: History) -> None:
    assert "content" not in make_recommenders(BlendSettings())
    assert "content" in make_recommenders(BlendSettings(), Artifacts(VECTORS))
    weighed = BlendSettings(weights={"popularity": 1.0, "content": 10.0})
    with pytest.raises(ConfigError, match="names content, which needs article vectors"):
        Blend(weighed)
    with pytest.raises(ConfigError, match="names content, which needs article vectors"):
        select_settings(small_shop, [], weighed, SelectionSettings(), 12)
    with pytest.raises(ConfigError, match="needs article vectors"):
        Content().fit(history)


def test_a_saved_blend_loads_without_the_vectors(history: History, tmp_path: Path) -> None:
    weighed = BlendSettings(weights={"popularity": 1.0, "content": 10.0})
    fitted = Blend(weighed, Artifacts(VECTORS)).fit(history)
    fitted.save(tmp_path)
    batch = history.partitions[0].read()
    loaded = Blend().load(tmp_path)
    assert_frame_equal(loaded.recommend(batch, 12), fitted.recommend(batch, 12), check_exact=True)
