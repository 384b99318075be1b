"""The bodies of requests and responses about events."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Discriminator, Field, Tag

from modiste.service.events.event import Event
from modiste.service.events.store import Outcome

# Events of one request at most.
MOST_EVENTS = 1_000


def _one_or_several(body: Any) -> str:
    return "several" if isinstance(body, list) else "one"


OneOrSeveral = Annotated[
    Annotated[Event, Tag("one")]
    | Annotated[
        Annotated[list[Event], Field(min_length=1, max_length=MOST_EVENTS)], Tag("several")
    ],
    Discriminator(_one_or_several),
]


class EventResult(BaseModel):
    """What became of one event."""

    event_id: str
    status: int = Field(
        description=(
            "201: stored. 200: was stored before. 409: another event has this id, and stays. "
            "410: is of before the customer's data was erased. 422: no article has this id."
        ),
        examples=[201],
    )
    outcome: Outcome | None = Field(
        description="The same in a word; null where the event was refused unseen."
    )
    detail: str | None = Field(default=None, description="What is wrong with it.")


class EventResults(BaseModel):
    """What became of the events, in their order; what is stored is on disk."""

    results: list[EventResult]


class Erasure(BaseModel):
    """What was erased."""

    events: int = Field(description="Events that were deleted.", examples=[17])
    erased_at: datetime = Field(
        description="Nothing of before this time is used or taken any more."
    )
