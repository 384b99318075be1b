// Some customers to begin with, and a way to one whose id is known.

import { get, path } from "../api.js";
import { element, fill } from "../elements.js";
import { count, day, shortId } from "../words.js";

const SAMPLED = 12;

const SEGMENTS = { cold: "never bought", lately: "bought lately", earlier: "bought longer ago" };

/** A segment in words. */
export const segmentName = (segment) => SEGMENTS[segment] ?? segment;

/** Where a customer is looked at. */
export const customerAddress = (id) => `#/customers/${encodeURIComponent(id)}`;

export async function showCustomers({ content, parameters, signal }) {
  const { parts } = await get(path("version"), {}, signal);
  const seed = Number(parameters.get("seed") ?? 0);
  const buyers = parts.includes("later purchases") && !parameters.has("any");
  const sampled = await get(path("customers"), { k: SAMPLED, seed, bought_later: buyers }, signal);
  const sample = (values) => `#/customers?${new URLSearchParams(values)}`;
  const id = element("input", {
    id: "customer-id", autocomplete: "off", spellcheck: "false", maxlength: 200, required: true,
    placeholder: "the whole id",
  });
  fill(
    content,
    element("p.eyebrow", {}, "modiste · live"),
    element("h1", {}, "Whom shall we dress?"),
    element(
      "p.lead", {},
      "Choose a customer to see what it bought, the twelve articles that the service recommends now, and why each of them.",
    ),
    element(
      "form.row",
      {
        submit: (event) => {
          event.preventDefault();
          location.hash = customerAddress(id.value.trim());
        },
      },
      element("label", { for: "customer-id" }, "Customer"), id,
      element("button.main", { type: "submit" }, "Show"),
      element("a.button", { href: sample({ seed: seed + 1, ...(buyers ? {} : { any: "" }) }) }, "Others"),
    ),
    parts.includes("later purchases")
      ? element("p.note", {},
        buyers ? "These bought something in the days after, which the service does not know. " : "Drawn from all customers. ",
        element("a", { href: buyers ? sample({ any: "" }) : sample({}) }, buyers ? "Draw from all customers" : "Only who bought after"))
      : null,
    element("ul.cards", {}, sampled.map((customer) =>
      element("li", {},
        element("a.card", { href: customerAddress(customer.customer_id) },
          element("b", {}, customer.age === null ? "Age not known" : `${customer.age} years`),
          element("span", {}, segmentName(customer.segment)),
          element("span", {},
            customer.purchases ? `${count(customer.purchases)} bought, last on ${day(customer.last_purchase)}` : "nothing bought yet"),
          element("code", {}, shortId(customer.customer_id)),
        )))),
  );
}
