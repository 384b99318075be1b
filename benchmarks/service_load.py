"""The live service under load, beside a bare FastAPI route that answers a constant.

Requests arrive at fixed times whatever the answers do (an open loop), and each one's latency counts
from the time it was due: a service that falls behind shows it. The generator is this process; its
share of the cores is part of the result, for it works on the same machine.

    python benchmarks/service_load.py BUNDLE --rate 50 --seconds 300
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import numpy as np
import psutil
from fastapi import FastAPI

from machine import describe_machine
from modiste.service.bundle import Bundle

# Until a request is given up and counts as an error.
TIMEOUT = 30.0

# The 99th percentile of latency that the highest rate may have.
MOST_MS = 100.0

# A visitor's articles in a session.
SESSION_ARTICLES = 5

constant = FastAPI()


@constant.get("/")
def _constant() -> dict[str, int]:
    return {"answer": 42}


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    body: Any = None


@dataclass(frozen=True)
class Load:
    """What came of requests at one rate.

    Attributes
    ----------
    rate
        Requests a second that were due.
    requests, errors
        Sent, and not answered by 200.
    p50_ms, p99_ms, longest_ms
        From the time a request was due to the end of its answer.
    generator_cores, server_cores
        CPU seconds a second of this process and of the server's.
    rss_mib_first, rss_mib_last
        Resident memory of the server's processes after a tenth of the time, and at the end.
    """

    rate: float
    requests: int
    errors: int
    p50_ms: float
    p99_ms: float
    longest_ms: float
    generator_cores: float
    server_cores: float
    rss_mib_first: float
    rss_mib_last: float


async def load(
    address: str, server: psutil.Process, draw: Callable[[], Asked], rate: float, seconds: float
) -> Load:
    """Send requests at a rate for some seconds."""
    latencies: list[float] = []
    errors = 0

    async def ask(client: httpx2.AsyncClient, asked: Asked, due: float) -> None:
        nonlocal errors
        try:
            answer = await client.request(asked.method, asked.path, json=asked.body)
            errors += answer.status_code != 200
        except httpx2.HTTPError:
            errors += 1
        latencies.append(time.perf_counter() - due)

    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=200)
    async with httpx2.AsyncClient(base_url=address, timeout=TIMEOUT, limits=limits) as client:
        await ask(client, draw(), time.perf_counter())
        latencies.clear()
        requests = round(rate * seconds)
        sent = []
        first_memory = 0.0
        own, others = time.process_time(), _cpu_seconds(server)
        start = time.perf_counter()
        for number in range(requests):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sent.append(asyncio.create_task(ask(client, draw(), due)))
            if number == requests // 10:
                first_memory = _memory(server)
        await asyncio.gather(*sent)
        took = time.perf_counter() - start
    found = np.array(latencies) * 1_000
    return Load(
        rate=rate,
        requests=requests,
        errors=errors,
        p50_ms=float(np.percentile(found, 50)),
        p99_ms=float(np.percentile(found, 99)),
        longest_ms=float(found.max()),
        generator_cores=(time.process_time() - own) / took,
        server_cores=(_cpu_seconds(server) - others) / took,
        rss_mib_first=first_memory,
        rss_mib_last=_memory(server),
    )


async def highest_rate(
    address: str, server: psutil.Process, draw: Callable[[], Asked], seconds: float
) -> Load | None:
    """The load at the highest rate whose p99 is within bounds, found by steps of a quarter."""
    best, rate = None, 4.0
    while True:
        found = await load(address, server, draw, rate, seconds)
        if found.errors or found.p99_ms > MOST_MS:
            return best
        best, rate = found, rate * 1.25


@contextmanager
def running(command: list[str], port: int) -> Iterator[tuple[str, psutil.Process]]:
    """A server in processes of its own: its address, and the first of them."""
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stderr=log) as process:
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
        finally:
            process.terminate()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            raise SystemExit(f"the server ended with status {process.returncode}")
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _processes(server: psutil.Process) -> list[psutil.Process]:
    return [server, *server.children(recursive=True)]


def _cpu_seconds(server: psutil.Process) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in _processes(server))


def _memory(server: psutil.Process) -> float:
    return sum(each.memory_info().rss for each in _processes(server)) / 2**20


def kinds(bundle: Bundle, seed: int) -> dict[str, Callable[[], Asked]]:
    """What is asked: by name, how a random request is drawn."""
    rng = np.random.default_rng(seed)
    on_sale = bundle.articles.filter("on_sale")["article_id"].to_list()

    def customer() -> str:
        return bundle.customers.customer_id(int(rng.integers(len(bundle.customers))))

    def article() -> str:
        return str(on_sale[int(rng.integers(len(on_sale)))])

    def session() -> Asked:
        seen = [{"article_id": article(), "days_ago": n} for n in range(SESSION_ARTICLES)]
        return Asked("POST", "/v1/sessions/recommendations", {"articles": seen, "k": 12})

    def words() -> Asked:
        row = bundle.articles.row(int(rng.integers(len(bundle.articles))), named=True)
        text = f"{row['colour_group_name']} {row['product_type_name']} {row['prod_name']}"
        return Asked("GET", f"/v1/search?{urlencode({'q': text})}")

    return {
        "session": session,
        "customer": lambda: Asked("GET", f"/v1/customers/{customer()}/recommendations?k=12"),
        "similar articles": lambda: Asked("GET", f"/v1/articles/{article()}/similar"),
        "search": words,
        "explain": lambda: Asked("GET", f"/v1/customers/{customer()}/explanations/{article()}"),
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=300.0, help="at that rate")
    parser.add_argument("--step-seconds", type=float, default=10.0, help="of each tried rate")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", default=["session", "customer", "explain"])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    drawn = kinds(Bundle.open(given.bundle, hashes=False), given.seed)
    # Looked through for garbage, the opened bundle would hold up a tenth of a second's requests.
    gc.freeze()
    result: dict[str, Any] = {**describe_machine(), "workers": given.workers}
    port = _free_port()
    bare = [sys.executable, "-m", "uvicorn", "service_load:constant", "--port", str(port)]
    bare += ["--app-dir", str(Path(__file__).parent), "--log-level", "warning"]
    with running(bare, port) as (address, server):
        found = asyncio.run(
            load(address, server, lambda: Asked("GET", "/"), given.rate, given.step_seconds)
        )
        _show("a bare route", found)
        result["bare route"] = asdict(found)
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        events = str(Path(folder) / "events.sqlite")
        serve = [sys.executable, "-c", "from modiste.cli import main; main()", "serve"]
        serve += [str(given.bundle), "--port", str(port), "--workers", str(given.workers)]
        with running([*serve, "--events", events], port) as (address, server):
            for kind in given.kinds:
                found = asyncio.run(load(address, server, drawn[kind], given.rate, given.seconds))
                _show(kind, found)
                best = asyncio.run(highest_rate(address, server, drawn[kind], given.step_seconds))
                if best is not None:
                    _show(f"{kind}, the highest rate at p99 <= {MOST_MS:.0f} ms", best)
                result[kind] = {
                    "at the rate": asdict(found),
                    "highest": None if best is None else asdict(best),
                }
    print(json.dumps(result))


def _show(kind: str, found: Load) -> None:
    print(
        f"{kind}: {found.rate:.1f}/s, {found.requests:,} requests, {found.errors} errors, "
        f"p50 {found.p50_ms:.1f} ms, p99 {found.p99_ms:.1f} ms, longest {found.longest_ms:.0f} ms; "
        f"cores: server {found.server_cores:.2f}, generator {found.generator_cores:.2f}; "
        f"memory {found.rss_mib_first:,.0f} to {found.rss_mib_last:,.0f} MiB",
        flush=True,
    )


if __name__ == "__main__":
    main()
