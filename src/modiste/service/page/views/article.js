// One article: what it is, how it sells and to whom, its other colours, and what is like it.

import { get, path } from "../api.js";
import { weeklyBars } from "../chart.js";
import { element, fill, section } from "../elements.js";
import { picture, tile, tiles } from "../tiles.js";
import { capital, columnName, count, counted, day, nameOf, percent, price } from "../words.js";

export async function showArticle({ content, name: id, signal }) {
  const [article, similar] = await Promise.all([
    get(path("articles", id), {}, signal),
    get(path("articles", id, "similar"), { k: 12 }, signal).catch((error) => {
      if (error.status === 404) return { by: null, articles: [], why: error.message };
      throw error;
    }),
  ]);
  fill(
    content,
    element("div.article", {},
      element("div.large", {}, picture(article)),
      element("div", {},
        element("p.eyebrow", {}, "Article"),
        element("h1", {}, nameOf(article)),
        element("p.lead", {}, facts(article).join(" · ")),
        article.description ? element("p", {}, article.description) : null,
        attributes(article))),
    article.colours.length ? section("Other colours", tiles(article.colours.map((colour) => tile(colour)))) : null,
    element("div.columns", {}, sales(article), buyers(article)),
    section("Similar articles",
      element("p.note", {}, similar.by === null ? similar.why : similar.by === "vectors" ? "Nearest by what is written of them, on sale." : "Most often bought by the same customers, on sale."),
      tiles(similar.articles.map((other) => tile(other)))),
  );
}

function facts(article) {
  return [
    article.product_type, article.colour,
    article.price === null ? null : `price ${price(article.price)}`,
    article.on_sale ? "on sale" : "not on sale",
  ].filter(Boolean);
}

function attributes(article) {
  const known = Object.entries(article.attributes).filter(([column]) => !["colour_group_name", "product_type_name"].includes(column));
  return element("dl.attributes", {},
    element("div", {}, element("dt", {}, "Article"), element("dd", {}, element("code", {}, article.article_id))),
    known.map(([column, value]) => element("div", {}, element("dt", {}, capital(columnName(column))), element("dd", {}, value))));
}

function sales(article) {
  if (!article.sales.length) return section("Sales", element("p.note", {}, "Not sold yet."));
  const total = article.sales.reduce((sum, week) => sum + week.pieces, 0);
  const label = `${counted(total, "piece")} sold since ${day(article.sales[0].first_day)}, by week`;
  return section("Sales", element("p.note", {}, `${label}.`), weeklyBars(article.sales, label));
}

function buyers(article) {
  const total = article.buyers.reduce((sum, band) => sum + band.buyers, 0);
  if (!total) return section("Who buys it", element("p.note", {}, "Nobody yet."));
  const most = Math.max(...article.buyers.map((band) => band.share));
  return section("Who buys it",
    element("p.note", {}, `${counted(total, "customer")}, by age.`),
    element("table.bars", {}, element("tbody", {}, article.buyers.map((band) =>
      element("tr", {},
        element("th", { scope: "row" }, band.ages === "unknown" ? "not known" : band.ages),
        element("td", {}, count(band.buyers)), element("td", {}, percent(band.share)),
        element("td.bar", { "aria-hidden": "true" }, element("span.one", { style: { width: `${(100 * band.share) / most}%` } })))))));
}
