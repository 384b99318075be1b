"""An event: who did what with which article, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from modiste.data.schema import FIRST_DAY
from modiste.service.live_events import EventKind

# Of ids: no control characters, which no shop's id has and not every database keeps.
_PRINTED = r"^[^\x00-\x1f\x7f]+$"

Id = Annotated[str, Field(min_length=1, max_length=200, pattern=_PRINTED)]

_ID: TypeAdapter[str] = TypeAdapter(Id)

# Events earlier than any history are broken dates.
_EARLIEST = datetime.combine(FIRST_DAY, datetime.min.time(), UTC)

# By how much the clock of whoever sends may be ahead.
_AHEAD = timedelta(minutes=5)


def can_be_id(text: str) -> bool:
    """Whether an event could name somebody or something so."""
    try:
        _ID.validate_python(text)
    except ValidationError:
        return False
    return True


def _in_utc(time: datetime) -> datetime:
    # Compared before it is converted: the first and the last days of the calendar cannot be.
    if time < _EARLIEST:
        raise ValueError(f"is before {FIRST_DAY}")
    if time > datetime.now(UTC) + _AHEAD:
        raise ValueError("lies in the future: look at the clock of whoever sends")
    return time.astimezone(UTC)


class Event(BaseModel):
    """What a customer did with one piece of an article."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_id: Id = Field(
        description="Chosen by the sender, another for every event; sent again, it counts once.",
        examples=["0f6d3a52-8f0e-4c55-9a3b-6f3f7c1d2e4b"],
    )
    customer_id: Id = Field(
        description="May be new: the bundle need not know the customer.",
        examples=["00000dbacae5abe5e23885899a1fa44253a17956c6d1c3d25f88aa139fdfc657"],
    )
    article_id: Id = Field(description="Of the bundle's catalogue.", examples=["0706016001"])
    kind: EventKind
    time: Annotated[AwareDatetime, AfterValidator(_in_utc)] = Field(
        description="When it was done, with its offset from UTC.",
        examples=["2020-09-23T10:15:30Z"],
    )
    price: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=None, description="Paid for the piece, in the shop's unit.", examples=[0.0339]
    )
    channel: Annotated[int, Field(ge=0, le=127)] | None = Field(
        default=None, description="1: shop, 2: online.", examples=[2]
    )
