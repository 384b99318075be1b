"""The engine: one function mapped over many partitions by Dask, here or on a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from modiste.engine.progress import progress
from modiste.errors import ModisteError

if TYPE_CHECKING:
    from distributed import Client

_LARGE_GRAPH = "distributed.admin.large-graph-warning-threshold"

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine:
    """Runs a function over items: on this machine's threads, or on a Dask cluster.

    Results come back in the order of the items, and every function that is mapped writes only its
    own files, so the outputs are the same bytes for any number of workers, here or there.

    Parameters
    ----------
    cluster
        Address of a ``dask.distributed`` scheduler, for instance ``tcp://scheduler:8786``. Its
        workers must see the same files under the same paths. None: threads of this process.
    workers
        Number of threads when there is no cluster; by default one for each core. Memory grows with
        it: each worker holds one partition.

    Raises
    ------
    ModisteError
        When no scheduler answers at ``cluster``.
    """

    def __init__(self, cluster: str | None = None, workers: int | None = None) -> None:
        self.workers = workers or os.cpu_count() or 1
        self._client: Client | None = _connect(cluster) if cluster else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the cluster; nothing to do without one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def map(
        self,
        function: Callable[..., Result],
        items: Iterable[Item],
        *shared: Any,
        label: str,
    ) -> list[Result]:
        """Call ``function(item, *shared)`` for every item; return the results in item order.

        Parameters
        ----------
        function
            A picklable function (module level) that depends on its arguments and files alone.
        items
            One small picklable value a call.
        shared
            Further arguments, the same for every call; sent to each worker once.
        label
            What the progress line says.
        """
        items = list(items)
        if not items:
            return []
        if self._client is None:
            return _map_on_threads(function, items, shared, label, self.workers)
        return _map_on_cluster(self._client, function, items, shared, label)


def _connect(address: str) -> Client:
    from distributed import Client
    from distributed.comm.addressing import parse_host_port

    try:
        # Before a client is made: one with an impossible address cannot be closed quietly.
        if not address.startswith("inproc://"):
            parse_host_port(address)
        return Client(address, timeout="10s", set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ModisteError(
            f"no Dask scheduler answers at {address!r}: {error}. Start one with "
            "'dask scheduler' and workers with 'dask worker', or leave --cluster out"
        ) from error


def _map_on_threads(
    function: Callable[..., Result],
    items: Sequence[Item],
    shared: tuple[Any, ...],
    label: str,
    workers: int,
) -> list[Result]:
    from dask.callbacks import Callback
    from dask.threaded import get

    # A graph of plain tuples: Dask must not look into the shared arguments (it would walk lists
    # and hash arrays to name its tasks), hence the closure.
    def call(index: int) -> Result:
        return function(items[index], *shared)

    graph = {("item", index): (call, index) for index in range(len(items))}
    pool = ThreadPoolExecutor(workers)
    try:
        with progress(label, len(items)) as advance, Callback(posttask=lambda *_: advance()):
            # One call a task, not Dask's batches of them: after a failure no further call begins.
            results: list[Result] = list(
                get(graph, list(graph), pool=pool, num_workers=workers, chunksize=1)
            )
    finally:
        # After a failure the calls that still run are waited for: whoever cleans up then finds
        # nobody writing any more.
        pool.shutdown(wait=True, cancel_futures=True)
    return results


def _map_on_cluster(
    client: Client,
    function: Callable[..., Result],
    items: Sequence[Item],
    shared: tuple[Any, ...],
    label: str,
) -> list[Result]:
    from dask import config as dask_config
    from distributed import as_completed

    # Tasks and not scattered data, which is lost with the worker that holds it, and waits for ever
    # for one that dies while it is sent there.
    with dask_config.set({_LARGE_GRAPH: "1PB"}):  # the values are what makes it large, on purpose
        arguments = [client.submit(_Shared(value).get, pure=False) for value in shared]
    # The scheduler itself runs a task again elsewhere when its worker dies; an error raised by the
    # function is final.
    futures = [client.submit(function, item, *arguments, pure=False) for item in items]
    try:
        with progress(label, len(items)) as advance:
            # The loop is named because this client is nobody's default.
            for done in as_completed(futures, loop=client.loop):
                if done.status == "error":
                    done.result()  # raises: the rest need not be waited for
                advance()
        results: list[Result] = client.gather(futures)
    finally:
        client.cancel(futures)
    return results


@dataclass(frozen=True)
class _Shared:
    """A value that Dask does not look into: of a list or dict it would make tasks of its own."""

    value: Any

    def get(self) -> Any:
        """The value, where a task asks for it."""
        return self.value
