"""A function mapped on a cluster gets its shared arguments as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from distributed import LocalCluster

from modiste.engine import Engine


def echo(item: int, *shared: Any) -> tuple[Any, ...]:
    return (item, *shared)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Engine(cluster=cluster.scheduler_address) as engine,
    ):
        yield engine


@pytest.mark.parametrize(
    "shared",
    [(), ({"a": 1},), ({"a": 2}, {"a": 3}), ([1, 2], (3,), "four"), (None,)],
    ids=str,
)
def test_shared_arguments_arrive_whole(engine: Engine, shared: tuple[Any, ...]) -> None:
    assert engine.map(echo, [0, 1, 2], *shared, label="echo") == [(i, *shared) for i in range(3)]
