// A visitor of whom nothing is known: what it looks at changes what is recommended, at once.

import { get, path, post } from "../api.js";
import { element, fill, say, section } from "../elements.js";
import { caption, picture, tile, tiles } from "../tiles.js";
import { counted, milliseconds, nameOf } from "../words.js";

const LISTED = 12;
const ON_SHELF = 36;

export async function showVisitor({ content, parameters, signal }) {
  // Ids of what was looked at, the last one last; the address keeps them.
  let seen = (parameters.get("seen") ?? "").split(",").filter(Boolean).map(decodeURIComponent);
  const names = new Map();
  const took = element("p.took", {});
  const shelf = element("ul.shelf", { "aria-label": "Articles to look at" });
  const looked = element("ul.looked", { "aria-label": "Looked at" });
  const list = tiles([], { class: "tiles" });
  const age = element("input", { id: "age", type: "number", min: 14, max: 100, inputmode: "numeric", placeholder: "–" });
  const words = element("input", { id: "shelf-words", type: "search", autocomplete: "off", maxlength: 200, placeholder: "popular ones" });
  let asking = new AbortController();

  const ask = (reasons) => post(path("sessions", "recommendations"), {
    k: LISTED, reasons, age: age.value === "" ? null : Number(age.value),
    articles: seen.map((id) => ({ article_id: id, days_ago: 0 })),
  }, asking.signal);

  function drawList({ recommendations }) {
    for (const article of recommendations) names.set(article.article_id, article);
    list.replaceChildren(...recommendations.map((article) => tile(article, {
      rank: article.rank, below: article.reason ? [element("p.reason", {}, article.reason)] : [],
    })));
  }

  // The list at once; its reasons, which take longer, when nothing else was looked at meanwhile.
  async function update() {
    asking.abort();
    asking = new AbortController();
    const started = performance.now();
    try {
      drawList(await ask(false));
    } catch (error) {
      if (error.name !== "AbortError") took.textContent = error.message;
      return null;
    }
    const milli = performance.now() - started;
    took.replaceChildren("Asked, answered and drawn in ", element("strong", {}, milliseconds(milli)));
    ask(true).then(drawList).catch((error) => {
      if (error.name !== "AbortError") took.append(` (no reasons: ${error.message})`);
    });
    return milli;
  }

  async function changed(what) {
    history.replaceState(null, "", address(seen));
    drawLooked();
    const milli = await update();
    if (milli !== null) say(`${what} The list has ${counted(list.children.length, "article")} after ${milliseconds(milli)}.`);
  }

  function look(article) {
    names.set(article.article_id, article);
    seen = [...seen.filter((id) => id !== article.article_id), article.article_id];
    return changed(`Looked at ${nameOf(article)}.`);
  }

  function drawLooked() {
    looked.replaceChildren(...seen.map((id) => {
      const article = names.get(id) ?? { article_id: id };
      return element("li", {}, picture(article), element("span", {}, nameOf(article)),
        element("button", {
          type: "button", "aria-label": `Forget ${nameOf(article)}`,
          click: () => {
            seen = seen.filter((other) => other !== id);
            changed(`Forgot ${nameOf(article)}.`);
            (looked.querySelector("button") ?? words).focus();
          },
        }, "×"));
    }));
    looked.hidden = !seen.length;
    nothing.hidden = seen.length > 0;
  }

  function drawShelf(articles) {
    shelf.replaceChildren(...articles.map((article) => {
      names.set(article.article_id, article);
      return element("li", {}, element("button.tile", { type: "button", click: () => look(article) },
        element("span.frame", {}, picture(article)), caption(article)));
    }));
  }

  async function stock() {
    const wanted = words.value.trim();
    drawShelf(wanted
      ? (await get(path("search"), { q: wanted, k: ON_SHELF }, signal)).articles
      : (await post(path("sessions", "recommendations"), { k: ON_SHELF, articles: [] }, signal)).recommendations);
  }

  const nothing = element("p.note", {}, "Nothing yet: the list is what suits most people.");
  await stock();
  await Promise.all(seen.filter((id) => !names.has(id)).map(async (id) =>
    names.set(id, await get(path("articles", id), {}, signal))));
  drawLooked();
  await update();
  age.addEventListener("change", () => changed(age.value === "" ? "Age not known." : `${age.value} years old.`));
  const searchForm = element("form.row", {
    submit: (event) => {
      event.preventDefault();
      stock().catch((error) => say(error.message));
    },
  }, element("label", { for: words.id }, "On the shelf"), words, element("button", { type: "submit" }, "Find"));
  fill(
    content,
    element("p.eyebrow", {}, "New visitor"),
    element("h1", {}, "Somebody comes in"),
    element("p.lead", {}, "Nothing is known but what the visitor looks at. Choose articles from the shelf: each counts at once, and nothing of it is kept."),
    element("div.shop", {},
      section("The shelf", searchForm, shelf),
      element("div.beside", {},
        section("Looked at", nothing, looked,
          element("p.row", {}, element("label", { for: age.id }, "Age, if told"), age,
            element("button", { type: "button", click: () => { seen = []; changed("Forgot everything."); } }, "Begin again"))),
        section("Recommended", took, list))),
  );
}

const address = (seen) => (seen.length ? `#/visitor?${new URLSearchParams({ seen: seen.map(encodeURIComponent).join(",") })}` : "#/visitor");
