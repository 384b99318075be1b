// Articles that words find.

import { get, path } from "../api.js";
import { element, fill } from "../elements.js";
import { tile, tiles } from "../tiles.js";
import { counted, milliseconds } from "../words.js";

const FOUND = 48;

export async function showSearch({ content, parameters, signal }) {
  const words = parameters.get("q") ?? "";
  const all = parameters.has("all");
  document.getElementById("words").value = words;
  const started = performance.now();
  const found = await get(path("search"), { q: words, k: FOUND, on_sale: !all }, signal);
  const took = performance.now() - started;
  const how = found.by === "vectors" ? "by the sense of the words" : "by the words themselves";
  const other = new URLSearchParams(all ? { q: words } : { q: words, all: "" });
  fill(
    content,
    element("p.eyebrow", {}, "Search"),
    element("h1", {}, `“${words}”`),
    element("p.lead", {},
      found.articles.length ? `${counted(found.articles.length, "article")}, the nearest first, found ${how} in ${milliseconds(took)}. ` : "Nothing is like that. ",
      element("a", { href: `#/search?${other}` }, all ? "Only what is on sale" : "Also what is off sale")),
    tiles(found.articles.map((article) => tile(article, {
      below: article.on_sale ? [] : [element("span", {}, "not on sale")],
    })), { class: "tiles wide" }),
  );
}
