"use strict";
(() => {
  const byId = id => document.getElementById(id);
  // Half of the page is seldom wanted: it is read when it is.
  const later = id => {
    let content;
    return () => content ??= JSON.parse(byId(id).textContent);
  };
  const decoded = (text, bits) => {
    const letters = atob(text), bytes = new Uint8Array(letters.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
    return bits === 8 ? bytes : bits === 16 ? new Uint16Array(bytes.buffer) : new Uint32Array(bytes.buffer);
  };
  const encoded = dictionary => ({...dictionary, codes: decoded(dictionary.codes, dictionary.bits)});

  const catalogue = JSON.parse(byId("catalogue").textContent);
  const descriptions = later("descriptions"), photographs = later("photographs");
  const {placed, ids} = catalogue, n = ids.length;
  // An article's place is at 2 * its number; articles from `placed` on have none.
  const places = decoded(catalogue.places, 16);
  const names = encoded(catalogue.names), drawings = encoded(catalogue.drawings);
  const allEncoded = columns => Object.fromEntries(Object.entries(columns).map(([column, values]) => [column, encoded(values)]));
  const groups = allEncoded(catalogue.groups), details = allEncoded(catalogue.details);
  const valueOf = (column, i) => column.values[column.codes[i]];
  const nameOf = i => valueOf(names, i) || `article ${ids[i]}`;
  const counted = (number, one, many = one + "s") => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
  const calm = matchMedia("(prefers-reduced-motion: reduce)"), dark = matchMedia("(prefers-color-scheme: dark)");

  const made = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children.filter(child => child !== null));
    return element;
  };
  const drawn = (name, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text) element.textContent = text;
    return element;
  };
  const colourName = i => details.colour_group_name && valueOf(details.colour_group_name, i);
  const typeName = i => valueOf(groups.product_type_name, i);
  const kindOf = i => [typeName(i), colourName(i)].filter(Boolean).join(" · ");
  // The same picture as in the other pages: a photograph, an outline, or a letter.
  const picture = (i, label) => {
    const svg = drawn("svg", {viewBox: "0 0 100 150", ...label ? {role: "img", "aria-label": label, class: "picture"} : {"aria-hidden": "true"}});
    const photo = photographs().of[i], [outline, colour, letter] = drawings.kinds[drawings.codes[i]];
    const line = {fill: colour, stroke: "#7d756d", "stroke-width": 1.2, "stroke-linejoin": "round"};
    if (photo !== undefined) {
      svg.append(drawn("image", {href: "data:image/jpeg;base64," + photographs().files[photo], width: 100, height: 150, preserveAspectRatio: "xMidYMid slice"}));
    } else if (outline >= 0) {
      svg.append(drawn("path", {d: drawings.outlines[outline], ...line}));
    } else {
      svg.append(drawn("circle", {cx: 50, cy: 75, r: 32, ...line}),
        drawn("text", {x: 50, y: 87, "text-anchor": "middle", "font-size": 34, "font-family": "Georgia, serif", fill: "#fff", stroke: "#0008", "stroke-width": .8}, letter));
    }
    return svg;
  };

  // ---- What is seen: the middle of the view, and how many pixels a step of the places has.
  const stage = byId("stage"), canvas = byId("points"), ring = byId("ring"), under = byId("under"), card = byId("card");
  let width = 1, height = 1, right = 0, bottom = 0;
  for (let i = 0; i < placed; i++) {
    right = Math.max(right, places[2 * i]);
    bottom = Math.max(bottom, places[2 * i + 1]);
  }
  const view = {x: 0, y: 0, scale: 1};
  let fitted = 1, flight = 0, moving = false, settling = 0;
  const whole = () => {
    const scale = Math.min((width - 48) / (right || 1e-9), (height - 48) / (bottom || 1e-9));
    return {x: right / 2, y: bottom / 2, scale: right || bottom ? Math.max(scale, 1e-4) : 1};
  };
  const screen = i => [(places[2 * i] - view.x) * view.scale + width / 2, (places[2 * i + 1] - view.y) * view.scale + height / 2];
  const look = (x, y, scale) => {
    view.scale = Math.min(Math.max(scale, fitted * .6), fitted * 600);
    view.x = Math.min(Math.max(x, 0), right);
    view.y = Math.min(Math.max(y, 0), bottom);
    moving = true;
    clearTimeout(settling);
    settling = setTimeout(settle, 150);
    dirty();
  };
  const fly = (x, y, scale) => {
    cancelAnimationFrame(flight);
    if (calm.matches) return look(x, y, scale);
    const from = {...view}, start = performance.now();
    const step = now => {
      const part = Math.min(1, (now - start) / 320), eased = 1 - (1 - part) ** 3;
      const zoom = from.scale * (scale / from.scale) ** eased;
      // Along the straight line on the screen, whatever the zoom does meanwhile.
      const way = Math.abs(scale - from.scale) < 1e-9 * scale ? eased : (1 / from.scale - 1 / zoom) / (1 / from.scale - 1 / scale);
      look(from.x + (x - from.x) * way, from.y + (y - from.y) * way, zoom);
      if (part < 1) flight = requestAnimationFrame(step);
    };
    flight = requestAnimationFrame(step);
  };
  const zoomAt = (x, y, factor) => {
    const scale = Math.min(Math.max(view.scale * factor, fitted * .6), fitted * 600);
    const dx = x - width / 2, dy = y - height / 2;
    look(view.x + dx / view.scale - dx / scale, view.y + dy / view.scale - dy / scale, scale);
  };

  // ---- What is chosen.
  let column = catalogue.colouredBy, alone = -1, selected = -1, hovered = -1;
  let matches = [], matchAt = -1, query = "";
  // 1 for a point that is shown in full: of the group that is alone, and found.
  const shown = new Uint8Array(n).fill(1);
  const colours = 12;

  // ---- Drawing: one buffer of places and one of colours. Faded points are drawn first and grey ones
  // next, so that they hide none of the others.
  let gl = null, locations = null, buffers = null, layers = [0, 0, 0];
  const drawOrder = new Uint32Array(placed);
  // Points in a random order, the same each time: then no group lies on top because it is new, and
  // the beginning of a layer is a fair sample of it.
  const mixed = Uint32Array.from({length: placed}, (_, i) => i);
  for (let i = placed - 1, seed = 1; i > 0; i--) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const other = Math.floor(seed / 4294967296 * (i + 1));
    [mixed[i], mixed[other]] = [mixed[other], mixed[i]];
  }
  const vertex = `#version 300 es
    in vec2 place; in float group;
    uniform vec2 middle, zoom; uniform float size; uniform vec4 palette[16];
    out vec4 colour;
    void main() {
      gl_Position = vec4((place - middle) * zoom, 0., 1.);
      gl_PointSize = size;
      colour = palette[int(group)];
    }`;
  const fragment = `#version 300 es
    precision mediump float;
    in vec4 colour; uniform highp float size; out vec4 pixel;
    void main() {
      float inside = clamp((.5 - distance(gl_PointCoord, vec2(.5))) * size + .5, 0., 1.);
      pixel = colour * inside;
    }`;
  const setUp = () => {
    gl = canvas.getContext("webgl2", {antialias: false, depth: false, premultipliedAlpha: true, powerPreference: "high-performance"});
    if (!gl) return false;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return false;
    gl.useProgram(program);
    locations = Object.fromEntries(["middle", "zoom", "size", "palette"].map(name => [name, gl.getUniformLocation(program, name)]));
    buffers = {};
    for (const [name, parts, type] of [["place", 2, gl.UNSIGNED_SHORT], ["group", 1, gl.UNSIGNED_BYTE]]) {
      const at = gl.getAttribLocation(program, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name] = gl.createBuffer());
      gl.enableVertexAttribArray(at);
      gl.vertexAttribPointer(at, parts, type, false, 0, 0);
    }
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    return true;
  };
  const filtered = () => alone >= 0 || query !== "";
  const restyle = () => {
    const codes = groups[column].codes;
    if (query) {
      shown.fill(0);
      for (const i of matches) shown[i] = alone < 0 || codes[i] === alone ? 1 : 0;
    } else {
      for (let i = 0; i < n; i++) shown[i] = alone < 0 || codes[i] === alone ? 1 : 0;
    }
    if (gl && placed) {
      const layer = i => !shown[i] ? 0 : codes[i] < colours ? 2 : 1;
      layers = [0, 0, 0];
      for (let i = 0; i < placed; i++) layers[layer(i)]++;
      const next = [0, layers[0], layers[0] + layers[1]];
      for (const i of mixed) drawOrder[next[layer(i)]++] = i;
      const ordered = new Uint16Array(2 * placed), colour = new Uint8Array(placed);
      for (let at = 0; at < placed; at++) {
        const i = drawOrder[at];
        ordered[2 * at] = places[2 * i];
        ordered[2 * at + 1] = places[2 * i + 1];
        colour[at] = !shown[i] ? 13 : codes[i] < colours ? codes[i] : alone === codes[i] ? 14 : query ? 15 : 12;
      }
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers.place);
      gl.bufferData(gl.ARRAY_BUFFER, ordered, gl.DYNAMIC_DRAW);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers.group);
      gl.bufferData(gl.ARRAY_BUFFER, colour, gl.DYNAMIC_DRAW);
    }
    dirty();
  };
  let palette = [];
  const readPalette = () => {
    const style = getComputedStyle(document.documentElement);
    const read = name => [1, 3, 5].map(at => parseInt(style.getPropertyValue(name).trim().slice(at, at + 2), 16) / 255);
    palette = [...Array.from({length: colours}, (_, k) => read(`--m${k + 1}`)), read("--m0"), read("--faded"), read("--accent"), read("--muted")];
    dirty();
  };
  // Points grow as one comes nearer; few points are large from the beginning.
  const sizeOf = many => {
    const start = many > 50000 ? 2.4 : many > 10000 ? 3.4 : many > 1000 ? 5 : 8;
    return Math.min(18, start * (view.scale / fitted) ** .42);
  };
  let waiting = false, stale = true;
  const dirty = (points = true) => {
    stale ||= points;
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(now => {
      waiting = false;
      draw(now);
    });
  };
  // Where frames come slowly (no graphics card), only a sample of the points moves with the pointer;
  // all of them are drawn as soon as it rests.
  let sample = 1, slow = 0, before = 0;
  const settle = () => {
    moving = false;
    sample = Math.min(1, sample * 1.25);
    dirty();
  };
  const watch = now => {
    const gap = now - before;
    before = now;
    if (gap > 250) return;
    slow = gap > 30 ? slow + 1 : 0;
    if (slow < 2) return;
    slow = 0;
    sample = Math.max(.06, sample * .6);
  };
  const drawPoints = () => {
    const ratio = canvas.width / width, front = layers[1] + layers[2];
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform2f(locations.middle, view.x, view.y);
    gl.uniform2f(locations.zoom, 2 * view.scale / width, -2 * view.scale / height);
    const size = sizeOf(placed), sizes = [size, filtered() ? Math.max(size * 1.25, Math.min(sizeOf(front), 7)) : size];
    let from = 0;
    for (const [layer, many] of layers.entries()) {
      const alpha = layer ? .85 : .7, drawnNow = moving ? Math.min(many, Math.max(1500, Math.ceil(many * sample))) : many;
      if (drawnNow) {
        gl.uniform1f(locations.size, sizes[Math.min(layer, 1)] * ratio);
        gl.uniform4fv(locations.palette, palette.flatMap(([r, g, b]) => [r * alpha, g * alpha, b * alpha, alpha]));
        gl.drawArrays(gl.POINTS, from, drawnNow);
      }
      from += many;
    }
  };
  const draw = now => {
    if (moving) watch(now);
    if (stale && gl && !gl.isContextLost()) drawPoints();
    stale = false;
    under.hidden = !gl || hovered < 0 || hovered === selected;
    if (!under.hidden) {
      const [x, y] = screen(hovered);
      under.style.transform = `translate(${x}px, ${y}px)`;
    }
    const show = gl && selected >= 0 && selected < placed;
    ring.hidden = !show;
    if (show) {
      const [x, y] = screen(selected);
      ring.style.transform = `translate(${x}px, ${y}px)`;
    }
    placeCard();
  };

  // ---- Which point is near: a grid of square cells over the places.
  const cells = Math.max(1, Math.min(256, Math.ceil(Math.sqrt(placed)))), side = 65536 / cells;
  const cellOf = i => Math.floor(places[2 * i + 1] / side) * cells + Math.floor(places[2 * i] / side);
  const starts = new Uint32Array(cells * cells + 1), members = new Uint32Array(placed);
  for (let i = 0; i < placed; i++) starts[cellOf(i) + 1]++;
  for (let cell = 0; cell < cells * cells; cell++) starts[cell + 1] += starts[cell];
  const filled = starts.slice();
  for (let i = 0; i < placed; i++) members[filled[cellOf(i)]++] = i;
  // Goes through the cells around a place, ring by ring, until `enough(distance)`: no point that
  // was not visited yet is nearer than that.
  const around = (x, y, visit, enough) => {
    const column0 = Math.min(cells - 1, Math.max(0, Math.floor(x / side))), row0 = Math.min(cells - 1, Math.max(0, Math.floor(y / side)));
    for (let reach = 0; reach < cells; reach++) {
      if (reach && enough((reach - 1) * side)) return;
      for (let row = Math.max(0, row0 - reach); row <= Math.min(cells - 1, row0 + reach); row++) {
        const step = Math.abs(row - row0) === reach ? 1 : 2 * reach;
        for (let at = column0 - reach; at <= column0 + reach; at += step) {
          if (at < 0 || at >= cells) continue;
          const cell = row * cells + at;
          for (let k = starts[cell]; k < starts[cell + 1]; k++) visit(members[k]);
        }
      }
    }
  };
  const hit = (x, y, pixels) => {
    const px = view.x + (x - width / 2) / view.scale, py = view.y + (y - height / 2) / view.scale;
    let best = -1, nearest = pixels / view.scale;
    around(px, py, i => {
      if (!shown[i]) return;
      const distance = Math.hypot(places[2 * i] - px, places[2 * i + 1] - py);
      if (distance < nearest || best < 0 && distance === nearest) {
        best = i;
        nearest = distance;
      }
    }, reached => reached > nearest);
    return best;
  };
  const nearestTo = (i, many) => {
    const found = [], x = places[2 * i], y = places[2 * i + 1];
    around(x, y, j => {
      if (j !== i) found.push([Math.hypot(places[2 * j] - x, places[2 * j + 1] - y), j]);
    }, reached => {
      found.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      found.length = Math.min(found.length, many);
      return found.length === many && found[many - 1][0] <= reached;
    });
    found.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    return found.slice(0, many).map(([, j]) => j);
  };
  // The neighbour in a direction: ahead counts once, aside more. Points at the same place stand in
  // the order of their numbers, so that the arrows reach all of them.
  const neighbour = (from, dx, dy) => {
    const x = places[2 * from], y = places[2 * from + 1], forward = dx + dy > 0;
    let best = -1, least = Infinity;
    around(x, y, i => {
      if (i === from || !shown[i]) return;
      const ex = places[2 * i] - x, ey = places[2 * i + 1] - y;
      let cost;
      if (!ex && !ey) {
        if (i > from !== forward) return;
        cost = -1 + Math.abs(i - from) / (n + 1);
      } else {
        const ahead = ex * dx + ey * dy, aside = Math.abs(ex * dy - ey * dx);
        if (ahead <= 0 || aside > ahead * 1.2) return;
        cost = ahead + 1.5 * aside;
      }
      if (cost < least || cost === least && i > best !== forward) {
        best = i;
        least = cost;
      }
    }, reached => reached > least);
    return best;
  };

  // ---- The card beside a point, the details, and what is said to who does not see.
  let onCard = -1, cardWidth = 0, cardHeight = 0;
  const placeCard = () => {
    const i = !gl ? -1 : hovered >= 0 ? hovered : selected >= 0 && selected < placed && document.activeElement === stage ? selected : -1;
    if (i !== onCard) {
      onCard = i;
      card.hidden = i < 0;
      if (i >= 0) {
        const texts = made("div", {}, made("b", {}, nameOf(i)), made("span", {}, kindOf(i)), made("span", {}, ids[i]));
        card.replaceChildren(picture(i), texts);
        cardWidth = card.offsetWidth;
        cardHeight = card.offsetHeight;
      }
    }
    if (i < 0) return;
    const [x, y] = screen(i);
    // Beside the point, and where there is no room beside it, above or below.
    let left = x + 18, top = Math.min(Math.max(y - cardHeight / 2, 4), Math.max(4, height - cardHeight - 4));
    if (left + cardWidth > width - 4) left = x - 18 - cardWidth;
    if (left < 4) {
      left = Math.min(Math.max(x - cardWidth / 2, 4), Math.max(4, width - cardWidth - 4));
      top = y + 18 + cardHeight < height ? y + 18 : y - 18 - cardHeight;
    }
    card.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  };
  const say = text => {
    byId("said").textContent = text;
  };
  const select = (i, then = {}) => {
    selected = i;
    hovered = -1;
    const title = byId("details-title"), about = byId("about");
    if (i < 0) {
      title.textContent = "No article chosen";
      about.replaceChildren(made("p", {class: "none"}, "Choose a point, search for a name, or reach the map with ", made("kbd", {}, "Tab"), " and press an arrow key."));
      return dirty(false);
    }
    title.textContent = nameOf(i);
    const list = made("dl", {}, made("dt", {}, "Article"), made("dd", {}, made("code", {}, ids[i])));
    // What one column has said, another need not say again.
    const said = new Set();
    for (const values of [...Object.values(groups).reverse(), ...Object.values(details)]) {
      const value = valueOf(values, i);
      if (value && !said.has(value)) list.append(made("dt", {}, values.title), made("dd", {}, value));
      said.add(value);
    }
    const kinds = descriptions();
    kinds.numbers ??= decoded(kinds.codes, kinds.bits);
    const description = kinds.values[kinds.numbers[i]];
    const label = [nameOf(i), colourName(i)].filter(Boolean).join(", ");
    about.replaceChildren(picture(i, label), ...description ? [made("p", {class: "text"}, description)] : [], list);
    if (i >= placed) {
      about.append(made("p", {class: "none"}, "This article has no place on the map."));
    } else if (placed > 1) {
      const near = made("ul", {class: "near"});
      for (const j of nearestTo(i, 6)) {
        const button = made("button", {type: "button"}, picture(j), made("span", {}, nameOf(j)), made("span", {class: "hidden"}, kindOf(j)));
        button.addEventListener("click", () => {
          select(j, {show: true});
          byId("details").querySelector(".near button")?.focus();
        });
        near.append(made("li", {}, button));
      }
      about.append(made("h4", {}, "Nearest on this map"), near);
    }
    byId("details").scrollTop = 0;
    say([nameOf(i), typeName(i), colourName(i), valueOf(groups.section_name, i), ids[i]].filter(Boolean).join(", "));
    if (i < placed) {
      const [x, y] = screen(i), [px, py] = [places[2 * i], places[2 * i + 1]];
      if (then.centre) fly(px, py, Math.max(view.scale, fitted * 6));
      else if (then.show && (x < 40 || y < 40 || x > width - 40 || y > height - 40)) fly(px, py, view.scale);
    }
    dirty(false);
  };

  // ---- Legend.
  const legendOf = () => {
    const values = groups[column].values, many = new Uint32Array(values.length);
    for (let i = 0; i < placed; i++) many[groups[column].codes[i]]++;
    const entry = code => {
      const dot = made("span", {class: "dot", "aria-hidden": "true"});
      dot.style.background = code < colours ? `var(--m${code + 1})` : "var(--m0)";
      const button = made("button", {type: "button", "aria-pressed": "false", "data-code": code}, dot,
        made("span", {class: "label"}, values[code] || "not given"), made("span", {class: "count"}, many[code].toLocaleString("en")));
      button.addEventListener("click", () => isolate(alone === code ? -1 : code));
      return made("li", {}, button);
    };
    const codes = [...values.keys()];
    byId("legend-title").textContent = groups[column].title;
    byId("largest").replaceChildren(...codes.slice(0, colours).map(entry));
    const others = codes.slice(colours), rest = byId("rest");
    rest.hidden = !others.length;
    rest.open = false;
    rest.querySelector("summary").textContent = counted(others.length, "other, grey", "others, grey");
    rest.querySelector("ul").replaceChildren(...others.map(entry));
  };
  const isolate = code => {
    alone = code;
    byId("legend").classList.toggle("aside", code >= 0);
    byId("legend-hint").textContent = code < 0 ? "Choose one to see it alone." : "Choose it again to see all.";
    for (const button of byId("legend").querySelectorAll("button")) button.setAttribute("aria-pressed", String(Number(button.dataset.code) === code));
    say(code < 0 ? "All groups are shown." : `Only ${groups[column].values[code] || "not given"} is shown.`);
    restyle();
  };
  byId("coloured-by").addEventListener("change", event => {
    column = event.target.value;
    legendOf();
    isolate(-1);
    say(`Coloured by ${groups[column].title.toLowerCase()}.`);
  });

  // ---- Search. Accents and case do not matter; names that begin so come first.
  const search = byId("search"), suggestions = byId("suggestions"), status = byId("matches");
  const plain = text => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  let plainNames = null, plainIds = null, active = -1;
  const find = () => {
    plainNames ??= names.values.map(name => plain(name ?? ""));
    plainIds ??= ids.map(plain);
    matchAt = -1;
    const ranks = plainNames.map(name => {
      const at = name.indexOf(query);
      return at < 0 ? 3 : at === 0 ? 0 : name.includes(" " + query) ? 1 : 2;
    });
    const found = [[], [], []];
    for (let i = 0; i < n; i++) {
      const rank = plainIds[i].startsWith(query) ? 0 : ranks[names.codes[i]];
      if (rank < 3) found[rank].push(i);
    }
    matches = found.flat();
  };
  const count = () => {
    status.textContent = !query ? "" : !matches.length ? "Nothing found" : matchAt < 0 ? counted(matches.length, "match", "matches") : `${(matchAt + 1).toLocaleString("en")} of ${matches.length.toLocaleString("en")}`;
  };
  // The found part of a name stands out, where folding has not moved the letters.
  const marked = text => {
    const at = plain(text).length === text.length ? plain(text).indexOf(query) : -1;
    return at < 0 ? [text] : [text.slice(0, at), made("mark", {}, text.slice(at, at + query.length)), text.slice(at + query.length)];
  };
  const suggest = open => {
    active = -1;
    search.removeAttribute("aria-activedescendant");
    const offered = open && query ? matches.slice(0, width < 480 ? 4 : 7) : [];
    suggestions.replaceChildren(...offered.map((i, at) => {
      const option = made("li", {role: "option", id: `option-${at}`, "aria-selected": "false"}, picture(i), made("b", {}, ...marked(nameOf(i))),
        made("span", {}, kindOf(i) && kindOf(i) + " · ", ...marked(ids[i])));
      option.addEventListener("pointerdown", event => {
        event.preventDefault();
        jump(at);
      });
      return option;
    }));
    suggestions.hidden = !offered.length;
    search.setAttribute("aria-expanded", String(offered.length > 0));
  };
  const activate = at => {
    const options = suggestions.children;
    active = at >= 0 && at < options.length ? at : -1;
    for (const [k, option] of [...options].entries()) option.setAttribute("aria-selected", String(k === active));
    if (active < 0) search.removeAttribute("aria-activedescendant");
    else search.setAttribute("aria-activedescendant", `option-${active}`);
  };
  const jump = at => {
    if (!matches.length) return;
    matchAt = (at + matches.length) % matches.length;
    suggest(false);
    count();
    select(matches[matchAt], {centre: true});
  };
  const ask = () => {
    const asked = plain(search.value.trim());
    if (asked === query) return;
    query = asked;
    if (query) find();
    else [matches, matchAt] = [[], -1];
    count();
    suggest(true);
    restyle();
  };
  let asking = 0;
  search.addEventListener("input", () => {
    clearTimeout(asking);
    asking = setTimeout(ask, 90);
  });
  search.addEventListener("keydown", event => {
    if (event.isComposing) return;
    if (event.key === "Enter") {
      event.preventDefault();
      clearTimeout(asking);
      ask();
      jump(active >= 0 ? active : matchAt < 0 ? 0 : matchAt + (event.shiftKey ? -1 : 1));
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (suggestions.hidden) suggest(true);
      activate(event.key === "ArrowDown" ? active + 1 : (active < 0 ? suggestions.children.length : active) - 1);
    } else if (event.key === "Escape") {
      event.preventDefault();
      if (!suggestions.hidden) suggest(false);
      else reset();
    }
  });
  search.addEventListener("blur", () => suggest(false));

  // ---- Pointers and keys.
  const reset = () => {
    search.value = query = "";
    [matches, matchAt] = [[], -1];
    suggest(false);
    count();
    isolate(-1);
    select(-1);
    const {x, y, scale} = whole();
    fly(x, y, scale);
    say("The whole map is shown.");
  };
  byId("reset").addEventListener("click", reset);
  const zoomBy = factor => fly(view.x, view.y, Math.min(Math.max(view.scale * factor, fitted * .6), fitted * 600));
  byId("nearer").addEventListener("click", () => zoomBy(1.8));
  byId("farther").addEventListener("click", () => zoomBy(1 / 1.8));
  const pointers = new Map();
  let moved = 0;
  const within = event => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  stage.addEventListener("pointerdown", event => {
    if (event.button > 0) return;
    cancelAnimationFrame(flight);
    if (!pointers.size) moved = 0;
    pointers.set(event.pointerId, within(event));
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", event => {
    const [x, y] = within(event), before = pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch") hover(x, y);
      return;
    }
    const [bx, by] = before;
    moved += Math.hypot(x - bx, y - by);
    if (pointers.size === 1 && moved > 4) {
      stage.classList.add("moving");
      hovered = -1;
      look(view.x - (x - bx) / view.scale, view.y - (y - by) / view.scale, view.scale);
    } else if (pointers.size === 2) {
      const [ox, oy] = [...pointers].find(([id]) => id !== event.pointerId)[1];
      moved = Infinity;
      look(view.x - (x - bx) / 2 / view.scale, view.y - (y - by) / 2 / view.scale, view.scale);
      zoomAt((x + ox) / 2, (y + oy) / 2, Math.max(Math.hypot(x - ox, y - oy), 1) / Math.max(Math.hypot(bx - ox, by - oy), 1));
    }
    pointers.set(event.pointerId, [x, y]);
  });
  const lift = event => {
    if (!pointers.delete(event.pointerId)) return;
    stage.classList.remove("moving");
    if (event.type === "pointerup" && !pointers.size && moved <= 4) select(hit(...within(event), event.pointerType === "touch" ? 24 : 12));
  };
  stage.addEventListener("pointerup", lift);
  stage.addEventListener("pointercancel", lift);
  let hoverAt = null;
  const hover = (x, y) => {
    if (!hoverAt) requestAnimationFrame(() => {
      const found = hoverAt && hit(...hoverAt, 12);
      if (hoverAt && found !== hovered) {
        hovered = found;
        stage.classList.toggle("on-point", found >= 0);
        dirty(false);
      }
      hoverAt = null;
    });
    hoverAt = [x, y];
  };
  stage.addEventListener("pointerleave", () => {
    hoverAt = null;
    hovered = -1;
    dirty(false);
  });
  stage.addEventListener("wheel", event => {
    event.preventDefault();
    cancelAnimationFrame(flight);
    const lines = event.deltaMode ? 18 : 1;
    zoomAt(...within(event), Math.exp(-Math.max(-120, Math.min(120, event.deltaY * lines)) * (event.ctrlKey ? .01 : .0022)));
  }, {passive: false});
  stage.addEventListener("dblclick", event => {
    const [x, y] = within(event);
    zoomAt(x, y, 2);
  });
  const arrows = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
  stage.addEventListener("keydown", event => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key in arrows) {
      event.preventDefault();
      if (!placed) return;
      const next = selected < 0 || selected >= placed ? hit(width / 2, height / 2, Infinity) : neighbour(selected, ...arrows[event.key]);
      if (next >= 0) select(next, {show: true});
      else say("There is no article farther that way.");
    } else if (event.key === "+" || event.key === "=" || event.key === "-" || event.key === "_") {
      event.preventDefault();
      const factor = event.key === "+" || event.key === "=" ? 1.8 : 1 / 1.8, lone = selected >= 0 && selected < placed;
      // Towards the article that is chosen.
      if (lone && factor > 1) fly(places[2 * selected], places[2 * selected + 1], Math.min(view.scale * factor, fitted * 600));
      else zoomBy(factor);
    } else if (event.key === "Escape") {
      event.preventDefault();
      reset();
    }
  });
  stage.addEventListener("focus", () => dirty(false));
  stage.addEventListener("blur", () => dirty(false));

  // ---- Begin.
  const resize = () => {
    const wasWhole = Math.abs(view.scale - fitted) < 1e-9;
    width = Math.max(stage.clientWidth, 1);
    height = Math.max(stage.clientHeight, 1);
    const ratio = Math.min(devicePixelRatio || 1, 2);
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    fitted = whole().scale;
    if (wasWhole || view.scale < fitted * .6) Object.assign(view, whole());
    // At once: a canvas that has a new size is empty.
    stale = true;
    draw(performance.now());
  };
  const tell = text => {
    byId("nothing").textContent = text;
    byId("nothing").hidden = false;
  };
  view.scale = fitted;
  legendOf();
  if (!n) tell("The catalogue is empty: there is nothing to draw yet.");
  else if (!placed) tell("No article has a place on this map. The search finds them all the same.");
  else if (!setUp()) {
    gl = null;
    tell("This browser cannot draw the map: it needs WebGL 2, which is switched off or missing here. The search finds articles all the same.");
    stage.removeAttribute("tabindex");
  }
  canvas.addEventListener("webglcontextlost", event => event.preventDefault());
  canvas.addEventListener("webglcontextrestored", () => {
    if (setUp()) restyle();
  });
  dark.addEventListener("change", readPalette);
  readPalette();
  new ResizeObserver(resize).observe(stage);
  resize();
  restyle();
  requestAnimationFrame(() => requestAnimationFrame(() => {
    document.documentElement.dataset.ready = "yes";
  }));
})();
