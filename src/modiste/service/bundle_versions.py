"""A folder of bundles, one of which is current: swapped and rolled back by one rename.

The folder holds bundles under any names, and two links: ``current`` to the one that is served, and
``previous`` to the one that was before it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from modiste.errors import BundleError
from modiste.service.manifest import FILE_NAME, BundleManifest, check_files, read_manifest

CURRENT, PREVIOUS = "current", "previous"


class BundleVersions:
    """The bundles of a folder.

    Parameters
    ----------
    folder
        That holds them.

    Raises
    ------
    BundleError
        When it is no folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise BundleError(f"there is no folder {folder}: make it, and export bundles into it")
        self.folder = folder

    @classmethod
    def holds(cls, folder: Path) -> bool:
        """Whether a folder is one of bundles, with a current one, and not a bundle."""
        return (folder / CURRENT).is_symlink()

    @property
    def current(self) -> Path:
        """Path through which the current bundle is reached; a link."""
        return self.folder / CURRENT

    def names(self) -> Iterator[tuple[str, BundleManifest]]:
        """All bundles by name, in the order of their names, each with its account.

        Raises
        ------
        BundleError
            When one of them cannot be read.
        """
        for path in sorted(self.folder.iterdir()):
            hidden = path.is_symlink() or path.name.startswith(".")
            if not hidden and (path / FILE_NAME).is_file():
                yield path.name, read_manifest(path)

    def name_of(self, link: str) -> str | None:
        """Name of the bundle that a link leads to; None where there is no such link."""
        try:
            return str((self.folder / link).readlink())
        except OSError:
            return None

    def swap(self, name: str) -> BundleManifest:
        """Make a bundle the current one, when every byte of it is what was exported.

        Raises
        ------
        BundleError
            When it lies elsewhere, is none, of another format, or damaged; all stays as it is then.
        """
        if name in (CURRENT, PREVIOUS, "", ".", "..") or Path(name).name != name:
            raise BundleError(
                f"{name!r} is no name of a bundle in {self.folder}: see 'bundle list'"
            )
        bundle = self.folder / name
        manifest = read_manifest(bundle)
        check_files(bundle, manifest)
        before = self.name_of(CURRENT)
        # In this order: killed between the two, the same command does the rest.
        if before is not None and before != name:
            self._link(PREVIOUS, before)
        self._link(CURRENT, name)
        return manifest

    def rollback(self) -> tuple[str, BundleManifest]:
        """Make the bundle current that was before this one.

        Returns
        -------
        Its name and account.

        Raises
        ------
        BundleError
            When there was none, or it cannot be served any more.
        """
        name = self.name_of(PREVIOUS)
        if name is None or name == self.name_of(CURRENT):
            raise BundleError(
                f"no bundle was served from {self.folder} before this one: choose one of "
                "'bundle list' with 'bundle swap'"
            )
        return name, self.swap(name)

    def _link(self, link: str, name: str) -> None:
        partial = self.folder / f".{link}.partial"
        partial.unlink(missing_ok=True)
        partial.symlink_to(name)
        partial.replace(self.folder / link)
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
