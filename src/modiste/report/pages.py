"""What the HTML pages have in common: how they are filled in, their style, their photographs."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from modiste.report.pictures import Picture

_FOLDER = Path(__file__).parent


def page_environment() -> Environment:
    """Give the environment of the templates: every text is escaped, an unknown name is an error."""
    return Environment(
        loader=PackageLoader("modiste", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def source(*names: str) -> str:
    """Style sheets or scripts that lie beside the templates, one after another."""
    return "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in names)


def yaml_text(value: Any) -> str:
    """A value of a setting, as it stands in a config file, on one line."""
    text: str = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000
    )
    return text.removesuffix("...\n").strip()  # YAML ends a lone scalar with a line of its own


class Gallery:
    """Numbers photographs, so that a page carries each of them once."""

    def __init__(self) -> None:
        self._next = count()
        self._ids: dict[str, int] = {}

    def new(self, picture: Picture) -> bool:
        """Whether a photograph is shown for the first time, and is to be put into the page."""
        return picture.photo not in self._ids

    def id(self, picture: Picture) -> str:
        """The id of a photograph."""
        assert picture.photo is not None
        if picture.photo not in self._ids:
            self._ids[picture.photo] = next(self._next)
        return f"photo-{self._ids[picture.photo]}"
