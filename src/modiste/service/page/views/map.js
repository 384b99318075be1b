// The catalogue as a map: a point an article, near to those that are alike.

import { get, path } from "../api.js";
import { element, fill, say } from "../elements.js";
import { articleAddress, picture } from "../tiles.js";
import { capital, columnName, count, counted } from "../words.js";

// Groups with a colour of their own; all others share one.
const COLOURED = 10;
const MARGIN = 16; // pixels around the map
const NEAR = 14; // pixels from a point within which it is meant
const ZOOMS = { nearer: 1.5, farther: 1 / 1.5 };

export async function showMap({ content, signal }) {
  const { parts } = await get(path("version"), {}, signal);
  fill(content, element("p.eyebrow", {}, "Map"), element("h1", {}, "The catalogue as a map"));
  if (!parts.includes("map")) {
    fill(content, element("p.lead", {}, "The run behind this bundle made none: it has no article vectors."));
    return;
  }
  const found = await get(path("map"), {}, signal);
  const map = new CatalogueMap(found);
  fill(
    content,
    element("p.lead", {}, `${counted(found.article_ids.length, "article")}, each a point; those that are alike lie near each other. Choose one to see what it is.`),
    map.tools, element("div.map", {}, map.stage, element("div", {}, map.chosen, map.legend)),
  );
  map.watch(signal);
}

const numbers = (base64) => new Uint16Array(Uint8Array.from(atob(base64), (each) => each.charCodeAt(0)).buffer);

class CatalogueMap {
  constructor({ article_ids: ids, names, places, groupings }) {
    this.ids = ids;
    this.names = names;
    this.places = numbers(places);
    this.#span();
    this.groupings = groupings.map((each) => ({ ...each, codes: numbers(each.codes) }));
    this.grouping = this.groupings[0] ?? null;
    this.alone = null; // a group that is shown alone
    this.current = null; // an article
    this.view = { x: 0, y: 0, zoom: 1 };
    this.canvas = element("canvas", { "aria-hidden": "true" });
    this.stage = element("div.stage", {
      tabindex: 0, role: "application", "aria-describedby": "map-keys",
      "aria-label": "Map of the articles",
    }, this.canvas);
    this.legend = element("div.legend", { role: "group", "aria-label": "Legend" });
    this.chosen = element("div.chosen-article", { "aria-live": "polite" }, element("p.note", {}, "No article is chosen."));
    this.tools = this.#tools();
    this.#drawLegend();
  }

