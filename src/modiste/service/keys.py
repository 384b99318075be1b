"""API keys: who may do what. A file holds their hashes; the keys themselves are nowhere."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Annotated, Protocol, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modiste.config import load_settings
from modiste.engine import atomic_file
from modiste.errors import ConfigError

# Between two looks at whether a file of keys has changed.
_LOOK_SECONDS = 1.0

_logger = logging.getLogger("modiste.service.keys")


class Role(StrEnum):
    """What a key is for."""

    READ = "read"
    EVENT = "event"
    ADMIN = "admin"


class Key(BaseModel):
    """A key, as its file knows it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = Field(
        description="Of whoever holds it; it stands in the logs."
    )
    roles: Annotated[tuple[Role, ...], Field(min_length=1)] = Field(
        description="read: ask; event: send events; admin: both, and erase customers' data."
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="Hash of the key, in hexadecimal digits."
    )
    requests_per_second: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="At most, over time; left out: the service's limit of a key."
    )

    def may(self, role: Role) -> bool:
        """Whether it is for something; an admin's is for all."""
        return role in self.roles or Role.ADMIN in self.roles


class _KeyFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: tuple[Key, ...] = ()


class FindsKeys(Protocol):
    """What knows the keys that are valid."""

    def find(self, presented: str) -> Key | None:
        """The key that somebody presents; None where it is none."""


class Keys:
    """All keys that are valid.

    Parameters
    ----------
    keys
        With names of their own.

    Raises
    ------
    ConfigError
        When there are none, or two have the same name.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        if not keys:
            raise ConfigError("there is no API key: make one with 'modiste keys add'")
        names = [each.name for each in keys]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ConfigError(f"two API keys have the name {min(twice)}: give each its own")
        self._keys = tuple(keys)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read the keys of a file.

        Raises
        ------
        ConfigError
            When it cannot be read, or holds something else.
        """
        return cls(load_settings(_KeyFile(), file, ()).keys)

    def find(self, presented: str) -> Key | None:
        """The key that somebody presents; None where it is none.

        Every hash is compared, each in the same time whatever it is.
        """
        hashed = _hashed(presented)
        found = None
        for each in self._keys:
            if compare_digest(each.sha256, hashed):
                found = each
        return found


class KeyFile:
    """The keys of a file, read again after it has changed: a key is made or revoked at once.

    One without any key lets nobody in. Where the changed file cannot be read, or holds something
    else, the log says so and the keys stay those of before.

    Parameters
    ----------
    file
        Of keys.
    clock
        Seconds, from whenever.

    Raises
    ------
    ConfigError
        As :meth:`Keys.read`.
    """

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._clock = file, clock
        # Looked at before it is read: what is changed meanwhile is read once more.
        self._state = self._state_now()
        self._keys: Keys | None = Keys.read(file)
        self._look_at = clock() + _LOOK_SECONDS

    def find(self, presented: str) -> Key | None:
        """The key that somebody presents; None where it is none."""
        if self._clock() >= self._look_at:
            self._look_at = self._clock() + _LOOK_SECONDS
            self._look()
        return None if self._keys is None else self._keys.find(presented)

    def _look(self) -> None:
        state = self._state_now()
        if state == self._state:
            return
        self._state = state
        try:
            keys = load_settings(_KeyFile(), self._file, ()).keys
            self._keys = Keys(keys) if keys else None
        except (ConfigError, OSError) as error:
            _logger.warning("the keys stay those of before: %s", error)

    def _state_now(self) -> tuple[int, int, int] | None:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def add_key(file: Path, name: str, roles: Sequence[Role]) -> str:
    """Make a new key and note its hash in a file, which is made where there is none.

    Returns
    -------
    The key; it cannot be found out again.

    Raises
    ------
    ConfigError
        When the file holds something else, or a key of that name, or the name is none.
    """
    before = load_settings(_KeyFile(), file, ()).keys if file.exists() else ()
    if any(each.name == name for each in before):
        raise ConfigError(f"{file} has a key {name} already: choose another name, or take it out")
    key = secrets.token_urlsafe(32)
    try:
        added = Key(name=name, roles=tuple(roles), sha256=_hashed(key))
    except ValidationError as error:
        raise ConfigError(
            f"{name!r} is no name of a key: up to 64 letters, digits, dots, dashes and underscores"
        ) from error
    content = _KeyFile(keys=(*before, added)).model_dump(mode="json", exclude_none=True)
    with atomic_file(file) as partial:
        partial.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return key


def _hashed(key: str) -> str:
    # A key has 256 random bits: no slow hash is needed against guessing.
    return sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
