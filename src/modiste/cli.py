"""The command line: from raw files to recommendations, a verb a step.

Heavy libraries are imported inside the commands, so that ``modiste --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modiste import __version__
from modiste.errors import ConfigError, ModisteError
from modiste.service.commands import bundle_app, events_app, keys_app

if TYPE_CHECKING:
    from modiste.config import Config

# Threads of PyTorch and LightGBM that wait for each other spin for some microseconds, then sleep.
# As GNU's OpenMP comes they spin for a millisecond, and beside other work on the same cores that
# costs many times what it saves (benchmarks/shared_cores.py). It is read when the first of these
# libraries is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")

app = typer.Typer(
    name="modiste",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help=(
        "Recommendations for fashion retail: from a shop's three tables (articles, customers, "
        "transactions) to twelve well-chosen articles for every customer.\n\n"
        "Start with `modiste synth --out shop` and `modiste run --data shop --out run`."
    ),
)

app.add_typer(bundle_app, name="bundle")
app.add_typer(keys_app, name="keys")
app.add_typer(events_app, name="events")

DataOption = Annotated[
    str,
    typer.Option(
        "--data",
        help="Folder, .zip or fsspec address with the shop's tables, or a folder of prepared ones.",
    ),
]
RawDataOption = Annotated[
    str,
    typer.Option("--data", help="Folder, .zip or fsspec address with the shop's raw tables."),
]
OutOption = Annotated[Path, typer.Option("--out", help="Folder to write.")]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="YAML file of settings; see 'modiste config'.")
]
PresetOption = Annotated[
    str | None,
    typer.Option("--preset", help="Settings that come with modiste: demo, mission, full."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting, such as horizon=3; may be given several times."),
]
ClusterOption = Annotated[
    str | None,
    typer.Option("--cluster", help="Address of a Dask scheduler, such as tcp://scheduler:8786."),
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Threads without a cluster [default: one a core]."),
]
AsOfOption = Annotated[
    datetime | None,
    typer.Option(
        "--as-of",
        formats=["%Y-%m-%d"],
        help="First day to recommend for [default: the day after the data ends].",
    ),
]
HorizonOption = Annotated[
    int | None, typer.Option("--horizon", min=1, help="Days to recommend for [default: 7].")
]


@app.callback(invoke_without_command=True)
def _show_version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"modiste {__version__}")
        raise typer.Exit


@app.command()
def synth(
    out: OutOption,
    scale: Annotated[
        str,
        typer.Option(help="Size of the shop: demo, small, half or full (as large as Kaggle's)."),
    ] = "demo",
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    workers: WorkersOption = None,
) -> None:
    """Write a synthetic shop in the Kaggle format, with the best answer that is possible on it."""
    from modiste.data.synthetic import SCALES, write_shop
    from modiste.engine import Engine

    if scale not in SCALES:
        raise typer.BadParameter(f"{scale!r} is none of {', '.join(SCALES)}", param_hint="--scale")
    with Engine(workers=workers) as engine:
        summary = write_shop(out, SCALES[scale], seed, engine)
    typer.echo(
        f"{summary.rows:,} transactions of {summary.customers:,} customers and "
        f"{summary.articles:,} articles in {out}, in {summary.seconds:.1f} s. The best possible "
        f"lists for the week after reach MAP@12 {summary.expected_map:.4f} (truth.json)."
    )


@app.command()
def ingest(
    data: RawDataOption,
    out: OutOption,
    config: ConfigOption = None,
    preset: PresetOption = None,
    set_: SetOption = None,
    cluster: ClusterOption = None,
    workers: WorkersOption = None,
) -> None:
    """Read a shop's raw tables, check every row, and write prepared Parquet tables."""
    from modiste.data.ingest import ingest as ingest_tables
    from modiste.engine import Engine
    from modiste.report.console import print_ingest_account

    settings = _load(config, preset, set_).ingest
    with Engine(cluster, workers) as engine:
        manifest = ingest_tables(data, out, settings, engine)
    print_ingest_account(manifest, out)


