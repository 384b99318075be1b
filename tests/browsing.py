"""Opens a page in the system's chromium and notes whatever goes wrong in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # WebGL without a graphics card.
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]

needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM} to open it in")


@contextmanager
def browser() -> Iterator[Any]:
    """Give a browser."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=ARGUMENTS, timeout=60_000
        )
        yield launched
        launched.close()


@contextmanager
def opened(
    launched: Any,
    page: Path,
    width: int = 1400,
    height: int = 900,
    scheme: str = "light",
    before: str = "",
) -> Iterator[Any]:
    """Give a tab with the page; afterwards, nothing may have gone wrong in it.

    ``before`` is a script that runs before the page's own.
    """
    # Reduced motion: the page is where it goes to at once.
    tab = launched.new_page(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    events: list[str] = []

    def dismiss(dialog: Any) -> None:
        events.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def note_request(request: Any) -> None:
        if not request.url.startswith(("file:", "data:")):
            events.append(f"request: {request.url}")

    # Software drawing is slow, and says so when a frame is read back.
    tab.on(
        "console",
        lambda message: (
            None
            if "GPU stall" in message.text
            else events.append(f"{message.type}: {message.text}")
        ),
    )
    tab.on("pageerror", lambda error: events.append(f"error: {error}"))
    tab.on("dialog", dismiss)
    tab.on("request", note_request)
    tab.set_default_timeout(60_000)
    if before:
        tab.add_init_script(before)
    tab.goto(page.as_uri())
    yield tab
    tab.close()
    assert events == []


def fits(tab: Any) -> bool:
    """Whether nothing sticks out to the right."""
    return bool(tab.evaluate("document.documentElement.scrollWidth <= innerWidth"))
