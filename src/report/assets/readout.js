// The values at the cursor, above all panels; and the pointer: cursor, zoom, marks.
function makeReadout(parent, view) {
  const { data } = view;
  const c = data.columns;
  const fields = [
    ["cwnd", c.snd_cwnd, UNITS.segments], ["in flight", c.packets_in_flight, UNITS.segments],
    ["srtt", c.srtt_us, UNITS.us], [data.delivered?.name ?? "delivered", data.delivered?.rate, UNITS.rate],
  ].filter(([, values]) => values);
  parent.replaceChildren();
  const add = (className, label) => {
    const span = document.createElement("span");
    span.className = className;
    if (label) span.append(label + " ");
    const value = document.createElement("b");
    span.append(value);
    parent.append(span);
    return value;
  };
  const time = add("t", "t");
  const values = fields.map(([label]) => add("value", label));
  const kinds = [...Object.keys(data.codes), ...(data.limits.rows > 1 ? ["limit"] : [])];
  const states = kinds.map((kind) => ({ kind, element: add("state") }));
  const range = document.createElement("span");
  range.className = "range";
  const all = document.createElement("button");
  all.textContent = "Show all";
  all.id = "all";
  all.addEventListener("click", () => view.setRange(data.first, data.last));
  parent.append(range, all);
  return () => {
    const row = view.cursorRow();
    time.textContent = view.cursor.toFixed(6) + NARROW + "s";
    fields.forEach(([, list, format], at) => { values[at].textContent = row === null ? "no data" : format(list[row]); });
    for (const { kind, element } of states) {
      const name = row === null ? "" : stateAt(data, kind, view.cursor);
      const swatch = document.createElement("i");
      swatch.className = "box";
      swatch.style.background = name ? stateColour(kind, name) : "transparent";
      element.replaceChildren(swatch, name);
      element.title = { limit: "limited by", ca: "CA state", mode: "BBR mode" }[kind];
    }
    const short = (time) => time.toFixed(3).replace(/^-(0\.0+)$/, "$1");
    range.textContent = `${short(view.from)} – ${short(view.to)}${NARROW}s`;
  };
}

function pointer(plot, view, actions, signal) {
  const line = document.getElementById("cursor");
  const box = document.getElementById("chosen");
  const tip = document.getElementById("tip");
  let drag = null;
  const on = (type, run, options) => plot.addEventListener(type, run, { ...options, signal });
  const place = (event) => {
    const bounds = plot.getBoundingClientRect();
    return { x: event.clientX - bounds.left - view.gutter, y: event.clientY - bounds.top };
  };
  // Which strip or panel the pointer is in, and where in it.
  const target = (event) => {
    const element = event.target.closest?.(".strip canvas, .panel .canvas");
    if (!element) return { name: null, y: 0 };
    const strip = view.strips.find((one) => one.canvas === element);
    const panel = view.panels.find((one) => one.element.contains(element));
    return { name: strip?.id ?? panel?.spec.id, y: event.clientY - element.getBoundingClientRect().top };
  };
  const time = (x, from = view.from, to = view.to) => from + (Math.max(0, Math.min(view.width, x)) / view.width) * (to - from);
  const showLine = () => {
    const x = view.x(view.cursor);
    line.hidden = x < 0 || x > view.width;
    line.style.left = view.gutter + x + "px";
  };
  view.showLine = showLine;
  on("pointermove", (event) => {
    const { x, y } = place(event);
    if (drag) {
      drag.to = x;
      const [left, right] = [Math.min(drag.from, x), Math.max(drag.from, x)].map((at) => Math.max(0, Math.min(view.width, at)));
      box.hidden = right - left < 4;
      box.style.left = view.gutter + left + "px";
      box.style.width = right - left + "px";
      return;
    }
    if (x < 0 || x > view.width) return;
    const { name, y: inside } = target(event);
    if (name === "overview") {
      tip.hidden = true;
      return;
    }
    const near = eventsNear(view, view.data, name, x, inside);
    const before = view.chosen;
    view.chosen = near[0]?.index ?? null;
    view.cursor = near[0]?.time ?? time(x);
    showTip(tip, view, near, x + view.gutter, y);
    showLine();
    actions.read();
    if (before !== view.chosen) actions.choose(false);
  });
  on("pointerdown", (event) => {
    const { x } = place(event);
    if (event.button !== 0 || x < 0 || x > view.width || event.target.closest("button")) return;
    drag = { from: x, to: x, name: target(event).name };
    plot.setPointerCapture(event.pointerId);
  });
  on("pointerup", (event) => {
    if (!drag) return;
    const { from, to, name } = drag;
    drag = null;
    box.hidden = true;
    if (plot.hasPointerCapture(event.pointerId)) plot.releasePointerCapture(event.pointerId);
    const whole = name === "overview" ? [view.data.first, view.data.last] : [view.from, view.to];
    if (Math.abs(to - from) >= 4) view.setRange(time(Math.min(from, to), ...whole), time(Math.max(from, to), ...whole));
    else if (view.chosen !== null) actions.choose(true);
  });
  on("pointercancel", () => { drag = null; box.hidden = true; });
  on("pointerleave", () => { tip.hidden = true; });
  on("dblclick", () => view.setRange(view.data.first, view.data.last));
  on("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    view.zoom(Math.exp(event.deltaY / 300), time(place(event).x));
  }, { passive: false });
}
