"""Ids as people see them, and mistype them."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from modiste.errors import DataError

# Characters of a customer's id that are shown: enough to tell customers apart on a screen where ids
# are hashes, and too few to look them up by.
_SHOWN_ID = 12


def beginning(customer_id: str) -> str:
    """What is shown of a customer's id; one that is as short as that is shown whole."""
    return customer_id if len(customer_id) <= _SHOWN_ID else f"{customer_id[:_SHOWN_ID]}…"


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The nearest of the known names, as the end of a message; nothing where none is near."""
    near = [known[0]] if len(known) == 1 else get_close_matches(name, known, n=3)
    return f": did you mean {' or '.join(map(repr, near))}?" if near else ""


def unknown_article(article: str, known: Sequence[str]) -> DataError:
    """The error of an id that no article has, with the nearest ones that some have."""
    # The most frequent way to lose an article: its leading zeros.
    stripped = article.lstrip("0")
    same = [each for each in known if stripped and each.lstrip("0") == stripped]
    return DataError(f"no article {article!r}{did_you_mean(article, same or known)}")
