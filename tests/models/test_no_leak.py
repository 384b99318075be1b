"""No leak: what is recommended as of a date is the same bytes, whatever happens afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import Phase, given, settings

from futures import TwoFutures, assert_blind_to_the_future, two_futures
from modiste.data.dataset import History, Partition
from modiste.evaluation.protocol import Recommender
from modiste.models import co_visitation
from modiste.models.blend import POPULARITY, RECOMMENDERS, Artifacts, Blend
from modiste.models.co_visitation import CoVisitation
from modiste.models.content import Content, ContentSettings
from shops import ALL_RECOMMENDERS, some_vectors


def everything_recommended(history: History) -> dict[str, pl.DataFrame]:
    """What every recommender and their blend recommend to everybody."""
    vectors = some_vectors(history.n_articles)
    of_all = Blend(ALL_RECOMMENDERS, Artifacts(vectors)).fit(history)
    return _recommended(
        history,
        {
            "blend of all": of_all,
            POPULARITY: of_all.popularity,
            **of_all.personal,
            "content with never sold": Content(vectors, ContentSettings(never_sold=True)).fit(
                history
            ),
            "blend": Blend().fit(history),
        },
    )


def _recommended(
    history: History, recommenders: Mapping[str, Recommender]
) -> dict[str, pl.DataFrame]:
    return {
        f"{name} {partition.index}": recommender.recommend(partition.read(), 12)
        for name, recommender in recommenders.items()
        for partition in history.partitions
    }


def test_the_blend_of_all_is_of_all() -> None:
    of_all = Blend(ALL_RECOMMENDERS, Artifacts(some_vectors(3)))
    assert {POPULARITY, *of_all.personal} == RECOMMENDERS.keys()


@given(case=two_futures())
@settings(max_examples=15, deadline=None)
def test_every_model_is_blind_to_the_future(case: TwoFutures) -> None:
    assert_blind_to_the_future(case, everything_recommended)


def test_a_leak_in_a_model_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant: co-visitation counts pairs a day into the future."""
    honest = co_visitation._recent_pairs

    def leaky(partition: Partition, *arguments: Any) -> pl.DataFrame:
        tomorrow = Partition(partition.folder, partition.index, partition.as_of + timedelta(days=1))
        return honest(tomorrow, *arguments)

    monkeypatch.setattr(co_visitation, "_recent_pairs", leaky)

    @given(case=two_futures())
    @settings(
        max_examples=300, deadline=None, database=None, phases=[Phase.generate], derandomize=True
    )
    def check(case: TwoFutures) -> None:
        assert_blind_to_the_future(
            case, lambda history: _recommended(history, {"leaky": CoVisitation().fit(history)})
        )

    with pytest.raises(AssertionError):
        check()
