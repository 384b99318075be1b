"""What an epoch of TabNet's training goes through."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from modiste.ranking.encoding import FeatureEncoding
from modiste.ranking.purchases import labels_of
from modiste.ranking.tabnet.network import TabNet
from modiste.ranking.tabnet.settings import TabNetNetworkSettings, TabNetTrainingSettings
from modiste.ranking.tabnet.training import PurchaseTask
from ranking_lists import make_rows

SHAPE = TabNetNetworkSettings(decision_width=4, attention_width=4, steps=2)


def task_of(**changed: int) -> PurchaseTask:
    rows = make_rows(40)
    encoding = FeatureEncoding().fit(rows)
    return PurchaseTask(
        TabNet(encoding.columns, SHAPE),
        encoding.transform(rows.frame),
        labels_of(rows),
        TabNetTrainingSettings(batch=100, **changed),
    )


@pytest.mark.parametrize("least", [1, 30, 1_000])
def test_rows_are_gone_through_before_any_comes_again(least: int) -> None:
    task = task_of(least_steps_per_epoch=least)
    rows = len(task.rows)
    assert task.steps_an_epoch == max(rows // 100, least)
    of_epochs = []
    for epoch in range(2):
        batches = list(islice(task.batches(epoch, 0), task.steps_an_epoch))
        assert {len(batch) for batch in batches} == {100}
        seen = np.bincount(np.concatenate(batches), minlength=rows)
        assert seen.max() - seen.min() <= 1
        of_epochs.append(np.concatenate(batches))
        gone_on_with = next(iter(task.batches(epoch, task.steps_an_epoch - 1)))
        assert np.array_equal(gone_on_with, batches[-1])
    assert not np.array_equal(of_epochs[0], of_epochs[1])


def test_an_epoch_of_some_rows_has_no_row_of_a_pass_twice() -> None:
    task = task_of(rows_per_epoch=250, least_steps_per_epoch=4)
    drawn = np.concatenate(list(islice(task.batches(0, 0), 4)))
    assert len(np.unique(drawn[:250])) == 250
    assert len(np.unique(drawn[250:])) == 150
