"""Settings of the live service."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# What a key may be allowed to do.
Role = Literal["read", "event", "admin"]


class KeySettings(BaseModel):
    """One API key; the key itself is nowhere written down."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        description="Whose key it is, for the logs."
    )
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = Field(
        description="SHA-256 of the key, in hexadecimal digits, as sha256sum prints it."
    )
    roles: tuple[Role, ...] = Field(
        default=("read",),
        min_length=1,
        description="What it may do: read (ask), event (report purchases), admin (everything).",
    )


class LimitSettings(BaseModel):
    """How much one request may ask for, and how many may wait."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    body_bytes: Annotated[int, Field(ge=1_024)] = Field(
        default=65_536, description="Length of a request's body at most, in bytes."
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


class ServiceSettings(BaseModel):
    """Settings of the live service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address that is listened on.")
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
    keys: tuple[KeySettings, ...] = Field(
        default=(),
        description="API keys. None: whoever reaches the port may ask for everything.",
    )
    limits: LimitSettings = Field(default=LimitSettings(), description="Sizes and waiting.")
    shutdown_seconds: Annotated[int, Field(ge=0)] = Field(
        default=10, description="Within which open requests are answered when it is told to stop."
    )
