from __future__ import annotations

from datetime import timedelta

from conftest import SMALL_SHOP_DAYS, SMALL_SHOP_START
from modiste.data.dataset import Dataset
from modiste.models.sasrec.fitting import fit_network
from shops import ALL_RECOMMENDERS


def test_no_epoch_is_best_where_none_was_validated(small_shop: Dataset) -> None:
    settings = ALL_RECOMMENDERS.sasrec
    training = settings.training.model_copy(update={"epochs": 2, "validate_epochs": 3})
    trained = fit_network(
        small_shop.until(SMALL_SHOP_START + timedelta(days=SMALL_SHOP_DAYS - 10)),
        settings.model_copy(update={"training": training}),
    )
    assert trained is not None
    assert [epoch.ndcg for epoch in trained.epochs] == [None, None]
    assert trained.best_epoch == 2