@app.command()
def run(
    data: DataOption,
    out: OutOption,
    as_of: AsOfOption = None,
    horizon: HorizonOption = None,
    config: ConfigOption = None,
    preset: PresetOption = None,
    set_: SetOption = None,
    cluster: ClusterOption = None,
    workers: WorkersOption = None,
    redo_from: Annotated[
        str | None,
        typer.Option("--from", help="Redo this stage and those after it, up to date or not."),
    ] = None,
    only: Annotated[
        str | None, typer.Option("--only", help="Do this stage alone; the others must be there.")
    ] = None,
) -> None:
    """Go the whole way: ingest, fit, choose, evaluate, recommend, report.

    Writes submission.csv (twelve articles for every customer), metrics.json and report.html into
    the folder --out. Started again, it redoes what has changed and nothing else.
    """
    from modiste.engine import Engine
    from modiste.pipeline import run_pipeline
    from modiste.report.console import print_results

    overrides = list(set_ or ())
    if as_of is not None:
        overrides.append(f"as_of={_day(as_of)}")
    if horizon is not None:
        overrides.append(f"horizon={horizon}")
    settings = _load(config, preset, overrides)
    with Engine(cluster, workers) as engine:
        result = run_pipeline(data, out, settings, engine, redo_from=redo_from, only=only)
    if result.metrics:
        print_results(result)


@app.command()
def embed(
    data: DataOption,
    out: OutOption,
    config: ConfigOption = None,
    preset: PresetOption = None,
    set_: SetOption = None,
    cluster: ClusterOption = None,
    workers: WorkersOption = None,
) -> None:
    """Make vectors of the articles' texts, the index that finds similar ones, and a map.

    'modiste similar' looks articles up in the folder --out, and 'modiste run' goes on in it. Each
    text is embedded once: started again, it embeds only what is new. With --set
    vectors.pictures.enabled=true, articles' pictures count, too.
    """
    from modiste.engine import Engine
    from modiste.pipeline import run_article_pipeline

    settings = _load(config, preset, [*(set_ or ()), "vectors.enabled=true"])
    with Engine(cluster, workers) as engine:
        run_article_pipeline(data, out, settings, engine)
    typer.echo(f"Look articles up with: modiste similar --run {out} ARTICLE")


@app.command()
def similar(
    articles: Annotated[
        list[str] | None, typer.Argument(help="Ids of articles to find similar ones of.")
    ] = None,
    run_: Annotated[
        Path, typer.Option("--run", help="Folder of a run, or of 'modiste embed'.")
    ] = Path("run"),
    text: Annotated[
        str | None, typer.Option(help='Words instead: "red linen summer dress".')
    ] = None,
    like: Annotated[list[str] | None, typer.Option(help="One more article to be near to.")] = None,
    unlike: Annotated[
        list[str] | None, typer.Option("--not", help="An article to keep away from.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Number of articles, or of customers.")] = 12,
    on_sale: Annotated[bool, typer.Option("--on-sale", help="Only what can be bought.")] = False,
    where: Annotated[
        list[str] | None,
        typer.Option(help="COLUMN=VALUE: only articles with it, as section_name=Kids Girl."),
    ] = None,
    min_price: Annotated[float | None, typer.Option(help="In the shop's unit.")] = None,
    max_price: Annotated[float | None, typer.Option(help="In the shop's unit.")] = None,
    without: Annotated[list[str] | None, typer.Option(help="An article not to be found.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures there.")] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of product pictures for the page.")
    ] = None,
    customer: Annotated[
        str | None,
        typer.Option(help="Id of a customer: who is most like it, and what they bought last."),
    ] = None,
    full_ids: Annotated[
        bool, typer.Option("--full-ids", help="With --customer: whole ids of the others.")
    ] = False,
) -> None:
    """Find articles that are like others, or like words: by what their texts say.

    With --customer: the customers whose vectors by the run's networks are nearest, what they bought
    last, and the articles on sale that go best with the customer. Of the customers' ids only the
    beginnings are shown, in JSON too, unless --full-ids is given. A run keeps what all that needs
    unless it was told not to (--set privacy.similar_customers=false).
    """
    if customer is not None:
        if articles or text or like or unlike:
            raise ConfigError("ask for a customer, or for articles and words, not for both")
        narrowed = [on_sale, where, min_price is not None, max_price is not None, without]
        if any(narrowed) or html is not None or images is not None:
            raise ConfigError(
                "filters, --html and --images are for articles that are like others: ask for a "
                "customer with --run, -k, --json and --full-ids alone"
            )
        _similar_customers(run_, customer, k, as_json=as_json, full_ids=full_ids)
        return
    if full_ids:
        raise ConfigError("--full-ids is of customers' ids: name a customer (--customer ID)")
    from modiste.engine import atomic_file
    from modiste.lookup import ArticleLookup, Filters
    from modiste.report.console import print_similar, similar_json
    from modiste.report.pictures import PictureFolder
    from modiste.report.similar import similar_html

    asked, unliked = [*(articles or ()), *(like or ())], unlike or []
    filters = Filters(on_sale, _pairs(where or ()), min_price, max_price, without or ())
    lookup = ArticleLookup.open(run_)
    found = lookup.similar(*asked, text=text, unlike=unliked, filters=filters, k=k)
    question = " and ".join([*asked, *([f"“{text}”"] if text else [])])
    if unliked:
        question += f", not {' nor '.join(unliked)}"
    if html is not None:
        rows = lookup.articles[lookup.codes(asked)]
        page = similar_html(question, filters.in_words(), rows, found, PictureFolder(images))
        with atomic_file(html) as partial:
            partial.write_text(page, encoding="utf-8")
    if as_json:
        typer.echo(similar_json(question, filters.in_words(), found))
    else:
        print_similar(question, filters.in_words(), found)


