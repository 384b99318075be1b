"""From a shop's history to a trained network, and its recommendations as of a date."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from modiste.config import load_config
from modiste.data.dataset import CustomerBatch, Dataset, History
from modiste.data.days import EPOCH, day_number
from modiste.errors import ConfigError, DataError
from modiste.models.learning import loop
from modiste.models.learning.epochs import Epoch
from modiste.models.learning.popularity_prior import PopularityPrior, popularity_prior
from modiste.models.popularity import PopularitySettings, article_popularity
from modiste.models.sasrec import fitting
from modiste.models.sasrec.fitting import TrainedNetwork, fit_network
from modiste.models.sasrec.next_item import NextItems
from modiste.models.sasrec.recommender import SASRecRecommender
from modiste.models.sasrec.settings import NetworkSettings, SASRecSettings, TrainingSettings
from modiste.vectors.article_vectors import ArticleVectors
from purchase_histories import day
from shops import ALL_RECOMMENDERS, write_prepared

POPULARITY = PopularitySettings()
SETTINGS = ALL_RECOMMENDERS.sasrec


@pytest.fixture
def history(small_shop: Dataset) -> History:
    return small_shop.until(small_shop.next_day - timedelta(days=10))


def test_the_prior_is_popularity_as_of_each_date(history: History) -> None:
    prior = popularity_prior(history, POPULARITY, step_days=5)
    assert prior.days[-1] == day_number(history.as_of)
    assert set(np.diff(prior.days[1:])) == {5}
    np.testing.assert_allclose(np.exp(prior.log_share[0]), 1 / history.n_articles, rtol=1e-6)
    for period in (1, len(prior.days) // 2, len(prior.days) - 1):
        as_of = EPOCH + timedelta(days=int(prior.days[period]))
        known = article_popularity(history.before(as_of), POPULARITY)
        share = np.zeros(history.n_articles)
        share[known["article"].to_numpy()] = known["popularity"] / known["popularity"].sum()
        np.testing.assert_allclose(np.exp(prior.log_share[period]), share, rtol=1e-5, atol=1e-12)


def test_a_purchase_meets_what_was_known_before_its_day(history: History) -> None:
    """The period of a day begins on it or before: popularity of the day itself is in none."""
    prior = popularity_prior(history, POPULARITY, step_days=7)
    days = np.arange(prior.days[1] - 3, prior.days[-1] + 1)
    begins = prior.days[prior.periods_of(days)]
    assert (begins <= days).all()
    assert (days[begins > 0] - begins[begins > 0] < 7).all()
    assert (begins[:3] == prior.days[0]).all()


def test_before_goes_back_and_never_forth(history: History) -> None:
    assert history.before(history.as_of).as_of == history.as_of
    with pytest.raises(ValueError, match="says nothing of"):
        history.before(history.as_of + timedelta(days=1))


def test_epochs_are_chosen_on_the_last_days(history: History) -> None:
    trained = fit_network(history, SETTINGS)
    assert trained is not None
    measured = [epoch.ndcg for epoch in trained.epochs]
    assert len(measured) == SETTINGS.training.epochs
    assert None not in measured
    assert trained.best_epoch == 1 + int(np.argmax(np.array(measured)))
    told = fit_network(history, SETTINGS, epochs=1)
    assert told is not None
    assert (told.epochs, told.best_epoch) == ((), 1)


def test_validation_asks_for_what_can_be_recommended(history: History) -> None:
    """The first basket after the date, of customers known by then, of articles on sale."""
    asked = []

    def watch(*arguments: object, **_: object) -> list[Epoch]:
        asked.append(arguments[3])
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "train", watch)
        fit_network(history, SETTINGS)
    validation = asked[0]
    assert isinstance(validation, NextItems)
    as_of = history.as_of - timedelta(days=SETTINGS.validation_days)
    rows = pl.concat([batch.transactions for batch in history.batches()])
    later = rows.filter(pl.col("t_dat") >= as_of)
    first = later.filter(pl.col("t_dat") == pl.col("t_dat").min().over("customer"))
    assert validation.histories.customers is not None
    assert (validation.histories.days < day_number(as_of)).all()
    assert (validation.histories.lengths > 0).all()
    bought = set(first.select("customer", "article").iter_rows())
    pairs = list(zip(validation.histories.customers, validation.targets, strict=True))
    assert pairs
    assert set(pairs) <= bought
    assert validation.log_share is not None
    assert np.isfinite(validation.log_share[validation.targets]).all()


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("at", [3, 6])
def test_killed_and_gone_on_is_the_same_network(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    frequent = SETTINGS.training.model_copy(update={"checkpoint_steps": 1, "batch": 32})
    settings = SETTINGS.model_copy(update={"training": frequent})
    whole = fit_network(history, settings, checkpoints=tmp_path / "whole")
    real, steps = loop._Trainer._step, [0]

    def killed(trainer: loop._Trainer[Any]) -> float:
        steps[0] += 1
        if steps[0] == at:
            raise _KilledError
        return real(trainer)

    monkeypatch.setattr(loop._Trainer, "_step", killed)
    with pytest.raises(_KilledError):
        fit_network(history, settings, checkpoints=tmp_path / "cut")
    monkeypatch.undo()
    resumed = fit_network(history, settings, checkpoints=tmp_path / "cut")
    assert whole is not None
    assert resumed is not None
    for name, trained in (("one", whole), ("other", resumed)):
        (tmp_path / name).mkdir()
        trained.save(tmp_path / name)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "other" / file.name).read_bytes(), file.name


def _shop_of_two_kinds(folder: Path) -> tuple[Dataset, ArticleVectors]:
    """Customers buy articles of one kind or of the other; articles 38 and 39 are new at the end.

    Of the 40 articles the even ones are of one kind, and all of a kind are described alike.
    """
    rng = np.random.default_rng(0)
    rows = [
        (customer, int(rng.integers(19)) * 2 + customer % 2, day(number))
        for customer in range(200)
        for number in range(customer % 7, 60, 7)
    ]
    rows += [(200 + number, 38 + number % 2, day(60)) for number in range(10)]
    purchases = pl.DataFrame(rows, schema=["customer", "article", "t_dat"], orient="row")
    articles, customers = (
        pl.DataFrame({"article": range(40)}),
        pl.DataFrame({"customer": range(210)}),
    )
    shop = Dataset.open(write_prepared(folder, articles, customers, purchases))
    vectors = np.zeros((40, 4), dtype=np.float32)
    vectors[np.arange(40), np.arange(40) % 2] = 1
    return shop, ArticleVectors(vectors, {"model": "drawn"})


KINDS = SETTINGS.model_copy(
    update={
        "training": TrainingSettings(
            negatives=40, batch=16, learning_rate=0.01, epochs=6, leave_out_seen=False
        )
    }
)


def test_an_article_new_since_training_is_ranked_by_its_content(tmp_path: Path) -> None:
    shop, vectors = _shop_of_two_kinds(tmp_path / "shop")
    trained = fit_network(shop.until(day(60)), KINDS, POPULARITY, vectors, epochs=6)
    assert trained is not None
    (tmp_path / "trained").mkdir()
    trained.save(tmp_path / "trained")
    asked = SASRecRecommender(KINDS, POPULARITY, trained=tmp_path / "trained")
    history = shop.until(day(61))
    scores = asked.fit(history).recommend(history.partitions[0].read(), 40)
    known = scores.filter(pl.col("customer") < 200, pl.col("article") >= 38)
    alike = known["customer"] % 2 == known["article"] % 2
    assert known.filter(alike)["score"].min() > 3 * known.filter(~alike)["score"].max()  # type: ignore[operator]


def test_without_content_what_was_never_bought_has_its_popularity_alone(tmp_path: Path) -> None:
    shop, _ = _shop_of_two_kinds(tmp_path / "shop")
    trained = fit_network(shop.until(day(60)), KINDS, epochs=2)
    assert trained is not None
    assert not trained.articles[38:].any()
    assert trained.articles[:38].any(axis=1).all()


def test_scores_are_probabilities_of_all_on_sale(history: History) -> None:
    recommender = SASRecRecommender(SETTINGS).fit(history)
    batch = history.partitions[0].read()
    found = recommender.recommend(batch, history.n_articles)
    np.testing.assert_allclose(
        found.group_by("customer").agg(pl.sum("score"))["score"], 1, rtol=1e-4
    )
    customers, vectors = recommender.customer_vectors(batch)
    known = article_popularity(history, POPULARITY)
    articles = known["article"].to_numpy()
    logits = vectors @ recommender.article_vectors[articles].T
    scores = np.exp(logits) * known["popularity"].to_numpy()
    scores /= scores.sum(axis=1, keepdims=True)
    wanted = pl.DataFrame(
        {
            "customer": np.repeat(customers, len(articles)),
            "article": np.tile(articles, len(customers)),
            "wanted": scores.ravel(),
        }
    )
    both = found.join(wanted, on=["customer", "article"], how="full", coalesce=True)
    assert both.null_count().sum_horizontal().item() == 0
    np.testing.assert_allclose(both["score"], both["wanted"], rtol=1e-3, atol=1e-7)


def test_without_the_prior_popularity_does_not_count(history: History) -> None:
    plain = SETTINGS.model_copy(update={"popularity_prior": False})
    recommender = SASRecRecommender(plain).fit(history)
    batch = history.partitions[0].read()
    customers, vectors = recommender.customer_vectors(batch)
    best = recommender.recommend(batch, 1).sort("customer")["article"]
    on_sale = article_popularity(history, POPULARITY)["article"].to_numpy()
    wanted = on_sale[(vectors @ recommender.article_vectors[on_sale].T).argmax(axis=1)]
    assert best.to_list() == wanted.tolist()
    assert len(customers) == len(best)
    with pytest.raises(ValueError, match="popularity_prior goes with the loss softmax"):
        SASRecSettings(training=TrainingSettings(loss="bce"))


def test_a_network_that_knows_the_future_is_refused(history: History, tmp_path: Path) -> None:
    trained = fit_network(history, SETTINGS, epochs=1)
    assert trained is not None
    trained.save(tmp_path)
    earlier = history.before(history.as_of - timedelta(days=1))
    with pytest.raises(DataError, match="would know what is still to come"):
        SASRecRecommender(SETTINGS, trained=tmp_path).fit(earlier)


def test_a_network_of_another_shop_is_refused(history: History, tmp_path: Path) -> None:
    trained = fit_network(history, SETTINGS, epochs=1)
    assert trained is not None
    (tmp_path / "trained").mkdir()
    other = dataclasses.replace(trained, articles=trained.articles[:-1])
    other.save(tmp_path / "trained")
    with pytest.raises(DataError, match=f"knows {history.n_articles - 1} articles"):
        SASRecRecommender(SETTINGS, trained=tmp_path / "trained").fit(history)


def test_a_damaged_network_is_told(history: History, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no trained network"):
        TrainedNetwork.load(tmp_path)
    trained = fit_network(history, SETTINGS, epochs=1)
    assert trained is not None
    trained.save(tmp_path)
    assert TrainedNetwork.load(tmp_path).as_of == history.as_of
    file = tmp_path / "network.safetensors"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(DataError, match="or a damaged one"):
        TrainedNetwork.load(tmp_path)


def test_vectors_of_another_shop_are_refused(history: History) -> None:
    vectors = ArticleVectors(np.ones((3, 1), dtype=np.float32), {})
    with pytest.raises(DataError, match="vectors of 3 articles"):
        fit_network(history, SETTINGS, POPULARITY, vectors)


def test_no_order_to_learn(tmp_path: Path) -> None:
    rows = pl.DataFrame({"customer": [0, 1], "article": [1, 2], "t_dat": [day(1), day(2)]})
    articles, customers = pl.DataFrame({"article": range(5)}), pl.DataFrame({"customer": range(2)})
    shop = Dataset.open(write_prepared(tmp_path / "shop", articles, customers, rows))
    history = shop.until(day(3))
    assert fit_network(history, SETTINGS) is None
    recommender = SASRecRecommender(SETTINGS).fit(history)
    assert recommender.recommend(history.partitions[0].read(), 12).is_empty()
    (tmp_path / "saved").mkdir()
    recommender.save(tmp_path / "saved")
    loaded = SASRecRecommender().load(tmp_path / "saved")
    assert loaded.recommend(history.partitions[0].read(), 12).is_empty()


def test_one_very_long_history_and_one_of_one_article(tmp_path: Path) -> None:
    rows = [(0, number % 50, day(number // 3)) for number in range(3_000)] + [(1, 3, day(999))]
    purchases = pl.DataFrame(rows, schema=["customer", "article", "t_dat"], orient="row")
    articles, customers = pl.DataFrame({"article": range(50)}), pl.DataFrame({"customer": range(2)})
    shop = Dataset.open(write_prepared(tmp_path, articles, customers, purchases))
    history = shop.until(day(1_000))
    found = SASRecRecommender(SETTINGS).fit(history).recommend(history.partitions[0].read(), 12)
    assert found.group_by("customer").len()["len"].to_list() == [12, 12]


def test_the_weight_needs_it_enabled() -> None:
    with pytest.raises(ConfigError, match="names sasrec, and sasrec is not enabled"):
        load_config(overrides=["models.weights.sasrec=1"])


def test_devices_and_threads_are_left_as_they_were(history: History) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    fit_network(history, SETTINGS, epochs=1)
    assert torch.equal(torch.rand(1), wanted)


def test_settings_of_the_network_are_the_trained_ones(history: History, tmp_path: Path) -> None:
    """What was trained is asked with its own shape, whatever the settings say by then."""
    trained = fit_network(history, SETTINGS, epochs=1)
    assert trained is not None
    trained.save(tmp_path)
    other = SETTINGS.model_copy(update={"network": NetworkSettings(dimensions=4, heads=1)})
    asked = SASRecRecommender(other, trained=tmp_path).fit(history)
    assert asked.article_vectors.shape == (history.n_articles, SETTINGS.network.dimensions)


def test_the_prior_of_a_shop_without_sales(small_shop: Dataset) -> None:
    empty = small_shop.until(small_shop.first_day)
    prior = popularity_prior(empty, POPULARITY, 7)
    assert isinstance(prior, PopularityPrior)
    assert not len(prior.ever_on_sale)
    assert date.fromordinal(EPOCH.toordinal() + int(prior.days[-1])) == empty.as_of


def test_no_epoch_is_best_where_none_was_validated(history: History) -> None:
    rarely = SETTINGS.training.model_copy(update={"epochs": 2, "validate_epochs": 3})
    trained = fit_network(history, SETTINGS.model_copy(update={"training": rarely}))
    assert trained is not None
    assert [epoch.ndcg for epoch in trained.epochs] == [None, None]
    assert trained.best_epoch == 2


def test_articles_unknown_to_the_network_say_nothing(history: History) -> None:
    recommender = SASRecRecommender(SETTINGS).fit(history)
    batch = history.partitions[0].read()
    one, other = batch.customers["customer"][:2].to_list()
    unknown = pl.col("article") + history.n_articles
    both = pl.concat(
        [
            batch.transactions.filter(pl.col("customer") != other),
            batch.transactions.filter(pl.col("customer") == one).with_columns(unknown),
            batch.transactions.filter(pl.col("customer") == other).with_columns(unknown),
        ]
    )
    found = recommender.recommend(CustomerBatch(batch.as_of, batch.customers, both), 12)
    wanted = recommender.recommend(batch, 12).filter(pl.col("customer") != other)
    assert_frame_equal(found, wanted, rel_tol=1e-4)


def test_given_candidates_have_the_same_scores(history: History) -> None:
    recommender = SASRecRecommender(SETTINGS).fit(history)
    batch = history.partitions[0].read()
    found = recommender.recommend(batch, 20).drop("rank")
    shuffled = found.sample(fraction=1, shuffle=True, seed=1)
    scored = recommender.score(batch, shuffled.drop("score"))
    assert_frame_equal(scored, shuffled, rel_tol=1e-5)
    stranger = history.n_customers + 1
    others = pl.DataFrame({"customer": [stranger], "article": [3]})
    assert recommender.score(batch, others)["score"].to_list() == [None]


def test_a_candidate_that_is_not_on_sale_scores_nothing(tmp_path: Path) -> None:
    shop, _ = _shop_of_two_kinds(tmp_path)
    history = shop.until(day(60))
    recommender = SASRecRecommender(KINDS).fit(history)
    asked = pl.DataFrame({"customer": [0, 0], "article": [39, 2]})
    none, some = recommender.score(history.partitions[0].read(), asked)["score"]
    assert none == 0
    assert some > 0
