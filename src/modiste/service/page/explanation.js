// Why an article stands in a customer's list: a dialog.

import { get, path } from "./api.js";
import { element } from "./elements.js";
import { articleAddress, picture } from "./tiles.js";
import { count, counted, day, modelName, nameOf } from "./words.js";

const FEATURES = 6;

/** Open the dialog that says why a customer is shown an article. */
export async function explanation(customer, article) {
  const body = element("div", { "aria-live": "polite" }, element("p.note", {}, "Working it out …"));
  const heading = element("h2", { id: "why-title" }, `Why ${nameOf(article)}?`);
  const dialog = element(
    "dialog.why", { "aria-labelledby": heading.id, close: () => dialog.remove() },
    element("form", { method: "dialog" }, element("button.close", { type: "submit", "aria-label": "Close" }, "×")),
    heading, body,
  );
  document.body.append(dialog);
  dialog.showModal();
  try {
    const told = await get(path("customers", customer, "explanations", article.article_id));
    body.replaceChildren(...parts(told));
  } catch (error) {
    body.replaceChildren(element("p", { role: "alert" }, error.message));
  }
}

function parts(told) {
  const place = told.place === null ? "not among the candidates" : `place ${told.place} of ${counted(told.candidates, "candidate")} by the score alone`;
  return [
    element("p.lead", {}, told.reason ?? told.why_not ?? ""),
    element("p.note", {}, `${told.shown_at === null ? "Not shown" : `Shown at place ${told.shown_at}`}; ${place}.`),
    told.purchases.length
      ? [element("h3", {}, "What was bought before"), element("ul.things", {}, told.purchases.map(related))]
      : null,
    told.proposals.length
      ? [element("h3", {}, "Who proposed it"),
        element("ul.plain", {}, told.proposals.map((proposal) =>
          element("li", {}, element("b", {}, `${modelName(proposal.source)}, place ${count(proposal.rank)}: `), proposal.proposes)))]
      : null,
    told.scorers.length
      ? [element("h3", {}, "What the score is made of"),
        bars(told.scorers.map((scorer) => ({ label: modelName(scorer.scorer), value: scorer.part })))]
      : null,
    told.rankers.map((ranker) => [
      element("h3", {}, `What ${modelName(ranker.ranker)} looked at`),
      bars(ranker.features.slice(0, FEATURES).map((feature) => ({
        label: feature.meaning, value: feature.part,
        detail: feature.value === null ? "not known" : typeof feature.value === "number" ? String(Number(feature.value.toPrecision(4))) : feature.value,
      }))),
    ]),
  ].flat(Infinity).filter(Boolean);
}

function related(purchase) {
  return element(
    "li.thing", {},
    element("a", { href: articleAddress(purchase.article.article_id) }, picture(purchase.article),
      element("span.text", {}, element("b", {}, nameOf(purchase.article)),
        element("span", {}, `${day(purchase.day)}, ${counted(purchase.days_ago, "day")} before`),
        element("span", {}, purchase.relations.join(", ")))),
  );
}

/** Parts of a sum as bars to both sides of zero. */
function bars(rows) {
  const largest = Math.max(...rows.map((row) => Math.abs(row.value)), Number.EPSILON);
  return element("table.bars", {}, element("tbody", {}, rows.map((row) =>
    element("tr", {},
      element("th", { scope: "row" }, row.label, row.detail === undefined ? null : element("span", {}, row.detail)),
      element("td", {}, (row.value < 0 ? "−" : "+") + Math.abs(row.value).toFixed(2)),
      element("td.bar", { "aria-hidden": "true" },
        element(row.value < 0 ? "span.less" : "span.more", { style: { width: `${(50 * Math.abs(row.value)) / largest}%` } }))))));
}
