"""The engine: results in order, errors as they are, the same on threads and on a cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import LocalCluster

from modiste.engine import Engine
from modiste.errors import DataError, ModisteError


def slow_square(item: int, offset: int) -> int:
    time.sleep(0.002 * (7 - item % 7))
    return item * item + offset


def refuse(item: int) -> int:
    raise DataError(f"item {item} is bad")


def die_once(item: int, marker: Path) -> int:
    """Kill the worker process on the first call for item 3; leave a line a call."""
    with marker.open("a") as lines:
        lines.write(f"{item}\n")
    if item == 3 and marker.read_text().splitlines().count("3") == 1:
        os._exit(9)
    time.sleep(0.05)
    return item


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as started:
        yield started.scheduler_address


@pytest.mark.parametrize("workers", [1, 3])
def test_results_are_in_the_order_of_the_items(workers: int) -> None:
    with Engine(workers=workers) as engine:
        assert engine.map(slow_square, range(20), 5, label="x") == [i * i + 5 for i in range(20)]


def test_no_items_no_results() -> None:
    assert Engine().map(slow_square, [], 5, label="x") == []


def test_an_error_in_a_worker_is_the_error_here() -> None:
    with Engine(workers=2) as engine, pytest.raises(DataError, match="is bad"):
        engine.map(refuse, range(3), label="x")


def test_cluster_gives_the_same(cluster: str) -> None:
    with Engine(cluster) as engine:
        assert engine.map(slow_square, range(20), 5, label="x") == [i * i + 5 for i in range(20)]
        with pytest.raises(DataError, match="is bad"):
            engine.map(refuse, range(3), label="x")


def test_a_killed_worker_costs_only_its_own_work(cluster: str, tmp_path: Path) -> None:
    marker = tmp_path / "calls"
    with Engine(cluster) as engine:
        assert engine.map(die_once, range(12), marker, label="x") == list(range(12))
    calls = [int(line) for line in marker.read_text().splitlines()]
    assert calls.count(3) == 2
    # Beside item 3, only what that worker held may have run twice, not what the other one had done.
    assert sum(calls.count(item) == 1 for item in range(12)) >= 6


def test_no_scheduler_is_a_clear_error() -> None:
    with pytest.raises(ModisteError, match="no Dask scheduler answers"):
        Engine("tcp://127.0.0.1:9")


def test_after_a_failure_no_call_begins_and_none_still_runs() -> None:
    begun: list[int] = []
    ended: list[int] = []

    def fail_first(item: int) -> None:
        begun.append(item)
        if item == begun[0]:
            raise ValueError
        time.sleep(0.05)
        ended.append(item)

    with pytest.raises(ValueError):  # noqa: PT011  (the call's own error comes through)
        Engine(workers=2).map(fail_first, range(20), label="failing")
    known = list(ended)
    time.sleep(0.2)
    assert len(begun) < 20
    assert ended == known
    assert sorted([*ended, begun[0]]) == sorted(begun)
