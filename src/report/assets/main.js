// Puts it together: which connection and range are shown, the keys, and the address.
const stack = document.getElementById("stack");
const plot = document.getElementById("plot");
const sections = document.getElementById("sections");
let view = null;
let overview = null;
let current = null;
let printing = false;

// What strips and panels share.
function makeView(data) {
  const made = {
    data, from: data.first, to: data.last, cursor: data.rows > 0 ? data.end : data.last, chosen: null, absolute: view?.absolute ?? false,
    offGroups: view?.offGroups ?? new Set(), variables: view?.variables ?? new Map(), strips: [], panels: [],
    x: (time) => ((time - made.from) / (made.to - made.from || 1)) * made.width,
    isOn: (event) => !made.offGroups.has(event.group),
    cursorRow: () => (data.rows === 0 || gapAt(data, made.cursor) ? null : rowAt(data, made.cursor)),
    setRange(from, to) {
      const least = 1e-5;
      const middle = (from + to) / 2;
      if (to - from < least) [from, to] = [middle - least / 2, middle + least / 2];
      [made.from, made.to] = [Math.max(data.first, from), Math.min(data.last, to)];
      if (made.to - made.from < least) [made.from, made.to] = [data.first, data.last];
      made.redraw();
      writeAddress();
    },
    zoom(factor, at) {
      made.setRange(at - (at - made.from) * factor, at + (made.to - at) * factor);
    },
    redraw() {
      if (made.waits) return;
      made.waits = true;
      requestAnimationFrame(() => {
        made.waits = false;
        drawAll();
      });
    },
    // Adds a variable to a panel, or removes it.
    addVariable(panel, name) {
      const chosen = made.variables.get(panel) ?? new Set();
      if (!chosen.delete(name)) chosen.add(name);
      made.variables.set(panel, chosen);
      build();
    },
    switchSequence() {
      made.absolute = !made.absolute;
      build();
    },
  };
  // A connection without any time in it still has a range.
  if (made.to - made.from < 1e-5) [data.first, data.last] = [data.first - 0.5, data.last + 0.5], [made.from, made.to] = [data.first, data.last];
  return made;
}

function measure() {
  const width = printing ? 1040 : plot.clientWidth;
  const isNarrow = width <= 740;
  view.gutter = isNarrow ? 48 : 92;
  view.scale = isNarrow ? 0.82 : 1;
  view.width = Math.max(120, width - view.gutter - RIGHT);
  stack.classList.toggle("narrow", isNarrow);
  stack.style.setProperty("--gutter", view.gutter + "px");
}

function build() {
  view.panels.forEach((panel) => panel.remove());
  measure();
  const parent = document.getElementById("panels");
  parent.replaceChildren();
  const has = (spec) => [...spec.series(view.data, view.absolute), ...extraSeries(view.data, spec.id)].some((series) => series.values);
  const wanted = PANELS.filter((spec) => !OPTIONAL.has(spec.id) || has(spec));
  view.panels = [];
  // Rates first: the overview draws them, too.
  wanted.forEach((spec, at) => view.panels.push(new Panel(parent, spec, view, at === wanted.length - 1)));
  view.strips = makeStrips(document.getElementById("strips"), view.data);
  view.read = makeReadout(document.getElementById("read"), view);
  drawAll();
}

function drawAll() {
  for (const strip of view.strips) strip.draw(strip, view, view.data);
  view.panels.forEach((panel) => panel.draw());
  read();
  view.showLine?.();
}

function read() {
  view.read();
  view.panels.forEach((panel) => panel.read());
}

function showSection(id, html) {
  let section = document.getElementById("c" + id);
  if (!section && html) {
    sections.insertAdjacentHTML("beforeend", html);
    section = document.getElementById("c" + id);
  }
  for (const other of sections.children) other.classList.toggle("on", other === section);
  if (!section || section.querySelector(".steps")) return;
  const steps = document.createElement("span");
  steps.className = "steps";
  const add = (text, go, title) => {
    const button = document.createElement("button");
    button.textContent = text;
    button.title = title;
    button.addEventListener("click", go);
    steps.append(button);
  };
  if (document.getElementById("o" + id)) add("other end", () => select(id, null, !current.other), "the same connection, as its other end sees it");
  add("‹ previous", () => step(-1), "key: [");
  add("next ›", () => step(1), "key: ]");
  section.querySelector("h2").append(steps);
}

// Shows a connection, and a range of it.
async function select(id, range, other = false) {
  if (!overview?.has(id)) return;
  const wanted = { id, other };
  current = wanted;
  const data = await load((other ? "o" : "d") + id);
  // Another one may have been chosen in the meantime.
  if (current !== wanted) return;
  data.codes = stateCodes(data);
  data.limits = limitCodes(data);
  data.recoveries = spans(data, (row) => (data.codes.ca?.[row] ?? 0) >= 5);
  view?.panels.forEach((panel) => panel.remove());
  view = makeView(data);
  if (range && range[1] > range[0]) [view.from, view.to] = [Math.max(range[0], data.first), Math.min(range[1], data.last)];
  if (!(view.to > view.from)) [view.from, view.to] = [data.first, data.last];
  stack.hidden = false;
  showSection(id, data.head.html);
  overview.mark(id);
  build();
  view.events = makeEvents(view, openEvent);
  listen();
  writeAddress();
  document.documentElement.dataset.shown = id;
}

