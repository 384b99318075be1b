// Small charts as SVG. Each says in words what it shows; figures stand in a table beside it.

import { drawn, element } from "./elements.js";
import { count, shortDay } from "./words.js";

const WIDTH = 640;
const HEIGHT = 180;
const BELOW = 24;
const LEFT = 34;

/**
 * Bars over time.
 * @param {Array<{first_day: string, pieces: number}>} weeks
 * @param {string} label what is shown, in words
 */
export function weeklyBars(weeks, label) {
  const highest = niceCeiling(Math.max(...weeks.map((week) => week.pieces)));
  const step = (WIDTH - LEFT) / weeks.length;
  const scale = (HEIGHT - BELOW - 8) / highest;
  const bottom = HEIGHT - BELOW;
  const labelled = Math.ceil(weeks.length / 7);
  return element("figure", {},
    drawn("svg.chart", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
      [0, highest / 2, highest].map((value) => [
        drawn("line.grid", { x1: LEFT, x2: WIDTH, y1: bottom - value * scale, y2: bottom - value * scale }),
        drawn("text", { x: LEFT - 6, y: bottom - value * scale + 4, "text-anchor": "end" }, count(value)),
      ]),
      weeks.map((week, number) => drawn("rect.bar", {
        x: LEFT + number * step + step * 0.1, width: Math.max(step * 0.8, 0.5),
        y: bottom - week.pieces * scale, height: week.pieces * scale,
      }, drawn("title", {}, `Week from ${shortDay(week.first_day)}: ${count(week.pieces)}`))),
      weeks.map((week, number) => (weeks.length - 1 - number) % labelled ? null :
        drawn("text", {
          x: LEFT + (number + 0.5) * step, y: HEIGHT - 6,
          "text-anchor": number === weeks.length - 1 && weeks.length > 8 ? "end" : "middle",
        }, shortDay(week.first_day)))),
    element("details", {}, element("summary", {}, "As a table"),
      element("div.scroll", { tabindex: 0, role: "region", "aria-label": label },
        element("table", {},
          element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "week from"), element("th", { scope: "col" }, "pieces"))),
          element("tbody", {}, weeks.map((week) => element("tr", {},
            element("th", { scope: "row" }, week.first_day), element("td", {}, count(week.pieces)))))))));
}

/** The next even number of one leading digit. */
function niceCeiling(value) {
  const unit = 10 ** Math.floor(Math.log10(Math.max(value, 2)));
  const steps = Math.ceil(value / unit) || 1;
  const nice = steps * unit;
  return nice % 2 ? nice + 1 : nice;
}

const ROW = 26;
const LABEL = 300;

/**
 * Means with intervals, one a row.
 * @param {Array<{label: string, mean: number, low: number, high: number, chosen: boolean}>} rows
 * @param {string} label what is shown, in words
 */
export function intervals(rows, label) {
  const height = rows.length * ROW + 30;
  const highest = Math.max(...rows.map((row) => row.high), Number.EPSILON);
  const at = (value) => LABEL + (value / highest) * (WIDTH - LABEL - 14);
  return element("figure", {},
    drawn("svg.chart.narrow", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": label },
      [0, 0.25, 0.5, 0.75, 1].map((share) => [
        drawn("line.grid", { x1: at(share * highest), x2: at(share * highest), y1: 4, y2: height - 22 }),
        drawn("text", { x: at(share * highest), y: height - 6, "text-anchor": "middle" }, (share * highest).toFixed(3)),
      ]),
      rows.map((row, number) => {
        const y = number * ROW + 18;
        return drawn(row.chosen ? "g.chosen" : "g", {},
          drawn("text.label", { x: LABEL - 12, y: y + 4, "text-anchor": "end" }, row.label),
          drawn("line.interval", { x1: at(row.low), x2: at(row.high), y1: y, y2: y }),
          drawn("circle.mean", { cx: at(row.mean), cy: y, r: 4.5 }));
      })));
}