def _similar_customers(run: Path, customer: str, k: int, *, as_json: bool, full_ids: bool) -> None:
    from modiste.customer_lookup import CustomerLookup, with_beginnings
    from modiste.data.ids import beginning
    from modiste.report.console import print_similar_customers, similar_customers_json

    lookup = CustomerLookup.open(run)
    found, suggested = lookup.similar(customer, k), lookup.suggested(customer)
    if not full_ids:
        customer, found = beginning(customer), with_beginnings(found)
    if as_json:
        typer.echo(similar_customers_json(customer, found, suggested))
    else:
        print_similar_customers(customer, found, suggested)


@app.command()
def explain(
    customer: Annotated[str, typer.Argument(help="Whole id of a customer.")],
    article: Annotated[
        str | None, typer.Argument(help="Id of an article [default: those that are shown].")
    ] = None,
    run_: Annotated[Path, typer.Option("--run", help="Folder of a finished run.")] = Path("run"),
    k: Annotated[int, typer.Option("-k", min=1, help="Number of articles that are shown.")] = 12,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of prepared tables, where the run was made from one that was moved."
        ),
    ] = None,
) -> None:
    """Say why a customer is shown an article, or is not: sources, purchases, features, scores.

    Without an article: those that are shown, each with its reason. Of the customer's id only the
    beginning is shown, in JSON too.
    """
    from modiste.data.ids import beginning
    from modiste.fitted_run import FittedRun
    from modiste.report.console import (
        explanation_json,
        print_explanation,
        print_reasons,
        reasons_json,
    )

    fitted = FittedRun.open(run_, data)
    code = None if article is None else fitted.code(article)
    explained = fitted.customer(customer, k)
    who = beginning(customer)
    if code is None:
        listed, as_of = explained.listed(), explained.as_of
        if as_json:
            typer.echo(reasons_json(who, as_of, listed))
        else:
            print_reasons(who, as_of, listed)
        return
    explanation = explained.explain(code)
    if as_json:
        typer.echo(explanation_json(who, explanation))
    else:
        print_explanation(who, explanation)


@app.command()
def export(
    run_: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    out: OutOption,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of prepared tables, where the run was made from one that was moved."
        ),
    ] = None,
    purchases: Annotated[
        Path | None,
        typer.Option(
            help="CSV of what was bought after the run's date, for the page to show and measure by."
        ),
    ] = None,
) -> None:
    """Write a bundle: one folder with all that 'modiste serve' needs of a run, and its hashes."""
    from modiste.service.export import export_bundle

    manifest = export_bundle(run_, out, data, purchases)
    mib = sum(each.bytes for each in manifest.files.values()) / 2**20
    typer.echo(
        f"Bundle {manifest.version} as of {manifest.as_of} in {out}: {manifest.customers:,} "
        f"customers and {manifest.articles:,} articles, {mib:,.0f} MiB. "
        f"Serve it with: modiste serve {out}"
    )


