// The merchandiser's desk: rules and weights by sliders, their effect on a few customers' lists at once, and on
// MAP@12 by measuring.

import { get, path, post, postForLines } from "../api.js";
import { element, fill, say, section } from "../elements.js";
import { articleAddress, picture } from "../tiles.js";
import { capital, columnName, count, counted, milliseconds, modelName, nameOf, price, shortId } from "../words.js";
import { customerAddress } from "./customers.js";

const CUSTOMERS = 5;
const MEASURED = 100;
const K = 12;
const GROUPS_SHOWN = 8;
const SEGMENT = "lately";
const HEAVIEST = 3;
const PAUSE_MS = 120; // after the last move of a slider

// Columns whose values are boosted by sliders, the first one that the shop has.
const BOOSTED = ["index_group_name", "section_name", "product_group_name", "garment_group_name", "product_type_name"];
const LIMITED = { product_code: "of a product", product_type_name: "of a product type", colour_group_name: "of a colour" };

export async function showDesk({ content, parameters, signal }) {
  const [{ parts }, scorers, attributes, sampled] = await Promise.all([
    get(path("version"), {}, signal),
    get(path("scorers"), {}, signal),
    get(path("attributes"), {}, signal),
    get(path("customers"), { k: 40, seed: 1 }, signal),
  ]);
  const buyers = sampled.filter((each) => each.purchases).sort((one, other) => other.last_purchase.localeCompare(one.last_purchase));
  const customers = (buyers.length ? buyers : sampled).slice(0, CUSTOMERS).map((each) => each.customer_id);
  const plain = await lists(customers, {}, signal);
  const desk = new Desk({ attributes, customers, plain: plain.customers, prices: pricesOf(plain.customers), rules: parsed(parameters.get("rules")), scorers, weights: parsed(parameters.get("weights")), signal });
  fill(
    content,
    element("p.eyebrow", {}, "Rules"),
    element("h1", {}, "The merchandiser's desk"),
    element("p.lead", {}, "Move a slider: these customers' lists follow. The address keeps rules and weights, so that they can be sent to somebody."),
    element("div.desk", {},
      element("form.rules", { "aria-label": "Rules", submit: (event) => event.preventDefault() }, desk.controls),
      element("div", {}, section("Their lists", desk.note, desk.lists),
        parts.includes("later purchases") ? desk.measuring() : section("Accuracy", element("p.note", {}, "This bundle was not told what was bought later, so that nothing can be measured here: export it with --purchases.")))),
  );
  await desk.update();
}

const lists = (customers, wanted, signal) => post(path("batch", "recommendations"), { customer_ids: customers, k: K, ...wanted }, signal);

const pricesOf = (found) => found.flatMap((each) => each.recommendations.map((article) => article.price)).filter((each) => each !== null);

function parsed(text) {
  try {
    return JSON.parse(text ?? "{}");
  } catch {
    return {};
  }
}

class Desk {
  constructor({ attributes, customers, plain, prices, rules, scorers, weights, signal }) {
    Object.assign(this, { attributes, customers, plain, prices, signal });
    // Those that the run counts at all; the sliders begin where it has most customers' weights.
    this.chosen = Object.fromEntries(scorers
      .filter((each) => Object.values(each.weights).some((weight) => weight > 0))
      .map((each) => [each.scorer, each.weights[SEGMENT] ?? 0]));
    this.weights = Object.keys(weights).length ? weights : null; // null: the run's own
    this.boost = { ...rules.boost };
    this.atMost = { ...rules.at_most };
    this.ceiling = rules.price_ceiling ?? null;
    this.bought = rules.already_bought ?? "keep";
    this.note = element("p.note", {});
    this.lists = element("ul.lists", {});
    this.asking = new AbortController();
    this.controls = this.#controls();
  }

  /** As the API takes them. */
  get rules() {
    const boost = Object.fromEntries(Object.entries(this.boost).filter(([, values]) => Object.keys(values).length));
    return {
      ...(Object.keys(boost).length ? { boost } : {}),
      ...(Object.keys(this.atMost).length ? { at_most: this.atMost } : {}),
      ...(this.ceiling === null ? {} : { price_ceiling: this.ceiling }),
      ...(this.bought === "keep" ? {} : { already_bought: this.bought }),
    };
  }

