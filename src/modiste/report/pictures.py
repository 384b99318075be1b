"""What an article looks like: its photograph, or a drawing in its colour.

Where photographs lie: see :mod:`modiste.data.images`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modiste.data.images import picture_file

# A photograph is shown about 110 px wide, and the page carries every one of them: larger files are
# not embedded.
LARGEST_BYTES = 40 * 1024

# Colours by the beginning of a word, so that "greenish" is green.
_COLOURS = {
    "beige": "#d3bd9b",
    "black": "#23211f",
    "blue": "#3566ad",
    "bronze": "#a9713d",
    "brown": "#75502f",
    "burgundy": "#6d1f33",
    "copper": "#a9713d",
    "cream": "#efe6d2",
    "gold": "#c9a24a",
    "green": "#3f7d4e",
    "grey": "#8d8d8d",
    "gray": "#8d8d8d",
    "khaki": "#77744f",
    "lilac": "#a98fc4",
    "metal": "#a5a9ad",
    "mole": "#8a7a6b",
    "mustard": "#c99b2b",
    "navy": "#24324f",
    "orange": "#e0782f",
    "pink": "#e08fa8",
    "purple": "#7a559b",
    "red": "#c0313a",
    "rose": "#d9899b",
    "silver": "#bcc0c4",
    "turquoise": "#35a3a0",
    "white": "#fafafa",
    "yellow": "#e8c547",
}
_NEUTRAL = "#b3aca3"

# How far a word before the colour moves it towards white (positive) or black.
_SHADES = {"light": 0.5, "pale": 0.6, "dark": -0.42, "deep": -0.42, "dusty": 0.15}

# Outlines of things in a box of 100 x 150, by a word in the name of their type or group.
_OUTLINES = {
    "dress": "M38 22 43 22Q50 32 57 22L62 22 68 44 61 66 76 128 24 128 39 66 32 44Z",
    "trousers": "M33 24H67L74 128H56L50 58 44 128H26Z",
    "shorts": "M32 48H68L75 100H54L50 74 46 100H25Z",
    "skirt": "M36 44H64L78 112H22Z",
    "top": "M37 38Q50 50 63 38L86 54 77 73 69 68V114H31V68L23 73 14 54Z",
    "vest": "M36 34H42Q50 56 58 34H64Q64 52 72 60V116H28V60Q36 52 36 34Z",
    "sweater": "M37 36Q50 46 63 36L80 46 90 106 77 109 70 72V116H30V72L23 109 10 106 20 46Z",
    "jacket": "M38 32 50 48 62 32 80 42 90 108 77 111 70 72V120H52V52L50 48 48 52V120H30V72L23 111 "
    "10 108 20 42Z",
    "shoes": "M14 66Q24 74 38 68L58 86Q86 90 88 104V110H12Z",
    "bag": "M34 62Q34 36 50 36 66 36 66 62H80L86 116H14L20 62ZM42 62H58Q58 45 50 45 42 45 42 62Z",
    "underwear": "M22 58H78L76 72Q58 78 56 98H44Q42 78 24 72Z",
    "bra": "M24 44 30 66Q40 66 50 78 60 66 70 66L76 44 80 74Q80 96 64 96 54 96 50 86 46 96 36 96 "
    "20 96 20 74Z",
    "socks": "M40 28H64V84Q64 94 56 102L44 114Q32 122 26 112 24 104 34 96L40 88Z",
    "hat": "M28 86Q26 46 50 46 74 46 72 86L88 92Q92 100 80 100H20Q8 100 12 92Z",
}

# Words of product types and groups, in the order in which they are looked for.
_THINGS = {
    "dress": "dress",
    "jumpsuit": "dress",
    "gown": "dress",
    "dungarees": "trousers",
    "skirt": "skirt",
    "shorts": "shorts",
    "trouser": "trousers",
    "jeans": "trousers",
    "legging": "trousers",
    "tights": "trousers",
    "lower body": "trousers",
    "jacket": "jacket",
    "blazer": "jacket",
    "coat": "jacket",
    "cardigan": "jacket",
    "sweater": "sweater",
    "hoodie": "sweater",
    "jumper": "sweater",
    "knit": "sweater",
    "pyjama": "sweater",
    "vest": "vest",
    "bikini top": "bra",
    "bra": "bra",
    "underwear": "underwear",
    "swimwear bottom": "underwear",
    "swim": "vest",
    "sock": "socks",
    "shirt": "top",
    "blouse": "top",
    "top": "top",
    "body": "top",
    "bag": "bag",
    "hat": "hat",
    "cap": "hat",
    "beanie": "hat",
    "shoe": "shoes",
    "boot": "shoes",
    "sneaker": "shoes",
    "sandal": "shoes",
    "pump": "shoes",
    "ballerina": "shoes",
    "slipper": "shoes",
}


@dataclass(frozen=True)
class Picture:
    """How an article is shown: as a photograph, as an outline, or as a letter.

    Attributes
    ----------
    photo
        ``data:`` address of a JPEG, or None.
    colour
        CSS colour of the drawing.
    outline
        SVG path in a box of 100 x 150, or None.
    letter
        First letter of the type, for a thing that has no outline.
    """

    photo: str | None
    colour: str
    outline: str | None
    letter: str


class PictureFolder:
    """A folder of photographs.

    Parameters
    ----------
    folder
        As in the Kaggle data; None: there are no photographs.

    Attributes
    ----------
    too_large
        Files that were asked for and have more than ``LARGEST_BYTES``.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.too_large: set[Path] = set()

    def picture(self, article: Mapping[str, Any]) -> Picture:
        """How to show an article (a row of ``schema.PREPARED_ARTICLES``)."""
        file = self.photograph(article["article_id"], article["product_code"])
        return replace(drawing_of(article), photo=None if file is None else self.embedded(file))

    def photograph(self, article_id: str, product_code: str | None) -> Path | None:
        """The file that shows an article, or else its product, if there is one."""
        if self._folder is None:
            return None
        return picture_file(self._folder, article_id, product_code)

    def embedded(self, path: Path) -> str | None:
        """The ``data:`` address of a photograph; None, and noted, when it is too large."""
        if path.stat().st_size > LARGEST_BYTES:
            self.too_large.add(path)
            return None
        return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def drawing_of(article: Mapping[str, Any]) -> Picture:
    """How to show an article without a photograph."""
    type_name = article["product_type_name"] or article["product_group_name"] or ""
    name = type_name or article["prod_name"] or "?"
    return Picture(
        None,
        colour_of(article["colour_group_name"], article["perceived_colour_master_name"]),
        _outline_of(article["product_type_name"], article["product_group_name"]),
        name.strip()[:1].upper() or "?",
    )


def colour_of(*names: str | None) -> str:
    """The CSS colour of the first name in which a colour is known; a neutral one without."""
    for name in names:
        words = re.findall("[a-z]+", (name or "").lower())
        # The last: English puts the noun at the end, as in "yellowish brown".
        for word in reversed(words):
            known = [colour for colour in _COLOURS if word.startswith(colour)]
            if known:
                shade = sum(by for adjective, by in _SHADES.items() if adjective in words)
                return _shaded(_COLOURS[known[0]], shade)
    return _NEUTRAL


def _shaded(colour: str, by: float) -> str:
    towards = 255 if by > 0 else 0
    channels = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(
        f"{round(channel + (towards - channel) * abs(by)):02x}" for channel in channels
    )


def _outline_of(*names: str | None) -> str | None:
    for name in names:
        words = (name or "").lower()
        for word, thing in _THINGS.items():
            if word in words:
                return _OUTLINES[thing]
    return None
