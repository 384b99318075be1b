"""The picture of a report's first screen that the README shows: docs/report.png.

python benchmarks/report_picture.py RUN/report.html docs/report.png
"""

from __future__ import annotations

import sys
from pathlib import Path

WIDTH, HEIGHT = 1400, 1000


def take(page: Path, target: Path) -> None:
    """Photograph the first screen of a page, in its light colours."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        tab.goto(page.resolve().as_uri())
        tab.wait_for_selector("html[data-drawn=light]")
        tab.screenshot(path=str(target))
        browser.close()


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(sys.argv[2]))
