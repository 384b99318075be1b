// How good the models are and how fast this process answers, on one page.

import { get, path } from "../api.js";
import { intervals } from "../chart.js";
import { element, fill, say, section } from "../elements.js";
import { capital, count, day, later, milliseconds, modelName } from "../words.js";

export async function showModels({ content, signal }) {
  const { parts } = await get(path("version"), {}, signal);
  const [results, latencies] = await Promise.all([
    parts.includes("results") ? get(path("results"), {}, signal) : null,
    get(path("latencies"), {}, signal),
  ]);
  fill(
    content,
    element("p.eyebrow", {}, "Models"),
    element("h1", {}, "How good, and how fast"),
    results ? accuracy(results) : section("Accuracy", element("p.note", {}, "The run behind this bundle was not evaluated.")),
    speed(latencies, signal),
  );
}

function accuracy(results) {
  const last = later(results.first_day, results.days - 1);
  const best = results.models.find((each) => each.model === results.recommender);
  const reference = modelName(results.reference);
  return section("Accuracy",
    element("p.lead", {},
      `MAP@${results.k} on what ${count(results.customers)} customers bought from ${day(results.first_day)} to ${day(last)}, a week that no model had seen. `,
      best ? [element("strong", {}, `${capital(modelName(best.model))} recommends: ${best.map.mean.toFixed(4)}`),
        best.difference ? `, ${signed(best.difference.mean)} against ${reference}.` : "."] : null),
    intervals(results.models.map((each) => ({ label: modelName(each.model), ...each.map, chosen: each.model === results.recommender })),
      `MAP@${results.k} of each model with its ${100 * results.level} % interval`),
    element("div.scroll.whole", { tabindex: 0, role: "region", "aria-label": "Accuracy of the models" },
      element("table", {},
        element("thead", {}, element("tr", {},
          ["model", `MAP@${results.k}`, `${100 * results.level} % interval`, `against ${reference}`, "interval"].map((title) => element("th", { scope: "col" }, title)))),
        element("tbody", {}, results.models.map((each) =>
          element(each.model === results.recommender ? "tr.chosen" : "tr", {},
            element("th", { scope: "row" }, modelName(each.model)),
            element("td", {}, each.map.mean.toFixed(4)), element("td", {}, interval(each.map)),
            element("td", {}, each.difference ? signed(each.difference.mean) : "–"),
            element("td", {}, each.difference ? `${signed(each.difference.low)} to ${signed(each.difference.high)}` : "–")))))));
}

const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(4);

const interval = ({ low, high }) => `${low.toFixed(4)} to ${high.toFixed(4)}`;

function speed(latencies, signal) {
  const body = element("tbody");
  const again = element("button", { type: "button" }, "Measure again");
  const draw = (rows) => body.replaceChildren(...rows.map((each) => element("tr", {},
    element("th", { scope: "row" }, each.operation), element("td", {}, count(each.answers)),
    element("td", {}, milliseconds(each.p50_ms)), element("td", {}, milliseconds(each.p99_ms)), element("td", {}, milliseconds(each.max_ms)))));
  again.addEventListener("click", async () => {
    again.disabled = true;
    try {
      draw(await get(path("latencies"), {}, signal));
      say("The times are new.");
    } catch (error) {
      say(error.message);
    }
    again.disabled = false;
  });
  draw(latencies);
  return section("Speed",
    element("p.note", {}, "The latest answers of this process, 1,000 of each kind at most, from the request's headers to the end of the answer. Waiting for one's turn counts."),
    latencies.length ? element("div.scroll.whole", { tabindex: 0, role: "region", "aria-label": "Times of answers" },
      element("table", {},
        element("thead", {}, element("tr", {}, ["answer", "answers", "median", "99th percentile", "longest"].map((title) => element("th", { scope: "col" }, title)))),
        body)) : element("p", {}, "Nothing was asked yet."),
    element("p.row.after", {}, again));
}