@app.command()
def serve(
    bundle: Annotated[
        Path,
        typer.Argument(
            help="Folder that 'modiste export' wrote, or one of several ('modiste bundle')."
        ),
    ],
    host: Annotated[
        str | None, typer.Option(help="Address to listen on [default: 127.0.0.1].")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on [default: 8000].")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that answer [default: 1].")
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(help="File of API keys; see 'modiste keys add'.")
    ] = None,
    events: Annotated[
        str | None,
        typer.Option(
            help=(
                "Where events are kept: a file of SQLite, or postgresql://USER@HOST/NAME "
                "[default: events.sqlite]."
            )
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--config", help="YAML file of the service's settings.")
    ] = None,
    set_: SetOption = None,
) -> None:
    """Answer over HTTP from a bundle: /v1/customers/ID/recommendations.

    The API describes itself under /openapi.json. It stops at Ctrl-C, when open requests are
    answered.
    """
    from modiste.config import load_settings
    from modiste.service.server import serve as serve_bundle
    from modiste.service.settings import ServiceSettings

    given = {
        "host": host,
        "port": port,
        "workers": workers,
        "keys": keys,
        "events.store": events,
    }
    overrides = [f"{name}={value}" for name, value in given.items() if value is not None]
    settings = load_settings(ServiceSettings(), file, [*(set_ or ()), *overrides])
    serve_bundle(bundle, settings)


@app.command()
def evaluate(
    submission: Annotated[Path, typer.Argument(help="A submission.csv, of modiste or not.")],
    data: Annotated[Path, typer.Option("--data", help="Folder of prepared tables, or a run.")],
    as_of: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], help="First day that counts [default: the last week's]."
        ),
    ] = None,
    horizon: Annotated[int, typer.Option(min=1, help="Number of days that count.")] = 7,
    purchases: Annotated[
        Path | None,
        typer.Option(help="CSV of later purchases (customer_id, article_id) to count instead."),
    ] = None,
) -> None:
    """Score a submission on what was bought: in days of the data, or in a file of later days."""
    from modiste.data.dataset import Window
    from modiste.engine import Engine
    from modiste.pipeline import best_possible, evaluate_submission
    from modiste.report.console import print_scores

    window = Window(_day(as_of), horizon) if as_of else None
    with Engine() as engine:
        scores = evaluate_submission(submission, data, window, purchases, engine)
    # A synthetic shop's truth is of the week in this file, and of no other days.
    of_truth = purchases is not None and purchases.name == "next_week.csv"
    print_scores(
        scores, ceiling=best_possible(purchases.parent) if purchases and of_truth else None
    )


@app.command()
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN…", help="Folders of finished runs; the first is the base."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder to write [default: one beside the first run]."),
    ] = None,
) -> None:
    """Put runs side by side: settings that differ, every metric, time and memory.

    Writes comparison.json and comparison.html. Where two runs asked about the same customers in the
    same days, the difference is taken customer by customer and has an interval of its own.
    """
    from modiste.report.comparison import compare_runs, default_folder, write_comparison
    from modiste.report.comparison_page import comparison_html
    from modiste.report.console import print_comparison

    comparison = compare_runs(runs)
    folder = out or default_folder(runs)
    print_comparison(comparison, write_comparison(comparison, comparison_html(comparison), folder))


@app.command()
def config(
    file: ConfigOption = None,
    preset: PresetOption = None,
    set_: SetOption = None,
) -> None:
    """Print all settings as YAML, each with its meaning: the start of a config file."""
    from modiste.config import describe_config

    typer.echo(describe_config(_load(file, preset, set_)), nl=False)


def _load(file: Path | None, preset: str | None, overrides: list[str] | None) -> Config:
    from modiste.config import load_config

    return load_config(file, preset, overrides or ())


def _pairs(options: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not (name and equals and value):
            raise typer.BadParameter(f"{option!r} is not COLUMN=VALUE", param_hint="--where")
        pairs[name] = value
    return pairs


# The exit status that Typer makes of Ctrl-C, as shells do.
_INTERRUPTED = 130


def _day(moment: datetime) -> date:
    return moment.date()


def main() -> None:
    """Run the command line; what the user can put right ends with one message and status 2."""
    try:
        app()
    except ModisteError as error:
        typer.echo(f"modiste: error: {error}", err=True)
        sys.exit(2)
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            typer.echo("modiste: interrupted; a run started again goes on from there", err=True)
        raise
