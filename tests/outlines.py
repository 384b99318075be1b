"""What a page holds, for tests: its elements and texts, and whether each element ends."""

from __future__ import annotations

from html.parser import HTMLParser

# Elements that have no end.
VOID = {"meta", "link", "br", "img", "input", "hr"}
# Of SVG, where an element may end itself.
SELF_CLOSED = {"path", "circle", "image", "use", "rect"}


class Outline(HTMLParser):
    """Walks through a page and keeps what the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), f"an attribute stands twice in {tag}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in SELF_CLOSED
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    def named(self, *tags: str) -> list[dict[str, str | None]]:
        """Attributes of every element of some names."""
        return [attributes for tag, attributes in self.elements if tag in tags]