  /** Rules and weights, as the API takes them. */
  get wanted() {
    return { rules: this.rules, ...(this.weights ? { scorer_weights: this.weights } : {}) };
  }

  #changed() {
    const rules = JSON.stringify(this.rules);
    const kept = new URLSearchParams({
      ...(rules === "{}" ? {} : { rules }), ...(this.weights ? { weights: JSON.stringify(this.weights) } : {}),
    });
    history.replaceState(null, "", kept.size ? `#/desk?${kept}` : "#/desk");
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.update(), PAUSE_MS);
  }

  #controls() {
    const boosted = this.attributes.find((each) => each.column === BOOSTED.find((column) =>
      this.attributes.some((other) => other.column === column && other.values.length > 1)));
    const bought = element("select", { id: "bought" },
      [["keep", "may be shown again"], ["drop", "is not shown"], ["only", "alone is shown"]].map(([value, text]) =>
        element("option", { value, selected: value === this.bought }, text)));
    bought.addEventListener("change", () => {
      this.bought = bought.value;
      this.#changed();
    });
    return [
      Object.keys(this.chosen).length > 1 ? element("fieldset", {}, element("legend", {}, "Weights of the models"),
        Object.keys(this.chosen).map((scorer) => this.#weigher(scorer)),
        element("p.note.small", {}, "Until one is moved, each segment of customers has the run's own; then all have these.")) : null,
      boosted ? element("fieldset", {}, element("legend", {}, `Boost by ${columnName(boosted.column)}`),
        boosted.values.slice(0, GROUPS_SHOWN).map(({ value }) => this.#booster(boosted.column, value))) : null,
      element("fieldset", {}, element("legend", {}, "At most in a list"),
        Object.entries(LIMITED).map(([column, text]) => this.#limiter(column, text))),
      element("fieldset", {}, element("legend", {}, "Others"),
        this.prices.length ? this.#ceiling() : null,
        element("p.control", {}, element("label", { for: bought.id }, "What was bought before"), bought)),
      element("p.row", {}, element("a.button", { href: "#/desk", click: () => this.#reset() }, "As the run has it")),
    ];
  }

  // The address may be the same as before: then nothing else would draw the view anew.
  #reset() {
    if (location.hash === "#/desk") dispatchEvent(new HashChangeEvent("hashchange"));
  }

  #weigher(scorer) {
    return slider({
      label: capital(modelName(scorer)), min: 0, max: HEAVIEST, step: 0.05,
      value: (this.weights ?? this.chosen)[scorer] ?? 0,
      text: (position) => position.toFixed(2),
      changed: (position) => {
        this.weights = { ...(this.weights ?? this.chosen), [scorer]: position };
        this.#changed();
      },
    });
  }

  #booster(column, value) {
    return slider({
      label: value, min: -4, max: 4, step: 0.5,
      value: Math.log2(this.boost[column]?.[value] ?? 1) * 2,
      text: (position) => `× ${Number((2 ** (position / 2)).toPrecision(2))}`,
      changed: (position) => {
        const { [value]: _, ...others } = this.boost[column] ?? {};
        this.boost[column] = position === 0 ? others : { ...others, [value]: 2 ** (position / 2) };
        this.#changed();
      },
    });
  }

  #limiter(column, text) {
    return slider({
      label: capital(text), min: 1, max: K, step: 1, value: this.atMost[column] ?? K,
      text: (position) => (position === K ? "any" : count(position)),
      changed: (position) => {
        delete this.atMost[column];
        if (position < K) this.atMost[column] = position;
        this.#changed();
      },
    });
  }

  #ceiling() {
    const highest = Math.max(...this.prices);
    const steps = 40;
    return slider({
      label: "Price at most", min: 1, max: steps, step: 1,
      value: this.ceiling === null ? steps : Math.round((this.ceiling / highest) * steps),
      text: (position) => (position === steps ? "any" : price((highest * position) / steps)),
      changed: (position) => {
        this.ceiling = position === steps ? null : (highest * position) / steps;
        this.#changed();
      },
    });
  }

  /** Ask for the lists under the rules, and draw them beside what they are without. */
  async update() {
    this.asking.abort();
    this.asking = new AbortController();
    const started = performance.now();
    let found;
    try {
      found = await lists(this.customers, this.wanted, AbortSignal.any([this.asking.signal, this.signal]));
    } catch (error) {
      if (error.name !== "AbortError") this.note.textContent = error.message;
      return;
    }
    let others = 0;
    this.lists.replaceChildren(...found.customers.map((customer, number) => {
      const before = new Set(this.plain[number].recommendations.map((article) => article.article_id));
      const fresh = customer.recommendations.filter((article) => !before.has(article.article_id));
      others += fresh.length;
      return element("li", {},
        element("h3", {}, "Customer ", element("a", { href: customerAddress(customer.customer_id) }, element("code", {}, shortId(customer.customer_id))),
          element("span.note", {}, fresh.length ? ` ${counted(fresh.length, "article")} new` : " as before")),
        element("ol.strip", {}, customer.recommendations.map((article) => {
          const isNew = !before.has(article.article_id);
          return element(isNew ? "li.new" : "li", {},
            element("a", { href: articleAddress(article.article_id), title: [nameOf(article), article.colour].filter(Boolean).join(", ") },
              picture(article), element("span.hidden", {}, `${nameOf(article)}${isNew ? ", new" : ""}`)));
        })));
    }));
    const told = `${counted(found.customers.length, "list")} in ${milliseconds(performance.now() - started)}; ${counted(others, "article")} that ${others === 1 ? "was" : "were"} not there before.`;
    this.note.textContent = told;
    say(told);
  }

  /** A section that measures MAP@12 under the rules. */
  measuring() {
    const button = element("button.main", { type: "button" }, `Measure on ${MEASURED} customers`);
    const progress = element("progress", { max: MEASURED, value: 0, hidden: true, "aria-label": "Customers measured" });
    const result = element("p", { role: "status" });
    button.addEventListener("click", async () => {
      button.disabled = true;
      progress.hidden = false;
      result.textContent = "";
      try {
        let last = null;
        for await (const state of postForLines(path("evaluations"), { ...this.wanted, customers: MEASURED, k: K }, this.signal)) {
          last = state;
          progress.max = state.customers;
          progress.value = state.done;
        }
        result.replaceChildren(...verdict(last));
      } catch (error) {
        if (error.name !== "AbortError") result.textContent = error.message;
      }
      progress.hidden = true;
      button.disabled = false;
    });
    return section("Accuracy",
      element("p.note", {}, `MAP@${K} on what customers bought after the bundle's date, as set here and as the run has it.`),
      element("p.row", {}, button, progress), result);
  }
}

function verdict({ k, before, after, change, changed, done }) {
  if (!before) return ["Nobody bought anything later."];
  const word = change.low > 0 ? "better" : change.high < 0 ? "worse" : "no difference beyond chance";
  const figure = (value) => value.toFixed(4);
  return [
    element("strong", {}, `MAP@${k} ${figure(after.mean)}`), ` as set here, ${figure(before.mean)} as the run has it: `,
    `${change.mean < 0 ? "−" : "+"}${figure(Math.abs(change.mean))} [${figure(change.low)}, ${figure(change.high)}], ${word}. `,
    `${counted(done, "customer")} measured; ${count(changed)} of them score otherwise.`,
  ];
}

let sliders = 0;

function slider({ label, min, max, step, value, text, changed }) {
  const id = `slider-${(sliders += 1)}`;
  const output = element("output", { for: id }, text(value));
  const input = element("input", { id, type: "range", min, max, step, value, "aria-valuetext": text(value) });
  input.addEventListener("input", () => {
    const position = Number(input.value);
    output.textContent = text(position);
    input.setAttribute("aria-valuetext", text(position));
    changed(position);
  });
  return element("p.control", {}, element("label", { for: id }, label), output, input);
}
