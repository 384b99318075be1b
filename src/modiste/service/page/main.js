// Which view stands at which address, and what stands around all of them.

import { get, path, Problem } from "./api.js";
import { element, say } from "./elements.js";
import { count, day } from "./words.js";
import { showArticle } from "./views/article.js";
import { showCustomer } from "./views/customer.js";
import { showCustomers } from "./views/customers.js";
import { showDesk } from "./views/desk.js";
import { showMap } from "./views/map.js";
import { showModels } from "./views/models.js";
import { showSearch } from "./views/search.js";
import { showVisitor } from "./views/visitor.js";

// The first part of an address, and whether one more names what is shown. Each view gets the main
// element's content to fill, the rest of the address, its parameters, and a signal that it was left.
const VIEWS = {
  "": showCustomers,
  customers: (view) => (view.name ? showCustomer(view) : showCustomers(view)),
  articles: showArticle,
  search: showSearch,
  visitor: showVisitor,
  map: showMap,
  desk: showDesk,
  models: showModels,
};

const main = document.getElementById("main");
let leaving = new AbortController();
let opened = false;

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [address, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, ...name] = address.split("/");
  const content = element("div.view");
  main.setAttribute("aria-busy", "true");
  mark(view || "customers");
  try {
    const draw = VIEWS[view];
    if (!draw) throw new Problem(404, "No such view", "Nothing stands at this address of the page.");
    await draw({
      content,
      name: decodeURIComponent(name.join("/")),
      parameters: new URLSearchParams(query),
      signal,
    });
  } catch (error) {
    if (signal.aborted) return;
    content.replaceChildren(element("h1", {}, "That did not work"), problem(error));
  }
  if (signal.aborted) return;
  main.replaceChildren(content);
  main.setAttribute("aria-busy", "false");
  const heading = content.querySelector("h1");
  document.title = `${heading.textContent} · modiste`;
  if (opened) {
    // Where a new page would begin to be read.
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  opened = true;
}

function problem(error) {
  const known = error instanceof Problem || error instanceof URIError;
  if (!known) console.error(error);
  return element("p.lead", { role: "alert" }, known ? error.message : "The page has a mistake; the console says more.");
}

function mark(view) {
  for (const link of document.querySelectorAll("#views a")) {
    const own = link.getAttribute("href") === `#/${view}`;
    if (own) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function themeButton() {
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const update = () => button.setAttribute("aria-pressed", String(isDark()));
  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("theme", theme);
    update();
  });
  system.addEventListener("change", update);
  update();
}

async function served() {
  const version = await get(path("version"));
  document.getElementById("served").replaceChildren(
    `As of ${day(version.as_of)} · ${count(version.customers)} customers · ${count(version.articles)} articles · bundle `,
    element("code", {}, version.bundle),
    ` · modiste ${version.modiste} · `,
    element("a", { href: "/openapi.json" }, "the API"),
  );
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names a view
  main.focus();
});
document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const words = document.getElementById("words").value.trim();
  if (words) location.hash = `#/search?${new URLSearchParams({ q: words })}`;
});
addEventListener("hashchange", () => {
  say("");
  show();
});
themeButton();
show();
served().catch((error) => say(error.message));
