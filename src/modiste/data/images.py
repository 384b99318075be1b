"""Where the pictures of articles lie.

In a folder as in the Kaggle data, by article (``010/0108775015.jpg``) or by product
(``010/0108775.jpg``).
"""

from __future__ import annotations

import hashlib
from pathlib import Path


def picture_file(folder: Path, article_id: str, product_code: str | None) -> Path | None:
    """The file that shows an article, or else its product, if there is one."""
    # Ids come from the shop's files: only plain ones may become part of a path.
    names = [name for name in (article_id, product_code, article_id[:-3]) if name]
    for name in names:
        if not name.isalnum():
            continue
        path = folder / name[:3] / f"{name}.jpg"
        if path.is_file():
            return path
    return None


def state_of(folder: Path) -> str:
    """What changes when a picture is added, replaced or removed: a hash of sizes and times."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*/*.jpg")):
        if not file.is_file():  # a link to nowhere
            continue
        stat = file.stat()
        digest.update(f"{file.relative_to(folder)}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()
