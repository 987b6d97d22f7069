// The panels: one uPlot each, all with the same time axis.
// A sample is the state before its packet, so steps go backwards.
const stepped = uPlot.paths.stepped({ align: -1 });
const RIGHT = 14;

// The visible part of the numbers, in ascending order; not more than a few thousand of them.
function visibleNumbers(data, values, view) {
  const [first, last] = visibleRows(data, view.from, view.to);
  const step = Math.max(1, Math.floor((last - first) / 4000));
  const found = [];
  for (let row = first; row <= last; row += step) if (values[row] === values[row]) found.push(values[row]);
  return Float64Array.from(found).sort();
}

function largest(data, values, view) {
  const [first, last] = visibleRows(data, view.from, view.to);
  let most = 0;
  for (let row = first; row <= last; row++) if (values[row] > most) most = values[row];
  return most;
}

function smallest(data, values, view) {
  const [first, last] = visibleRows(data, view.from, view.to);
  let least = Infinity;
  for (let row = first; row <= last; row++) if (values[row] < least) least = values[row];
  return least;
}

// Spans of rows for which a test holds, in seconds.
function spans(data, test) {
  const found = [];
  let from = null;
  for (let row = 1; row < data.rows; row++) {
    const holds = test(row);
    if (holds && from === null) from = data.time[row - 1];
    if (!holds && from !== null) {
      found.push([from, data.time[row - 1]]);
      from = null;
    }
  }
  if (from !== null) found.push([from, data.end]);
  return found;
}

