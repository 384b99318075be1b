"""The commands that look after a service: its bundles, its keys, its events.

Heavy libraries are imported inside the commands, as in :mod:`modiste.cli`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

bundle_app = typer.Typer(
    no_args_is_help=True,
    help="Choose which bundle of a folder a running service answers from.",
)
keys_app = typer.Typer(no_args_is_help=True, help="Make API keys.")
events_app = typer.Typer(
    no_args_is_help=True, help="Take what was stored of live events, or keep less of it."
)

_Bundles = Annotated[
    Path, typer.Argument(metavar="BUNDLES", help="Folder that bundles were exported into.")
]


@bundle_app.command("swap")
def swap(
    bundles: _Bundles, name: Annotated[str, typer.Argument(help="Name of one of its bundles.")]
) -> None:
    """Have a bundle served from now on, if every byte of it is what was exported.

    A service that was started with 'modiste serve BUNDLES' notices it within a second or so.
    """
    from modiste.service.bundle_versions import BundleVersions

    manifest = BundleVersions(bundles).swap(name)
    typer.echo(f"Current is {name}: version {manifest.version}, as of {manifest.as_of}.")


@bundle_app.command("rollback")
def rollback(bundles: _Bundles) -> None:
    """Have the bundle served again that was served before this one."""
    from modiste.service.bundle_versions import BundleVersions

    name, manifest = BundleVersions(bundles).rollback()
    typer.echo(f"Current is {name} again: version {manifest.version}, as of {manifest.as_of}.")


@bundle_app.command("list")
def list_bundles(bundles: _Bundles) -> None:
    """Print all bundles of a folder, the current one and the one before it marked."""
    from modiste.service.bundle_versions import CURRENT, PREVIOUS, BundleVersions

    versions = BundleVersions(bundles)
    marks = {versions.name_of(PREVIOUS): "previous", versions.name_of(CURRENT): "current"}
    for name, manifest in versions.names():
        mark = marks.get(name, "")
        mib = sum(each.bytes for each in manifest.files.values()) / 2**20
        typer.echo(
            f"{mark:8}  {name}  version {manifest.version}  as of {manifest.as_of}  {mib:,.0f} MiB"
        )


@keys_app.command("add")
def add_key(
    file: Annotated[Path, typer.Option("--keys", help="File of keys; made where there is none.")],
    name: Annotated[str, typer.Option(help="Of whoever gets the key; it stands in the logs.")],
    role: Annotated[
        list[str],
        typer.Option(help="read: ask; event: send events; admin: all. May be given several times."),
    ],
) -> None:
    """Make an API key and print it, once: the file has its hash alone."""
    from modiste.service.keys import Role
    from modiste.service.keys import add_key as add

    known = {str(each): each for each in Role}
    for each in role:
        if each not in known:
            raise typer.BadParameter(f"{each!r} is none of {', '.join(known)}", param_hint="--role")
    typer.echo(add(file, name, [known[each] for each in role]))


_Store = Annotated[
    str, typer.Option(help="Of the service: a file of SQLite, or postgresql://USER@HOST/NAME.")
]


@events_app.command("export")
def export_events(
    store: _Store,
    out: Annotated[Path, typer.Option("--out", help="CSV file to write.")],
    since: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], help="First day, in UTC [default: all]."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], help="The day after the last one, in UTC [default: all]."
        ),
    ] = None,
) -> None:
    """Write purchases as a transactions file in the Kaggle format, for the next night's ingest.

    Views and carts are no purchases. Returns are left out, and what was sent back stays: it was
    bought, and the ingest knows no returns.
    """
    from modiste.service.events.export import export_purchases
    from modiste.service.events.store import EventStore

    opened = EventStore.open(store)
    exported = export_purchases(opened, out, _day(since), _day(until))
    opened.close()
    typer.echo(
        f"{exported.purchases:,} purchases in {out}; {exported.returns:,} returns are left out."
    )


@events_app.command("prune")
def prune_events(
    store: _Store,
    until: Annotated[
        datetime,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="The day after the last one whose events go, in UTC: the date of a bundle that no "
            "service goes back behind.",
        ),
    ],
) -> None:
    """Delete views, carts and returns of before a day, which no later bundle counts.

    Purchases stay: the next export has them. A service may run meanwhile.
    """
    from modiste.service.events.store import EventStore

    opened = EventStore.open(store)
    pruned = opened.prune(until.replace(tzinfo=UTC))
    opened.close()
    typer.echo(f"{pruned:,} views, carts and returns of before {until.date()} are deleted.")


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()
