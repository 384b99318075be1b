"""The page in a browser: every view and its main act, for everybody, with hostile data."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe

from browsing import fits, needs_chromium

pytestmark = needs_chromium

Opened = Callable[..., AbstractContextManager[Any]]

CUSTOMER = f"{2:064d}"
ARTICLE = f"{0:010d}"
HOSTILE_CUSTOMER = "..?a=b#c%2F/<b>"
SCRIPT = "</script><script>alert('owned')</script>"

VIEWS = {
    "customers": "#/",
    "customer": f"#/customers/{CUSTOMER}",
    "article": f"#/articles/{ARTICLE}",
    "search": "#/search?q=warm",
    "visitor": f"#/visitor?seen={ARTICLE}",
    "map": "#/map",
    "desk": "#/desk",
    "models": "#/models",
    "nowhere": "#/nowhere",
}


def texts(tab: Any, selector: str) -> list[str]:
    found: list[str] = tab.locator(selector).all_inner_texts()
    return found


def ids(tab: Any, selector: str) -> list[str]:
    """Ids of the articles that links of a list lead to."""
    links = tab.locator(f"{selector} a[href^='#/articles/']").evaluate_all(
        "links => links.map((link) => link.getAttribute('href'))"
    )
    return [link.removeprefix("#/articles/") for link in links]


def test_customer_gets_the_services_twelve_with_reasons_beside_what_it_bought(
    open_view: Opened, service: httpx2.Client
) -> None:
    listed = service.get(f"/v1/customers/{CUSTOMER}/recommendations").json()["recommendations"]
    known = service.get(f"/v1/customers/{CUSTOMER}?limit=200").json()
    with open_view(VIEWS["customer"]) as tab:
        recommended = "section:has(h2:text-is('Recommended'))"
        assert ids(tab, recommended) == [each["article_id"] for each in listed]
        reasons = texts(tab, f"{recommended} .reason")
        assert len(reasons) == 12
        assert all(reasons)
        assert len(ids(tab, ".timeline")) == len(known["history"])
        days = [each["day"] for each in known["history"]]
        shown = tab.locator(".timeline time").evaluate_all(
            "all => all.map((each) => each.dateTime)"
        )
        assert shown == list(dict.fromkeys(days))
        # What was bought later stands below, and is marked where it was recommended.
        assert sorted(ids(tab, "section:has(h2:text-is('Bought in truth'))")) == [
            f"{0:010d}",
            f"{1:010d}",
        ]
        hits = {each["article_id"] for each in listed} & {f"{0:010d}", f"{1:010d}"}
        assert len(texts(tab, f"{recommended} .mark")) == len(hits)


def test_why_opens_the_explanation_and_gives_the_focus_back(open_view: Opened) -> None:
    with open_view(VIEWS["customer"]) as tab:
        why = tab.locator("button.why").nth(1)
        why.focus()
        tab.keyboard.press("Enter")
        tab.wait_for_selector("dialog.why[open] .bars")
        assert "What the score is made of" in texts(tab, "dialog.why h3")
        tab.keyboard.press("Escape")
        tab.wait_for_selector("dialog.why", state="detached")
        assert why.evaluate("button => button === document.activeElement")


def test_earlier_purchases_come_when_asked_for(open_view: Opened, service: httpx2.Client) -> None:
    busy = f"{4:064d}"
    entries = service.get(f"/v1/customers/{busy}?limit=200").json()["history"]
    with open_view(f"#/customers/{busy}") as tab:
        more = tab.locator("button:text-is('Earlier purchases')")
        shown = len(ids(tab, ".timeline"))
        assert shown < len(entries)
        while more.is_visible():
            more.click()
            tab.wait_for_function(
                "shown => document.querySelectorAll('.timeline .thing').length > shown", arg=shown
            )
            shown = len(ids(tab, ".timeline"))
        assert ids(tab, ".timeline") == [each["article"]["article_id"] for each in entries]


def test_from_the_first_view_to_a_customer_and_an_article(open_view: Opened) -> None:
    with open_view(VIEWS["customers"]) as tab:
        assert len(texts(tab, ".card")) == 8  # those who bought later
        tab.locator(".card").first.click()
        tab.wait_for_selector("h1:has-text('customer')")
        assert tab.evaluate("document.activeElement.tagName") == "H1"
        name = tab.locator("section .tile b").first.inner_text()
        tab.locator("section .tile a").first.click()
        tab.wait_for_selector(".article h1")
        assert tab.locator("h1").inner_text() == name
        assert tab.title() == f"{name} · modiste"
        tab.go_back()
        tab.wait_for_selector("button.why")


def test_article_says_how_it_sells_to_whom_and_what_is_like_it(
    open_view: Opened, service: httpx2.Client
) -> None:
    known = service.get(f"/v1/articles/{ARTICLE}").json()
    similar = service.get(f"/v1/articles/{ARTICLE}/similar").json()["articles"]
    with open_view(VIEWS["article"]) as tab:
        heights = tab.locator(".chart .bar").evaluate_all(
            "bars => bars.map((bar) => bar.height.baseVal.value)"
        )
        pieces = [week["pieces"] for week in known["sales"]]
        assert [round(height / max(heights), 3) for height in heights] == [
            round(each / max(pieces), 3) for each in pieces
        ]
        assert ids(tab, "section:has(h2:text-is('Other colours'))") == [
            each["article_id"] for each in known["colours"]
        ]
        assert ids(tab, "section:has(h2:text-is('Similar articles'))") == [
            each["article_id"] for each in similar
        ]
        buyers = texts(tab, "section:has(h2:text-is('Who buys it')) tbody tr td:nth-child(2)")
        assert [int(each) for each in buyers] == [band["buyers"] for band in known["buyers"]]


def test_visitors_list_follows_a_click_and_the_address_keeps_it(open_view: Opened) -> None:
    listed = "section:has(h2:text-is('Recommended')) .tiles"
    with open_view("#/visitor") as tab:
        before = ids(tab, listed)
        tab.locator(".shelf button").nth(5).click()
        tab.wait_for_function("location.hash.includes('seen=')")
        tab.wait_for_selector("#said:has-text('Looked at')", state="attached")
        after = ids(tab, listed)
        assert len(after) == 12
        assert after != before
        assert re.search(r"\d ms", tab.locator(".took").inner_text())
        assert "12 articles after" in tab.locator("#said").inner_text()
        tab.wait_for_selector(f"{listed} .reason")
        tab.reload()
        tab.wait_for_selector("main[aria-busy=false] .looked li")
        assert ids(tab, listed) == after
        tab.locator(".looked button").click()
        tab.wait_for_selector("#said:has-text('Forgot')", state="attached")
        assert ids(tab, listed) == before


def test_search_finds_by_words(open_view: Opened, service: httpx2.Client) -> None:
    found = service.get("/v1/search", params={"q": "trousers", "k": 48}).json()["articles"]
    with open_view(VIEWS["customers"]) as tab:
        tab.fill("#words", "trousers")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("h1:has-text('trousers')")
        assert ids(tab, "main") == [each["article_id"] for each in found] != []


def test_map_is_walked_by_keys_and_by_pointer(open_view: Opened) -> None:
    with open_view(VIEWS["map"]) as tab:
        assert "29 articles" in tab.locator(".lead").inner_text()  # one has no place
        tab.locator(".stage").focus()
        tab.keyboard.press("ArrowRight")
        first = tab.locator(".chosen-article a").get_attribute("href")
        tab.keyboard.press("ArrowDown")
        assert tab.locator(".chosen-article a").get_attribute("href") != first
        tab.locator(".legend button").first.click()
        assert tab.locator(".legend [aria-pressed=true]").count() == 1
        chosen = tab.locator(".chosen-article a").get_attribute("href")
        tab.locator(".stage").focus()
        tab.keyboard.press("Enter")
        tab.wait_for_selector(".article h1")
        assert tab.evaluate("location.hash") == chosen


def test_desk_changes_lists_at_once_and_measures_the_rules(
    open_view: Opened, service: httpx2.Client
) -> None:
    with open_view(VIEWS["desk"]) as tab:
        before = ids(tab, ".lists")
        slider = tab.get_by_label("Of a product", exact=True)
        slider.focus()
        tab.keyboard.press("Home")
        tab.wait_for_selector(".lists .new")
        lists = [ids(tab, f".lists > li:nth-child({number})") for number in range(1, 6)]
        after = [article for each in lists for article in each]
        assert after != before
        product = {
            article: service.get(f"/v1/articles/{article}").json()["product_code"]
            for article in set(after)
        }
        for each in lists:
            assert len({product[article] for article in each}) == len(each)
        assert slider.get_attribute("aria-valuetext") == "1"
        assert "at_most" in tab.evaluate("decodeURIComponent(location.hash)")
        tab.click("button:has-text('Measure on')")
        tab.wait_for_selector("strong:has-text('MAP@12')")
        assert "8 customers measured" in tab.locator("main p[role=status]").last.inner_text()
        tab.get_by_label("Logistic regression").focus()
        tab.keyboard.press("End")
        tab.wait_for_function("location.hash.includes('logistic')")
        tab.wait_for_function(
            "before => [...document.querySelectorAll('.lists a[href^=\"#/articles/\"]')]"
            ".map((link) => link.hash.slice(11)).join() !== before",
            arg=",".join(after),
        )
        weighed = ids(tab, ".lists")
        tab.reload()
        tab.wait_for_selector(".lists .new")
        assert ids(tab, ".lists") == weighed


def test_models_stand_beside_the_times_of_answers(open_view: Opened) -> None:
    with open_view(VIEWS["models"]) as tab:
        first = texts(tab, "[aria-label='Accuracy of the models'] tbody tr")[0]
        assert first.split() == [
            "hybrid", "0.1250", "0.1050", "to", "0.1450", "+0.0750", "+0.0650", "to", "+0.0850",
        ]  # fmt: skip
        operations = texts(tab, "[aria-label='Times of answers'] tbody th")
        assert "What is served" in operations
        tab.click("button:has-text('Measure again')")
        tab.wait_for_selector("#said:has-text('new')", state="attached")


def test_theme_is_chosen_and_kept(open_view: Opened) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    with open_view(VIEWS["customers"], scheme="light") as tab:
        light = tab.evaluate(background)
        tab.click("#theme")
        dark = tab.evaluate(background)
        assert dark != light
        assert tab.locator("#theme").get_attribute("aria-pressed") == "true"
        tab.reload()
        tab.wait_for_selector("main[aria-busy=false] h1")
        assert tab.evaluate(background) == dark
    with open_view(VIEWS["customers"], scheme="dark") as tab:
        assert tab.evaluate(background) == dark


def test_keyboard_skips_to_the_content(open_view: Opened) -> None:
    with open_view(VIEWS["models"]) as tab:
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.id") == "skip"
        tab.keyboard.press("Enter")
        assert tab.evaluate("document.activeElement.id") == "main"
        assert tab.evaluate("location.hash") == VIEWS["models"]


def test_hostile_texts_stay_texts(open_view: Opened) -> None:
    with open_view(f"#/customers/{quote(HOSTILE_CUSTOMER, safe='')}") as tab:
        assert tab.locator("p.id").inner_text() == HOSTILE_CUSTOMER
        assert SCRIPT in texts(tab, ".tile b")
        assert tab.locator("script").count() == 2
    for view in VIEWS.values():
        with open_view(view) as tab:
            assert tab.locator("main script, main [onerror], main img[src*=evil]").count() == 0


def test_what_is_not_there_is_said(open_view: Opened) -> None:
    with open_view(VIEWS["nowhere"]) as tab:
        assert tab.locator("[role=alert]").inner_text().startswith("Nothing stands at this address")


def test_a_key_is_asked_for_and_sent(open_view: Opened) -> None:
    sent: list[str | None] = []

    def only_with_key(route: Any) -> None:
        sent.append(route.request.headers.get("authorization"))
        if sent[-1] is None:
            route.fulfill(status=401, json={"title": "Unauthorized", "status": 401})
        else:
            route.continue_()

    with open_view(VIEWS["nowhere"], expected="401 (Unauthorized)") as tab:
        tab.route("**/v1/**", only_with_key)
        tab.evaluate("location.hash = '#/models'")
        tab.wait_for_selector("#key[open]")
        tab.fill("#key-value", "mk_secret")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("h1:has-text('How good')")
        assert sent[0] is None
        assert set(sent[1:]) == {"Bearer mk_secret"}


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_sticks_out_on_a_phone(open_view: Opened, view: str) -> None:
    with open_view(VIEWS[view], width=360, height=740) as tab:
        assert fits(tab)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_no_serious_violation(open_view: Opened, view: str, scheme: str) -> None:
    axe = Axe()
    with open_view(VIEWS[view], scheme=scheme) as tab:
        if view == "customer":
            tab.locator("button.why").first.click()
            tab.wait_for_selector("dialog.why[open] .bars")
        found = axe.run(tab).response["violations"]
        serious = [
            (each["id"], [node["target"] for node in each["nodes"]][:3])
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert serious == []