// A colour halfway to that of the card, opaque: areas that are stacked must not shine through.
function faded(name) {
  const long = (text) => (text.length === 4 ? text.replace(/[^#]/g, "$&$&") : text);
  const parts = (text) => [1, 3, 5].map((at) => parseInt(long(text).slice(at, at + 2), 16));
  const [own, card] = [parts(colour(name)), parts(colour("card"))];
  return `rgb(${own.map((value, at) => Math.round((value + card[at]) / 2)).join(" ")})`;
}

class Panel {
  constructor(parent, spec, view, isLast) {
    Object.assign(this, { spec, view, isLast, notes: [] });
    const { data } = view;
    this.chosen = view.variables.get(spec.id) ?? new Set();
    const added = [...this.chosen].filter((name) => data.columns[name]).map((name, at) => variableSeries(data, name, spec.unit, at));
    const all = [...spec.series(data, view.absolute), ...extraSeries(data, spec.id), ...added];
    this.series = all.filter((series) => series.values || series.flag);
    this.lines = this.series.filter((series) => series.values && !series.readOnly);
    this.isEmpty = this.lines.every((line) => line.values.every((value) => value !== value));
    this.element = document.createElement("div");
    this.element.className = "panel";
    this.element.id = "panel-" + spec.id;
    parent.append(this.element);
    this.header();
    this.flags = this.series.filter((series) => series.flag).map((series) => ({ ...series, spans: spans(data, (row) => series.flag[row] === 1) }));
    if (!this.isEmpty) this.make();
  }

  header() {
    const header = document.createElement("div");
    header.className = "legend";
    const title = document.createElement("h3");
    title.textContent = this.spec.title + " ";
    this.unit = document.createElement("small");
    title.append(this.unit);
    header.append(title);
    this.note = document.createElement("span");
    this.note.className = "over";
    if (this.isEmpty) {
      const text = document.createElement("p");
      text.className = "note";
      text.textContent = "not in this recording: its samples do not have these fields";
      this.element.append(header, text);
      return;
    }
    for (const series of this.series.filter((one) => !one.hidden)) header.append(this.entry(series));
    if (this.spec.id === "sequence") header.append(this.switcher(), ...this.markKeys());
    if (variablesOf(this.view.data).length > 0) header.append(variableMenu(this.view.data, this.chosen, (name) => this.view.addVariable(this.spec.id, name)));
    this.element.append(header);
  }

  entry(series) {
    const entry = document.createElement(series.readOnly || series.swatch ? "span" : "button");
    entry.className = "entry";
    const swatch = document.createElement("i");
    const shape = series.area || series.swatch || series.colour === "band" ? "area" : series.dash ? (series.dash[0] < 3 ? "dot" : "dash") : "line";
    if (series.colour) {
      swatch.className = "swatch " + shape;
      swatch.style.setProperty("--c", `var(--${series.colour})`);
      entry.append(swatch);
    }
    entry.append(series.name + " ");
    series.shown = document.createElement("b");
    if (series.values) entry.append(series.shown);
    if (series.ownScale) entry.title = "on a scale of its own; a click removes it";
    else if (series.variable) entry.title = "a click removes it";
    if (entry.tagName === "BUTTON") {
      entry.setAttribute("aria-pressed", String(!series.off));
      entry.addEventListener("click", () => {
        if (series.variable) return this.view.addVariable(this.spec.id, series.variable);
        series.off = !series.off;
        entry.setAttribute("aria-pressed", String(!series.off));
        this.draw();
      });
    }
    return entry;
  }

  // Between relative and absolute sequence numbers.
  switcher() {
    const button = document.createElement("button");
    button.className = "switch";
    button.textContent = this.view.absolute ? "relative" : "absolute";
    button.title = "key: s";
    button.addEventListener("click", () => this.view.switchSequence());
    return button;
  }

  markKeys() {
    const present = new Set(this.view.data.events.map((event) => event.type));
    return [...LOSS_TYPES].filter((type) => present.has(type)).map((type) => {
      const key = document.createElement("span");
      key.className = "entry";
      const canvas = document.createElement("canvas");
      const ratio = devicePixelRatio;
      canvas.width = canvas.height = 12 * ratio;
      const ctx = canvas.getContext("2d");
      ctx.scale(ratio, ratio);
      drawMark(ctx, MARK_LOOKS[type], 6, 6, 4);
      key.append(canvas, " ", MARK_LOOKS[type].label);
      return key;
    });
  }

  make() {
    const { view } = this;
    this.range = [0, 1];
    const text = () => colour("muted");
    const font = "11px " + getComputedStyle(document.body).fontFamily;
    const axis = { stroke: text, font, grid: { stroke: () => colour("grid"), width: 1 }, ticks: { show: false } };
    const series = this.lines.map((line) => ({
      scale: "y",
      width: line.hidden ? 0 : (line.width ?? 1.2),
      stroke: () => (line.hidden ? "transparent" : colour(line.area ? (line.line ?? line.colour) : line.colour)),
      fill: line.fill ? () => faded(line.fill) : line.area ? () => colour("area") : undefined,
      dash: line.dash,
      paths: line.width === 2 ? undefined : stepped,
      points: { show: view.data.rows < 3 && !line.hidden },
      spanGaps: false,
    }));
    const bandFrom = this.lines.findIndex((line) => line.bandTo);
    const bands = bandFrom < 0 ? [] : [{ series: [bandFrom + 1, bandFrom + 2], fill: () => colour("band") }];
    const height = Math.round(this.spec.height * view.scale) + (this.isLast ? 22 : 0);
    const options = {
      width: view.gutter + view.width + RIGHT,
      height,
      padding: [6, RIGHT, 0, 0],
      cursor: { show: false },
      legend: { show: false },
      scales: { x: { time: false, range: () => [view.from, view.to] }, y: { range: () => this.range } },
      axes: [
        { ...axis, size: this.isLast ? 26 : 4, space: 70, values: (u, at, axisAt, space, distance) => at.map((time) => (this.isLast ? tickSeconds(time, distance) : "")) },
        { ...axis, size: view.gutter, space: 30, gap: 6, values: (u, at) => this.yTicks(at) },
      ],
      series: [{}, ...series],
      bands,
      hooks: { drawClear: [(u) => this.below(u)], draw: [(u) => this.above(u)] },
    };
    const place = document.createElement("div");
    place.className = "canvas";
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", `${this.spec.title} over time: ${this.lines.filter((line) => !line.hidden).map((line) => line.name).join(", ")}`);
    this.element.append(place);
    place.append(this.note);
    this.u = new uPlot(options, this.lines.map(() => []).concat([[]]), place);
  }

  yTicks(splits) {
    const { name, texts } = ticks(this.spec.unit, splits);
    const mss = this.view.data.columns.mss;
    const unit = this.spec.unit === "segments" ? `segments${mss ? ` of ${UNITS.bytes(mss[this.view.data.rows - 1])}` : ""}` : name;
    const relative = this.spec.id === "sequence" ? (this.view.absolute ? " since the first sample" : " beyond snd_una") : "";
    if (this.unit.textContent !== unit + relative) this.unit.textContent = unit + relative;
    return texts;
  }

  // From 0, unless the numbers are absolute. Soft series widen it only if that does not squash the others.
  setRange() {
    const { data } = this.view;
    const on = this.lines.filter((line) => !line.off);
    const absolute = this.spec.id === "sequence" && this.view.absolute;
    let most = 0;
    for (const line of on.filter((one) => !one.soft && !one.ownScale)) {
      if (line.rangeQuantile) {
        const numbers = visibleNumbers(data, line.values, this.view);
        most = Math.max(most, numbers[Math.floor((numbers.length - 1) * line.rangeQuantile)] ?? 0);
      } else most = Math.max(most, largest(data, line.values, this.view));
    }
    const notes = [];
    let widest = most;
    for (const line of on.filter((one) => one.soft && !one.ownScale)) {
      const numbers = visibleNumbers(data, line.values, this.view);
      if (numbers.length === 0) continue;
      const top = largest(data, line.values, this.view);
      if (numbers[Math.floor((numbers.length - 1) * 0.9)] <= 1.45 * most || most === 0) widest = Math.max(widest, Math.min(top, most === 0 ? top : 1.45 * most));
      if (top > widest * 1.06) notes.push(`${line.name} up to ${UNITS[this.spec.unit](top)} ↑`);
    }
    const least = absolute ? Math.min(...on.filter((line) => !line.ownScale).map((line) => smallest(data, line.values, this.view))) : 0;
    this.range = [Number.isFinite(least) ? least : 0, widest > least ? widest + (widest - least) * 0.06 : least + 1];
    this.note.textContent = notes.join(", ");
    this.note.style.right = RIGHT + 4 + "px";
  }

  draw() {
    if (!this.u) return;
    const { view } = this;
    this.setRange();
    const lists = this.lines.map((line) => (line.ownScale ? rescaled(line, this.range[1]) : line.values));
    const rows = drawn(view.data, lists, view.from, view.to, Math.round(view.width * Math.min(2, devicePixelRatio)));
    this.u.batch(() => {
      this.lines.forEach((line, at) => {
        if (this.u.series[at + 1].show !== !line.off) this.u.setSeries(at + 1, { show: !line.off });
      });
      this.u.setData(rows, true);
    });
    this.read();
  }

  // Shades under the lines: recovery, time that the application limited, and missing data.
  below(u) {
    const { view } = this;
    const { ctx, bbox } = u;
    const shade = (from, to, fill) => {
      const left = Math.max(bbox.left, u.valToPos(from, "x", true));
      const right = Math.min(bbox.left + bbox.width, Math.max(u.valToPos(to, "x", true), u.valToPos(from, "x", true) + 1));
      if (right <= left) return;
      ctx.fillStyle = fill;
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
    };
    ctx.save();
    for (const flag of this.flags) for (const [from, to] of flag.spans) if (to > view.from && from < view.to) shade(from, to, colour(flag.colour));
    for (const [from, to] of view.data.recoveries) if (to > view.from && from < view.to) shade(from, to, colour("recovery"));
    for (const gap of view.data.gaps) shade(gap.from, gap.to, hatch(ctx));
    ctx.restore();
  }

  above(u) {
    const { view } = this;
    if (this.spec.id === "sequence") view.places = drawSequenceMarks(u, view, view.data, view.absolute);
    if (this.spec.id !== "cwnd") return;
    const { ctx, bbox } = u;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.font = `${11 * ratio}px ${getComputedStyle(document.body).fontFamily}`;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    for (const gap of view.data.gaps) {
      const middle = u.valToPos((Math.max(gap.from, view.from) + Math.min(gap.to, view.to)) / 2, "x", true);
      const text = `no data, ${group(gap.packets)} packets`;
      const width = ctx.measureText(text).width;
      if (middle < bbox.left || middle > bbox.left + bbox.width || gap.to < view.from || gap.from > view.to) continue;
      const at = Math.max(bbox.left + width / 2 + 4, Math.min(bbox.left + bbox.width - width / 2 - 4, middle));
      const y = bbox.top + bbox.height / 2;
      ctx.fillStyle = colour("card");
      ctx.fillRect(at - width / 2 - 4 * ratio, y - 9 * ratio, width + 8 * ratio, 18 * ratio);
      ctx.fillStyle = colour("muted");
      ctx.fillText(text, at, y);
    }
    ctx.restore();
  }

  // The values at the cursor, from all data.
  read() {
    const { view } = this;
    const row = view.cursorRow();
    for (const series of this.series) {
      if (!series.shown || !series.values) continue;
      const values = series.readAs ?? series.values;
      const value = row === null ? null : values[row];
      series.shown.textContent = isNumber(value) || row === null ? UNITS[series.unit ?? this.spec.unit](value) : (series.none ?? "–");
    }
  }

  remove() {
    this.u?.destroy();
    this.element.remove();
  }
}
