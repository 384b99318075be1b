"""Settings of the live service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from modiste.service.live_events import KINDS, EventKind


class LimitSettings(BaseModel):
    """How much one request may ask for, and how many may wait."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    body_bytes: Annotated[int, Field(ge=1_024)] = Field(
        default=262_144, description="Length of a request's body at most, in bytes."
    )
    body_seconds: Annotated[float, Field(gt=0)] = Field(
        default=10.0, description="Within which a request's body has to be there."
    )
    header_seconds: Annotated[int, Field(ge=1)] = Field(
        default=10,
        description=(
            "Within which a request's headers have to be there, and after which a connection "
            "without requests is closed."
        ),
    )
    connections: Annotated[int, Field(ge=1)] = Field(
        default=1_000,
        description="Connections of a process at most; further ones are answered 503 at once.",
    )
    key_requests_per_second: Annotated[float, Field(gt=0)] = Field(
        default=100.0,
        description=(
            "Requests that a key may make in a second, over time; each process lets through its "
            "share of them."
        ),
    )
    key_burst: Annotated[float, Field(ge=1)] = Field(
        default=200.0, description="Requests that a key may make at once, after a pause."
    )
    waiting: Annotated[int, Field(ge=1)] = Field(
        default=64,
        description=(
            "Requests that wait for their turn in a process at most; further ones are told to come "
            "back later (503)."
        ),
    )
    seconds: Annotated[float, Field(gt=0)] = Field(
        default=5.0,
        description="After which a request that still waits for its turn or answer is given up.",
    )


class EventSettings(BaseModel):
    """Where events are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: str | None = Field(
        default="events.sqlite",
        description=(
            "A file of SQLite (its path, or sqlite:///FILE), or postgresql://USER@HOST/NAME; null: "
            "no events are taken."
        ),
    )
    seconds: Annotated[float, Field(gt=0)] = Field(
        default=5.0, description="After which the store is given up, by statement and request."
    )
    retry_seconds: Annotated[int, Field(ge=1)] = Field(
        default=2, description="After which whoever could not be served should come back."
    )
    waiting: Annotated[int, Field(ge=1)] = Field(
        default=20_000, description="Events that wait to be stored, in a process, at most."
    )


class LiveSettings(BaseModel):
    """How events after the bundle's date count."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    counted: frozenset[EventKind] = Field(
        default=frozenset(KINDS),
        description=(
            "Kinds of events that the next answer counts: a view, a cart and a purchase as an "
            "article of the customer's, a return takes the latest purchase of its article away. "
            "Only purchases count as bought for the rules."
        ),
    )
    horizon_days: Annotated[int, Field(ge=1)] = Field(
        default=7,
        description=(
            "Days after the bundle's date that are told apart, as many as rankers have learned to "
            "look ahead: with an older bundle, later events count as of the last of them."
        ),
    )


class ServiceSettings(BaseModel):
    """Settings of the live service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(
        default="127.0.0.1",
        description="Address that is listened on; another than this machine's own needs keys.",
    )
    port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        default=8000, description="Port that is listened on; 0: a free one, which is printed."
    )
    workers: Annotated[int, Field(ge=1, le=256)] = Field(
        default=1, description="Processes that answer; each uses one core."
    )
    verify: bool = Field(
        default=True,
        description="Whether every byte of the bundle is compared with its hash at the start.",
    )
    keys: Path | None = Field(
        default=None,
        description="File of API keys ('modiste keys add'); without one everything is allowed.",
    )
    images: Path | None = Field(
        default=None,
        description=(
            "Folder of the articles' photographs, named as in the Kaggle data "
            "(010/0108775015.jpg), for the page; left out: articles are drawn."
        ),
    )
    limits: LimitSettings = Field(default=LimitSettings(), description="Sizes and waiting.")
    events: EventSettings = Field(default=EventSettings(), description="Where events are kept.")
    swap_seconds: Annotated[float, Field(gt=0)] = Field(
        default=1.0,
        description="How often is looked whether another bundle of the folder is the current one.",
    )
    live: LiveSettings = Field(default=LiveSettings(), description="What happened since.")
    shutdown_seconds: Annotated[int, Field(ge=0)] = Field(
        default=10, description="Within which open requests are answered when it is told to stop."
    )
