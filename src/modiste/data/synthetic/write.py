"""Writing a shop: blocks of customers in parallel, then weeks in parallel, then one file each."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.data.synthetic.arrays import Floats, Ints, stream
from modiste.data.synthetic.calendar import HORIZON_DAYS, Calendar, make_calendar
from modiste.data.synthetic.catalogue import Catalogue, Niches, make_catalogue
from modiste.data.synthetic.customers import (
    People,
    customers_frame,
    make_ids,
    make_people,
    make_personas,
)
from modiste.data.synthetic.market import Market, market_file, write_markets
from modiste.data.synthetic.purchases import (
    History,
    Purchases,
    Shopper,
    expected_picks,
    walk_through,
)
from modiste.data.synthetic.settings import MODEL, Model, ShopSize, json_ready
from modiste.data.synthetic.truth import Truth, average_precision, best_rankings, niche_tops
from modiste.engine import Engine, atomic_folder
from modiste.errors import ModisteError

# Prices in the H&M table are amounts divided by 590.
_PRICE_UNIT = 59_000.0
_CALIBRATION_TOLERANCE = 0.002
_CALIBRATION_ROUNDS = 14
_TRUTH = "truth.json"
# Customers times copies of the horizon that are simulated in one go: bounds memory.
_SIMULATED_TOGETHER = 200_000


@dataclass(frozen=True)
class ShopSummary:
    """What was written.

    Attributes
    ----------
    rows, customers, articles, next_week_rows
        Rows of the four CSV files.
    buyers_next_week
        Customers with a purchase in the horizon.
    expected_map
        The ceiling: expected MAP@12 of the best rankings over the customers who buy.
    simulated_map, simulated_map_error
        The same by simulating the horizon many times, and its standard error.
    seconds
        Wall-clock time.
    """

    rows: int
    customers: int
    articles: int
    next_week_rows: int
    buyers_next_week: int
    expected_map: float
    simulated_map: float
    simulated_map_error: float
    seconds: float


@dataclass(frozen=True)
class _Plan:
    """All that a block or week needs to be made anywhere: picklable and small."""

    work: Path
    size: ShopSize
    seed: int
    model: Model

    def calendar(self) -> Calendar:
        return make_calendar(self.size.first_day, self.size.last_day)

    def market(self, week: int) -> Market:
        return Market.load(market_file(self.work, week))

    def file(self, kind: str, number: int, suffix: str) -> Path:
        """Where a block or week leaves something for a later stage."""
        return self.work / f"{kind}-{number:05d}.{suffix}"

    def copies(self) -> int:
        """Independent copies of the horizon to simulate for the ceiling."""
        # A row in 450 falls on a buyer of a given week (4.3 rows a buyer and week, 105 weeks).
        return max(1, round(self.size.evaluated_weeks * 450 / self.size.rows))


def write_shop(
    folder: Path, size: ShopSize, seed: int, engine: Engine, model: Model = MODEL
) -> ShopSummary:
    """Write a synthetic shop in the format of the Kaggle H&M data, with its truth.

    Files: ``articles.csv``, ``customers.csv``, ``transactions_train.csv``, ``next_week.csv``
    (transactions of the 7 days after the data), ``truth.parquet``, ``truth.json``. The same size
    and seed give the same bytes on any engine. The folder appears whole at the end, or not at all.

    Parameters
    ----------
    folder : Path
        An earlier synthetic shop there is replaced.
    size : ShopSize
        One of ``SCALES`` or your own.
    seed : int
        Not negative.
    engine : Engine
        Runs blocks of customers, and later weeks, in parallel.
    model : Model
        Constants of the generative model.

    Raises
    ------
    ModisteError
        When the folder holds something else, or cannot be written.
    """
    started = time.perf_counter()
    ours = not folder.exists() or (folder / _TRUTH).is_file()
    if not ours and (folder.is_file() or any(folder.iterdir())):
        raise ModisteError(
            f"{folder} is there and is no synthetic shop: it is not replaced. Choose another "
            "place, or move it away"
        )
    with atomic_folder(folder) as out:
        work = out / "work"
        work.mkdir()
        summary = _write_files(_Plan(work, size, seed, model), out, engine)
        shutil.rmtree(work)
    return replace(summary, seconds=time.perf_counter() - started)


def _write_files(plan: _Plan, out: Path, engine: Engine) -> ShopSummary:
    size, calendar = plan.size, plan.calendar()
    catalogue, articles = make_catalogue(size, calendar, plan.seed, plan.model)
    articles.write_csv(out / "articles.csv")
    articles.select("article_id").write_ipc(plan.work / "articles.arrow")
    _save(plan.work / "catalogue.npz", catalogue)
    write_markets(plan.work, catalogue, calendar, plan.seed, plan.model)

    blocks = list(range(size.blocks))
    engine.map(partial(_write_people, plan), blocks, label="customers")
    _join_files([plan.file("customers", b, "csv") for b in blocks], out / "customers.csv")
    ids = pl.concat([pl.read_ipc(plan.file("ids", b, "arrow")) for b in blocks])
    ids.rechunk().write_ipc(plan.work / "customers.arrow")
    del ids

    factor = _calibrate(plan, engine, blocks)
    counts = engine.map(partial(_write_purchases, plan, factor), blocks, label="purchases")
    rows_of_week = np.sum(counts, axis=0)
    extra = _quantities(rows_of_week, size.rows)
    tasks = [(week, int(more)) for week, more in enumerate(extra)]
    files = engine.map(partial(_write_week, plan), tasks, label="weeks")
    _join_files(files, out / "transactions_train.csv", TRANSACTION_COLUMNS)

    scores = engine.map(partial(_write_truth, plan), blocks, label="truth")
    repeats = round(sum(s.next_rows for s in scores) * int(extra.sum()) / int(rows_of_week.sum()))
    next_file = _write_week(plan, (calendar.weeks, repeats))
    _join_files([next_file], out / "next_week.csv", TRANSACTION_COLUMNS)
    parts = [pl.read_ipc(plan.file("truth", b, "arrow")) for b in blocks]
    pl.concat(parts).write_parquet(out / "truth.parquet", compression="zstd")

    score = _add_up(scores)
    summary = ShopSummary(
        rows=size.rows,
        customers=size.customers,
        articles=size.articles,
        next_week_rows=score.next_rows + repeats,
        buyers_next_week=score.next_buyers,
        expected_map=score.expected / max(score.visits, 1e-12),
        simulated_map=score.simulated / max(score.simulations, 1),
        simulated_map_error=score.standard_error,
        seconds=0.0,
    )
    notes = _truth_notes(plan, summary, score, factor)
    (out / _TRUTH).write_text(json.dumps(notes, indent=2) + "\n")
    return summary


# --- files between the stages --------------------------------------------------------------

_ROW = np.dtype(
    [
        ("customer", np.int32),
        ("article", np.int32),
        ("cents", np.int32),
        ("day", np.uint8),
        ("channel", np.uint8),
    ]
)
TRANSACTION_COLUMNS = ("t_dat", "customer_id", "article_id", "price", "sales_channel_id")


def _save(file: Path, record: Any) -> None:
    """Save the arrays of a dataclass, those of nested ones under dotted names."""
    arrays: dict[str, Any] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if is_dataclass(value):
            arrays |= {f"{field.name}.{f.name}": getattr(value, f.name) for f in fields(value)}
        else:
            arrays[field.name] = value
    np.savez(file, **arrays)


def _load_catalogue(plan: _Plan) -> Catalogue:
    with np.load(plan.work / "catalogue.npz") as arrays:
        niches = Niches(**{f.name: arrays[f"niches.{f.name}"] for f in fields(Niches)})
        rest = {f.name: arrays[f.name] for f in fields(Catalogue) if f.name != "niches"}
    return Catalogue(niches=niches, **rest)


def _load_people(plan: _Plan, block: int) -> People:
    with np.load(plan.file("people", block, "npz")) as arrays:
        return People(**{f.name: arrays[f.name] for f in fields(People)})


def _join_files(files: list[Path], out: Path, header: tuple[str, ...] = ()) -> None:
    """Append files to one, deleting each, so that the disk never holds everything twice."""
    with out.open("wb") as target:
        if header:
            target.write((",".join(header) + "\n").encode())
        for file in files:
            with file.open("rb") as source:
                shutil.copyfileobj(source, target, 1 << 22)
            file.unlink()


# --- stages --------------------------------------------------------------------------------


def _write_people(plan: _Plan, block: int) -> None:
    """Draw a block's customers and write their rows of ``customers.csv``."""
    niches = _load_catalogue(plan).niches
    personas = make_personas(plan.size, niches, plan.seed)
    people = make_people(
        plan.size, personas, plan.size.niches, plan.calendar(), block, plan.seed, plan.model
    )
    _save(plan.file("people", block, "npz"), people)
    ids = make_ids(plan.size, block, plan.seed)
    ids.to_frame().write_ipc(plan.file("ids", block, "arrow"))
    frame = customers_frame(plan.size, ids, people, block, plan.seed)
    frame.write_csv(plan.file("customers", block, "csv"), include_header=block == 0)