// The pointer's handlers belong to one view, and end with it.
let handlers = null;
function listen() {
  handlers?.abort();
  handlers = new AbortController();
  const choose = (scroll) => {
    view.events.choose(scroll);
    redrawMarks();
  };
  pointer(plot, view, { read, choose }, handlers.signal);
}

function redrawMarks() {
  view.panels.find((panel) => panel.spec.id === "sequence")?.u?.redraw(false);
  const losses = view.strips.find((strip) => strip.id === "losses");
  losses?.draw(losses, view, view.data);
}

// Zooms to an event: four RTTs on each side.
function openEvent(event) {
  const { srtt_us: srtt } = view.data.columns;
  const row = rowAt(view.data, event.time);
  const rtt = srtt && srtt[row] > 0 ? srtt[row] / 1e6 : 0.02;
  const half = Math.max(0.075, 4 * rtt);
  view.chosen = event.index;
  view.cursor = event.time;
  view.setRange(event.time - half, event.time + half);
  view.events.choose(false);
}

function step(by) {
  const ids = overview.ids();
  const at = ids.indexOf(current.id);
  const next = ids[at < 0 ? 0 : at + by];
  if (next !== undefined) select(next);
}

function stepEvent(by) {
  const listed = view.events.listed();
  const now = view.chosen === null ? view.cursor : view.data.events[view.chosen].time;
  const at = listed.findIndex((event) => event.index === view.chosen);
  const after = () => listed.findIndex((event) => event.time > now);
  const index = at >= 0 ? at + by : by > 0 ? after() : listed.findLastIndex((event) => event.time < now);
  const event = listed[index];
  if (!event) return;
  view.chosen = event.index;
  view.cursor = event.time;
  const width = view.to - view.from;
  if (event.time < view.from || event.time > view.to) view.setRange(event.time - width / 2, event.time + width / 2);
  view.events.choose(true);
  redrawMarks();
  read();
  view.showLine();
}

const KEYS = {
  ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2), "+": () => view.zoom(0.5, view.cursor), "=": () => view.zoom(0.5, view.cursor),
  "-": () => view.zoom(2, view.cursor), 0: () => view.setRange(view.data.first, view.data.last), n: () => stepEvent(1), p: () => stepEvent(-1),
  "[": () => step(-1), "]": () => step(1), s: () => view.switchSequence(),
  Escape: () => { view.chosen = null; document.getElementById("tip").hidden = true; view.events.choose(false); redrawMarks(); },
};

function move(by) {
  const { data } = view;
  const width = view.to - view.from;
  const from = Math.max(data.first, Math.min(data.last - width, view.from + by * width));
  view.setRange(from, from + width);
}

addEventListener("keydown", (event) => {
  if (!view || event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.("input, textarea")) return;
  const run = KEYS[event.key];
  if (!run) return;
  event.preventDefault();
  run();
});

// The address names the connection and the range, so that a finding can be linked.
function readAddress() {
  const plain = location.hash.match(/^#c(\d+)$/);
  const parts = new URLSearchParams(location.hash.slice(1));
  const id = Number(plain?.[1] ?? parts.get("c"));
  const range = parts.has("a") && parts.has("b") ? [Number(parts.get("a")), Number(parts.get("b"))] : null;
  return { id, range, other: parts.get("end") === "other" };
}

function writeAddress() {
  const { data, from, to } = view;
  const isWhole = from <= data.first && to >= data.last;
  const range = isWhole ? "" : `&a=${+from.toFixed(6)}&b=${+to.toFixed(6)}`;
  const address = `#c=${current.id}${current.other ? "&end=other" : ""}${range}`;
  if (location.hash !== address) history.replaceState(null, "", address);
}

function start() {
  const { id, range, other } = readAddress();
  const known = overview?.has(id);
  const first = known ? id : overview?.first();
  if (first !== null && first !== undefined) select(first, known ? range : null, known && other && !!document.getElementById("o" + id));
}

function rebuild() {
  if (view) build();
}

function toolbar() {
  const place = document.querySelector("header .buttons");
  const add = (text, run) => {
    const button = document.createElement("button");
    button.textContent = text;
    button.addEventListener("click", run);
    place.append(button);
  };
  add("Light / dark", () => { setTheme(root.dataset.theme === "dark" ? "light" : "dark"); rebuild(); view?.events.show(); });
  add("Print", () => print());
}

root.classList.add("scripted");
toolbar();
addEventListener("hashchange", () => {
  const { id, range, other } = readAddress();
  if (overview?.has(id)) select(id, range, other && !!document.getElementById("o" + id));
});
prefersDark.addEventListener("change", () => { setTheme(prefersDark.matches ? "dark" : "light"); rebuild(); });
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width && !printing) {
    width = innerWidth;
    rebuild();
  }
});
let screenTheme = null;
addEventListener("beforeprint", () => {
  printing = true;
  screenTheme = root.dataset.theme;
  setTheme("light");
  rebuild();
  view?.events.show(100);
});
addEventListener("afterprint", () => {
  printing = false;
  setTheme(screenTheme ?? "light");
  rebuild();
  view?.events.show();
});
makeOverview((id) => select(id)).then((made) => {
  overview = made;
  start();
});
