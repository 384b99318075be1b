// One customer: what is recommended and why, and all that was bought, as a timeline.

import { get, path, post } from "../api.js";
import { element, fill, say, section } from "../elements.js";
import { explanation } from "../explanation.js";
import { picture, tile, tiles, articleAddress } from "../tiles.js";
import { count, counted, day, daysBetween, month, nameOf, price, shortId } from "../words.js";
import { segmentName } from "./customers.js";

// Entries of the history that are asked for at a time.
const ENTRIES = 48;

export async function showCustomer({ content, name: id, signal }) {
  const started = performance.now();
  const [customer, listed] = await Promise.all([
    get(path("customers", id), { limit: ENTRIES }, signal),
    post(path("customers", id, "recommendations"), { k: 12, reasons: true }, signal),
  ]);
  const took = performance.now() - started;
  const { parts } = await get(path("version"), {}, signal);
  const truth = parts.includes("later purchases")
    ? (await get(path("customers", id, "later-purchases"), {}, signal)).articles
    : null;
  fill(
    content,
    element("p.eyebrow", {}, "Customer"),
    element("h1", {}, customer.age === null ? "A customer" : `A customer of ${customer.age} years`),
    element("p.lead", {}, facts(customer).join(" · ")),
    element("p.id", {}, element("code", { title: id }, id.length > 40 ? shortId(id) : id)),
    recommended(id, listed, took, truth ?? []),
    truth ? boughtLater(truth, listed.recommendations) : null,
    history(id, customer),
  );
}

function facts(customer) {
  return [
    segmentName(customer.segment),
    customer.club_member_status ? `club: ${customer.club_member_status.toLowerCase()}` : null,
    customer.fashion_news ? "gets fashion news" : null,
    customer.live_events ? counted(customer.live_events, "live event") : null,
  ].filter(Boolean);
}

function recommended(id, listed, took, truth) {
  const bought = idsOf(truth);
  return section(
    "Recommended",
    element("p.note", {}, `For ${day(listed.as_of)}, answered with reasons and history in ${Math.round(took)} ms.`),
    tiles(listed.recommendations.map((article) =>
      tile(article, {
        rank: article.rank,
        mark: bought.has(article.article_id) ? "Bought later" : null,
        below: [
          article.reason ? element("p.reason", {}, article.reason) : null,
          element("button.why", {
            type: "button", "aria-label": `Why ${nameOf(article)}?`,
            click: () => explanation(id, article),
          }, "Why?"),
        ],
      })), { class: "tiles wide" }),
  );
}

const idsOf = (articles) => new Set(articles.map((article) => article.article_id));

function boughtLater(truth, recommendations) {
  const listed = idsOf(recommendations);
  const hits = truth.filter((article) => listed.has(article.article_id)).length;
  return section("Bought in truth",
    element("p.note", {}, truth.length
      ? `${counted(truth.length, "article")} after that day, which the recommender has not seen; ${hits ? `${count(hits)} of them ${hits === 1 ? "was" : "were"} recommended` : "none of them was recommended"}.`
      : "Nothing after that day."),
    tiles(truth.map((article) => tile(article, { mark: listed.has(article.article_id) ? "Recommended" : null }))));
}

function history(id, customer) {
  if (!customer.purchases) return section("Bought", element("p.note", {}, "Nothing yet."));
  const timeline = element("ol.timeline");
  const note = element("p.note", {});
  const more = element("button", { type: "button" }, "Earlier purchases");
  let shown = 0;
  let lastMonth = null;
  let lastDay = null;

  function append(entries) {
    for (const entry of entries) {
      if (month(entry.day) !== lastMonth) {
        lastMonth = month(entry.day);
        timeline.append(element("li.month", {}, element("h3", {}, lastMonth)));
      }
      if (entry.day !== lastDay) {
        lastDay = entry.day;
        timeline.append(oneDay(entry.day, customer.as_of));
      }
      timeline.lastElementChild.querySelector("ul").append(bought(entry));
    }
    shown += entries.length;
    note.textContent = `${counted(customer.purchases, "purchase")}, the latest first` + (shown < customer.purchases ? `; ${count(shown)} are shown.` : ".");
    more.hidden = shown >= customer.purchases;
  }

  more.addEventListener("click", async () => {
    more.disabled = true;
    try {
      const next = await get(path("customers", id), { limit: ENTRIES, offset: shown });
      append(next.history);
      say(note.textContent);
    } catch (error) {
      note.textContent = error.message;
    }
    more.disabled = false;
  });
  append(customer.history);
  return section("Bought", note, timeline, more);
}

function oneDay(iso, asOf) {
  const ago = daysBetween(iso, asOf);
  return element(
    "li.day", {},
    element("p.when", {}, element("time", { datetime: iso }, day(iso)), element("span", {}, ago === 1 ? "the day before" : `${count(ago)} days before`)),
    element("ul.things", { "aria-label": `Bought on ${day(iso)}` }),
  );
}

function bought(entry) {
  const { article } = entry;
  const told = [
    entry.pieces > 1 ? `${entry.pieces} pieces` : null,
    entry.price === null ? null : price(entry.price),
    entry.online === null ? null : entry.online ? "online" : "in a shop",
  ].filter(Boolean);
  return element(
    "li.thing", {},
    element("a", { href: articleAddress(article.article_id) },
      picture(article),
      element("span.text", {},
        element("b", {}, nameOf(article)),
        element("span", {}, [article.colour, article.product_type].filter(Boolean).join(" · ")),
        element("span", {}, told.join(" · ")))),
  );
}