def _calibrate(plan: _Plan, engine: Engine, blocks: list[int]) -> float:
    """Find how often people come, such that purchases without quantities fit the rows.

    What stays between the simulated and the exact number of rows is made up by quantities.
    """
    middle = plan.market(plan.calendar().weeks // 2)
    mates = niche_tops(middle, _load_catalogue(plan), plan.model).shop_mates
    target = plan.size.rows / (1 + plan.model.repeats) / (1 + mates)
    low, high = 0.0, 0.0
    factor, best, best_miss = 0.14, 0.0, np.inf
    for _ in range(_CALIBRATION_ROUNDS):
        picks = sum(engine.map(partial(_expected_picks, plan, factor), blocks, label="calibration"))
        miss = picks / target - 1
        if abs(miss) < best_miss:
            best, best_miss = factor, abs(miss)
        if best_miss < _CALIBRATION_TOLERANCE:
            break
        if miss < 0:
            low = factor
            factor = (low + high) / 2 if high else factor / max(1 + 1.2 * miss, 0.2)
        else:
            high = factor
            factor = (low + high) / 2 if low else factor / min(1 + 1.2 * miss, 5.0)
    return best


def _expected_picks(plan: _Plan, factor: float, block: int) -> float:
    people = _load_people(plan, block)
    rng = stream(plan.seed, "visits", block)
    return expected_picks(people, plan.calendar(), factor, rng, plan.model)


def _write_purchases(plan: _Plan, factor: float, block: int) -> Ints:
    """Walk a block through all weeks; returns its rows in each week."""
    catalogue, people = _load_catalogue(plan), _load_people(plan, block)
    mine = _articles_of_block(plan.size, block)
    result = walk_through(
        plan.market,
        catalogue,
        people,
        plan.calendar(),
        factor,
        mine[catalogue.debut[mine] >= 0],
        stream(plan.seed, "visits", block),
        stream(plan.seed, "picks", block),
        plan.model,
    )
    _save_rows(plan.file("rows", block, "npy"), plan.size, block, result.purchases)
    np.save(plan.file("weeks", block, "npy"), result.week_first)
    np.savez(
        plan.file("state", block, "npz"),
        article=result.history.article,
        count=result.history.count,
        visit_probability=result.visit_probability,
    )
    return np.diff(result.week_first)


def _articles_of_block(size: ShopSize, block: int) -> Ints:
    """Articles whose sure sale a block makes: as many as its share of the customers."""
    first, last = size.block_range(block)
    bounds = [edge * size.articles // size.customers for edge in (first, last)]
    return np.arange(*bounds, dtype=np.int32)


def _save_rows(file: Path, size: ShopSize, block: int, purchases: Purchases) -> None:
    rows = np.empty(len(purchases.customer), dtype=_ROW)
    for name in _ROW.names or ():
        rows[name] = getattr(purchases, name)
    rows["customer"] += size.block_range(block)[0]
    np.save(file, rows)


def _quantities(rows_of_week: Ints, rows: int) -> Ints:
    """How many rows of each week repeat another, so that the total is exact."""
    missing = rows - int(rows_of_week.sum())
    if missing < 0:
        raise ValueError(
            f"{-missing} purchases more than the {rows} rows asked for: this size has too many "
            "customers or articles for its rows"
        )
    # Shares of the running total, rounded: they differ by less than a row and add up exactly.
    upto = np.cumsum(rows_of_week.astype(np.int64)) * missing // int(rows_of_week.sum())
    return np.diff(upto, prepend=0)


def _write_week(plan: _Plan, task: tuple[int, int]) -> Path:
    """Gather a week's rows from all blocks, add quantities, order them by day and write CSV."""
    week, extra = task
    calendar = plan.calendar()
    rows = np.concatenate(
        [_rows_of_week(plan, block, week, calendar) for block in range(plan.size.blocks)]
    )
    # Blocks and their customers stand in the order of ids: sorting by day keeps that order.
    rows = rows[np.argsort(rows["day"], kind="stable")]
    rows = np.repeat(rows, _times(len(rows), extra, stream(plan.seed, "repeats", week), plan.model))
    customers = pl.read_ipc(plan.work / "customers.arrow")["customer_id"]
    articles = pl.read_ipc(plan.work / "articles.arrow")["article_id"]
    day = calendar.week_start[week] + rows["day"].astype(np.int32)
    frame = pl.DataFrame(
        {
            "t_dat": pl.Series(day.astype(np.int32)).cast(pl.Date),
            "customer_id": customers[rows["customer"]],
            "article_id": articles[rows["article"]],
            "price": rows["cents"] / _PRICE_UNIT,
            "sales_channel_id": rows["channel"],
        }
    )
    file = plan.file("transactions", week, "csv")
    frame.write_csv(file, include_header=False)
    return file


def _rows_of_week(plan: _Plan, block: int, week: int, calendar: Calendar) -> NDArray[np.void]:
    if week == calendar.weeks:
        return np.asarray(np.load(plan.file("next", block, "npy")))
    first, last = np.load(plan.file("weeks", block, "npy"))[week : week + 2]
    rows = np.load(plan.file("rows", block, "npy"), mmap_mode="r")
    return np.array(rows[first:last])


def _times(rows: int, extra: int, rng: np.random.Generator, model: Model) -> Ints:
    """How often each row stands in the table: 1, and more for ``extra`` quantities."""
    times = np.ones(rows, dtype=np.int64)
    if extra:
        first = rng.choice(rows, min(rows, round(extra * (1 - model.repeats_again))), replace=False)
        first = first if len(first) else rng.integers(rows, size=1)
        times[first] += 1
        again = first[rng.integers(len(first), size=max(extra - len(first), 0))]
        np.add.at(times, again, 1)
        # One row rounded to one repeat may exceed what was asked for.
        times[first[: max(len(first) - extra, 0)]] -= 1
    return times


# --- truth ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Score:
    """Sums over customers of a block, from which the ceiling follows."""

    visits: float  # expected buyers in the horizon
    expected: float  # expected sum of their AP@12
    simulated: float  # sum of AP@12 over simulated buyers
    simulated_squares: float
    simulations: int  # simulated buyers
    next_rows: int
    next_buyers: int
    next_score: float  # sum of AP@12 over the buyers of next_week.csv

    @property
    def standard_error(self) -> float:
        n = max(self.simulations, 1)
        spread = max(self.simulated_squares / n - (self.simulated / n) ** 2, 0.0)
        return float(np.sqrt(spread / n))


def _add_up(scores: list[_Score]) -> _Score:
    return _Score(*(sum(getattr(s, f.name) for s in scores) for f in fields(_Score)))


def _write_truth(plan: _Plan, block: int) -> _Score:
    """Best rankings of a block, and its purchases in the horizon, simulated once and many times."""
    catalogue, people, calendar = _load_catalogue(plan), _load_people(plan, block), plan.calendar()
    market = plan.market(calendar.weeks)
    with np.load(plan.file("state", block, "npz")) as state:
        history = History(state["article"], state["count"])
        visit = state["visit_probability"].astype(np.float64)
    tops = niche_tops(market, catalogue, plan.model)
    truth = best_rankings(market, tops, catalogue, people, history, plan.model)

    shopper = Shopper.make(catalogue, people, plan.model)
    n = len(visit)

    def simulate(copies: int, rng: np.random.Generator) -> tuple[Floats, Purchases, Ints]:
        """AP@12 of every buyer of some independent copies of the horizon."""
        visitors = np.nonzero(rng.random((copies, n)) < visit)[1]
        nobody = np.zeros(0, dtype=np.int32)
        days = calendar.day_share[calendar.weeks]
        bought = shopper.buy(market, history, visitors, days, nobody, rng)
        ap = average_precision(truth.article[visitors], bought.customer, bought.article)
        return ap, bought, visitors

    ap, bought, visitors = simulate(1, stream(plan.seed, "next_week", block))
    bought = replace(bought, customer=visitors[bought.customer].astype(np.int32))
    _save_rows(plan.file("next", block, "npy"), plan.size, block, bought)

    rng = stream(plan.seed, "ceiling", block)
    together = max(_SIMULATED_TOGETHER // n, 1)
    copies = plan.copies()
    simulated = np.concatenate(
        [simulate(min(together, copies - i), rng)[0] for i in range(0, copies, together)]
    )
    _truth_frame(plan, block, truth, visit).write_ipc(plan.file("truth", block, "arrow"))
    return _Score(
        visits=float(visit.sum()),
        expected=float(visit @ truth.expected_ap),
        simulated=float(simulated.sum()),
        simulated_squares=float((simulated**2).sum()),
        simulations=len(simulated),
        next_rows=len(bought.customer),
        next_buyers=len(visitors),
        next_score=float(ap.sum()),
    )


def _truth_frame(plan: _Plan, block: int, truth: Truth, visit: Floats) -> pl.DataFrame:
    ids = pl.read_ipc(plan.file("ids", block, "arrow"))["customer_id"]
    articles = pl.read_ipc(plan.work / "articles.arrow")["article_id"]
    flat = truth.article.ravel()
    known = pl.Series(flat >= 0)
    best = articles[np.maximum(flat, 0)].zip_with(known, pl.Series([None], dtype=pl.String))
    chance = pl.Series(truth.probability.ravel()).zip_with(
        known, pl.Series([None], dtype=pl.Float32)
    )
    return pl.DataFrame(
        {
            "customer_id": ids,
            "article_ids": best.reshape(truth.article.shape).arr.to_list().list.drop_nulls(),
            "probabilities": chance.reshape(truth.article.shape).arr.to_list().list.drop_nulls(),
            "expected_ap": truth.expected_ap,
            "buys": visit,
        }
    )


def _truth_notes(plan: _Plan, summary: ShopSummary, score: _Score, factor: float) -> dict[str, Any]:
    calendar = plan.calendar()
    start = np.datetime64(int(calendar.week_start[calendar.weeks]), "D")
    return {
        "horizon_days": HORIZON_DAYS,
        "horizon_start": str(start),
        "places": 12,
        "expected_map": summary.expected_map,
        "how": (
            "Mean over customers of the expected AP@12 of the ranking in truth.parquet, given that "
            "the customer buys, weighted by the probability of buying in the horizon. Computed in "
            "closed form from the generative model and the state at the end of the data."
        ),
        "simulated_map": summary.simulated_map,
        "simulated_map_error": summary.simulated_map_error,
        "simulated_customer_weeks": score.simulations,
        "how_simulated": "Mean AP@12 of the same rankings over independent simulated horizons.",
        "expected_buyers": score.visits,
        "next_week": {
            "rows": summary.next_week_rows,
            "buyers": summary.buyers_next_week,
            "map": score.next_score / max(score.next_buyers, 1),
        },
        "seed": plan.seed,
        "visits_factor": factor,
        "size": {k: json_ready(v) for k, v in asdict(plan.size).items()},
        "model": asdict(plan.model),
    }
