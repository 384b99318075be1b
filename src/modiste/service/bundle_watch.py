"""While a service answers from one bundle, another one is named: it is checked and taken over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from modiste.errors import BundleError, ModisteError
from modiste.service.bundle import Bundle
from modiste.service.manifest import read_manifest

_logger = logging.getLogger("modiste.service.bundles")

# Where a link leads, and which link it is: a new one to the same place is looked at again.
_Named: TypeAlias = tuple[Path, int, int]


class BundleWatch:
    """Looks, every so often, whether the link to the current bundle is another one.

    Parameters
    ----------
    current
        The link.
    served
        Version of the bundle that is served.
    verify
        Whether every byte of a new bundle is compared with its hash.
    take
        What is done with a new one, when it is opened: no request that began before sees it.
    refused
        What is done beside the log when one cannot be served; the old one goes on.
    """

    def __init__(
        self,
        current: Path,
        served: str,
        *,
        verify: bool,
        take: Callable[[Bundle], None],
        refused: Callable[[], None],
    ) -> None:
        self._current, self._served, self._verify = current, served, verify
        self._take, self._refused = take, refused
        # None yet: the link may have changed since the bundle was opened.
        self._seen: _Named | None = None

    async def look_every(self, seconds: float) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            await self.look()

    async def look(self) -> None:
        """Look once, and take over another bundle when it can be served."""
        named = self._named()
        if named == self._seen:
            return
        self._seen = named
        try:
            if named is None:
                raise BundleError(f"the link {self._current} is gone: swap to a bundle again")
            folder = named[0]
            if read_manifest(folder).version == self._served:
                return
            # In threads of their own: requests are answered meanwhile.
            bundle = await asyncio.to_thread(Bundle.open, folder, hashes=self._verify)
            await asyncio.to_thread(self._take, bundle)
        except ModisteError as error:
            _logger.error("the new bundle is refused, and the old one goes on: %s", error)
            self._refused()
            return
        self._served = bundle.manifest.version
        fields = {"bundle": self._served, "as_of": str(bundle.manifest.as_of)}
        _logger.info("another bundle is served", extra={"fields": fields})

    def _named(self) -> _Named | None:
        try:
            link = self._current.lstat()
        except OSError:
            return None
        return self._current.resolve(), link.st_ino, link.st_mtime_ns
