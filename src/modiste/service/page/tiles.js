// Articles as pictures with a few words.

import { element } from "./elements.js";
import { nameOf } from "./words.js";

/** Where an article is looked at. */
export const articleAddress = (id) => `#/articles/${encodeURIComponent(id)}`;

/** An article's photograph or drawing; without words: these stand beside it. */
export function picture(article) {
  return element("img.picture", {
    src: `/pictures/${encodeURIComponent(article.article_id)}`,
    alt: "", width: 100, height: 150, loading: "lazy", decoding: "async",
  });
}

/** Name, type and colour. */
export function caption(article) {
  return [
    element("b", {}, nameOf(article)),
    article.product_type ? element("span", {}, article.product_type) : null,
    article.colour ? element("span", {}, article.colour) : null,
  ];
}

/**
 * A tile that leads to its article.
 * @param {Object} article
 * @param {Object} [shown] "rank", a "mark" in words, further nodes "below"
 */
export function tile(article, { rank = null, mark = null, below = [] } = {}) {
  return element(
    mark ? "li.tile.marked" : "li.tile",
    {},
    element(
      "a",
      { href: articleAddress(article.article_id) },
      element("span.frame", {}, picture(article), rank ? element("span.rank", {}, rank) : null),
      caption(article),
    ),
    mark ? element("span.mark", {}, mark) : null,
    below,
  );
}

/** A list of tiles. */
export const tiles = (children, attributes = {}) => element("ol.tiles", attributes, children);