  // The part of the square that is used: a map is rarely as high as it is wide.
  #span() {
    const of = (axis) => this.places.filter((_, number) => number % 2 === axis);
    this.span = [0, 1].map((axis) => Math.max(of(axis).reduce((one, other) => Math.max(one, other), 0), 1));
  }

  #tools() {
    const choice = element("select", { id: "coloured-by" }, this.groupings.map((each, number) =>
      element("option", { value: number }, capital(columnName(each.column)))));
    choice.addEventListener("change", () => {
      this.grouping = this.groupings[choice.value];
      this.alone = null;
      this.#drawLegend();
      this.draw();
    });
    return element("div.row", {},
      element("label", { for: choice.id }, "Colour by"), choice,
      Object.entries(ZOOMS).map(([name, by]) => element("button", { type: "button", click: () => this.zoom(by) }, name === "nearer" ? "Nearer" : "Farther")),
      element("button", { type: "button", click: () => this.reset() }, "Whole map"),
      element("span.note.keys", { id: "map-keys" }, "Drag and wheel, or arrow keys to go from article to article, Enter to open it, + and − to zoom."));
  }

  /** Follow the size of the stage, the theme, and what people do, until the view is left. */
  watch(signal) {
    const sized = new ResizeObserver(() => this.draw());
    sized.observe(this.stage);
    const themed = new MutationObserver(() => this.draw());
    themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(), { signal });
    signal.addEventListener("abort", () => {
      sized.disconnect();
      themed.disconnect();
    });
    let from = null;
    let moved = false;
    this.stage.addEventListener("pointerdown", (event) => {
      from = event;
      moved = false;
      this.stage.setPointerCapture(event.pointerId);
    });
    this.stage.addEventListener("pointermove", (event) => {
      if (!from) return;
      const [dx, dy] = [event.clientX - from.clientX, event.clientY - from.clientY];
      if (!moved && Math.hypot(dx, dy) < 4) return;
      moved = true;
      this.view.x += dx;
      this.view.y += dy;
      from = event;
      this.draw();
    });
    this.stage.addEventListener("pointerup", (event) => {
      from = null;
      if (!moved) this.choose(this.nearest(event.offsetX, event.offsetY));
    });
    this.stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(1.0015 ** -event.deltaY, event.offsetX, event.offsetY);
    }, { passive: false });
    this.stage.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key in directions) this.choose(this.next(...directions[event.key]));
    else if (event.key === "Enter" && this.current !== null) location.hash = articleAddress(this.ids[this.current]);
    else if (event.key === "+") this.zoom(ZOOMS.nearer);
    else if (event.key === "-") this.zoom(ZOOMS.farther);
    else return;
    event.preventDefault();
  }

  reset() {
    this.view = { x: 0, y: 0, zoom: 1 };
    this.alone = null;
    this.#drawLegend();
    this.draw();
  }

  zoom(by, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    const zoom = Math.min(Math.max(this.view.zoom * by, 0.8), 60);
    const factor = zoom / this.view.zoom;
    this.view = { zoom, x: x - (x - this.view.x) * factor, y: y - (y - this.view.y) * factor };
    this.draw();
  }

  /** Where an article lies on the stage, in pixels. */
  at(article) {
    const size = [this.stage.clientWidth, this.stage.clientHeight];
    const scale = Math.min(...size.map((pixels, axis) => (pixels - 2 * MARGIN) / this.span[axis]));
    return size.map((pixels, axis) => {
      const inside = (pixels - this.span[axis] * scale) / 2 + this.places[2 * article + axis] * scale;
      return this.view[axis === 0 ? "x" : "y"] + this.view.zoom * inside;
    });
  }

  isShown(article) {
    return this.alone === null || this.#colour(article) === this.alone;
  }

  #colour(article) {
    return this.grouping ? Math.min(this.grouping.codes[article], COLOURED) : COLOURED;
  }

  nearest(x, y) {
    let [best, closest] = [null, NEAR];
    for (let article = 0; article < this.ids.length; article += 1) {
      const [ax, ay] = this.at(article);
      const distance = Math.hypot(ax - x, ay - y);
      if (distance < closest && this.isShown(article)) [best, closest] = [article, distance];
    }
    return best;
  }

  /** The nearest article in a direction from the current one; without one that in the middle. */
  next(dx, dy) {
    const [x, y] = this.current === null ? [this.stage.clientWidth / 2, this.stage.clientHeight / 2] : this.at(this.current);
    let [best, closest] = [this.current, Infinity];
    for (let article = 0; article < this.ids.length; article += 1) {
      if (article === this.current || !this.isShown(article)) continue;
      const [ax, ay] = this.at(article);
      const along = (ax - x) * dx + (ay - y) * dy;
      const across = Math.abs((ax - x) * dy) + Math.abs((ay - y) * dx);
      if (this.current !== null && (along <= 0 || across > along)) continue;
      const distance = Math.hypot(ax - x, ay - y);
      if (distance < closest) [best, closest] = [article, distance];
    }
    return best;
  }

  choose(article) {
    if (article === null) return;
    this.current = article;
    const id = this.ids[article];
    const group = this.grouping?.values[this.grouping.codes[article]];
    this.chosen.replaceChildren(
      element("a", { href: articleAddress(id) }, picture({ article_id: id }), element("span", {}, element("b", {}, this.names[article] || id), group ?? "")),
    );
    const [x, y] = this.at(article);
    // Brought back where it was led out of sight.
    if (x < 0 || x > this.stage.clientWidth) this.view.x += this.stage.clientWidth / 2 - x;
    if (y < 0 || y > this.stage.clientHeight) this.view.y += this.stage.clientHeight / 2 - y;
    this.draw();
  }

  #drawLegend() {
    if (!this.grouping) return;
    const sizes = new Map();
    for (let article = 0; article < this.ids.length; article += 1) {
      const colour = this.#colour(article);
      sizes.set(colour, (sizes.get(colour) ?? 0) + 1);
    }
    this.legend.replaceChildren(...[...sizes.entries()].sort(([one], [other]) => one - other).map(([colour, size]) =>
      element("button", {
        type: "button", "aria-pressed": String(this.alone === colour),
        click: () => {
          this.alone = this.alone === colour ? null : colour;
          this.#drawLegend();
          this.draw();
          this.legend.querySelectorAll("button")[colour]?.focus();
          say(this.alone === null ? "All groups are shown." : "One group is shown.");
        },
      },
        element(`span.dot.g${colour}`), element("span", {}, colour === COLOURED ? "all others" : this.grouping.values[colour] ?? "not known"),
        element("span.count", {}, count(size)))));
  }

  draw() {
    const [width, height] = [this.stage.clientWidth, this.stage.clientHeight];
    const pixels = devicePixelRatio;
    this.canvas.width = width * pixels;
    this.canvas.height = height * pixels;
    const context = this.canvas.getContext("2d");
    context.scale(pixels, pixels);
    const style = getComputedStyle(this.stage);
    const radius = Math.max(1.6, Math.min(5, 130 / Math.sqrt(this.ids.length))) * Math.min(this.view.zoom ** 0.4, 2.5);
    // The small groups last, over the large ones.
    for (const colour of [COLOURED, ...Array(COLOURED).keys()]) {
      context.fillStyle = this.#resolved(style, `--g${colour}`);
      for (let article = 0; article < this.ids.length; article += 1) {
        if (this.#colour(article) !== colour) continue;
        context.globalAlpha = this.isShown(article) ? 0.85 : 0.07;
        const [x, y] = this.at(article);
        if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
        context.beginPath();
        context.arc(x, y, radius, 0, 7);
        context.fill();
      }
    }
    context.globalAlpha = 1;
    if (this.current === null) return;
    const [x, y] = this.at(this.current);
    context.strokeStyle = style.color;
    context.lineWidth = 2.5;
    context.beginPath();
    context.arc(x, y, radius + 5, 0, 7);
    context.stroke();
  }

  // A custom property with light-dark() in it is no colour yet: it is one as the colour of something.
  #resolved(style, property) {
    const probe = (this.probe ??= this.stage.appendChild(element("span", { hidden: true })));
    probe.style.color = `var(${property})`;
    return getComputedStyle(probe).color;
  }
}
