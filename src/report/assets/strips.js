// Strips of states above the panels, and the overview that chooses the range.
const STATES = {
  ca: ["", "slow start", "avoidance", "Disorder", "CWR", "Recovery", "Loss"],
  mode: ["", "STARTUP", "DRAIN", "PROBE_BW", "PROBE_RTT"],
  limit: ["", "handshake", "idle", "application", "sndbuf", "rwnd", "zero window", "pacing cap", "pacing", "local queue", "slow start", "cwnd", "path", "recovery", "rto", "undecided"],
};
// These are drawn even where they are shorter than a column.
const ALWAYS = { ca: [6, 5], mode: [4], limit: [14, 13] };

// The state of each row, as a number; what held longest is drawn by it.
function stateCodes(data) {
  const { ca_state: state, snd_cwnd: cwnd, ssthresh, "bbr.mode": mode } = data.columns;
  const codes = {};
  if (state) {
    const names = data.words.ca_state;
    codes.ca = Uint8Array.from(state, (value, row) => {
      if (value !== value) return 0;
      if (names[value] !== "Open") return Math.max(0, STATES.ca.indexOf(names[value]));
      return !ssthresh || !(cwnd[row] >= ssthresh[row]) ? 1 : 2;
    });
  }
  if (mode) {
    const names = data.words["bbr.mode"];
    codes.mode = Uint8Array.from(mode, (value) => (value !== value ? 0 : Math.max(0, STATES.mode.indexOf(names[value]))));
  }
  return codes;
}

// What limits the connection: like rows, each number holds since the time before.
function limitCodes(data) {
  const { times, numbers } = data.head.causes;
  let us = 0;
  const time = Float64Array.from(times, (step) => (us += step) / 1e6);
  return { time, rows: time.length, codes: Uint8Array.from(numbers), gaps: [] };
}

// Where the codes of a strip are.
const sourceOf = (data, kind) => (kind === "limit" ? data.limits : { time: data.time, rows: data.rows, gaps: data.gaps, codes: data.codes[kind] });

function stateAt(data, kind, time) {
  const source = sourceOf(data, kind);
  if (source.rows === 0 || time > source.time[source.rows - 1] || gapAt(data, time)) return "";
  return STATES[kind][source.codes[rowAt(source, time)]];
}

// How many times as long another cause must have held to be drawn.
const PREVAILS = 1.25;

// Columns of pixels on either side that decide on one of limits: half an RTT, but no more than what is still read as a place.
function hysteresis(data, from, to, count) {
  const srtt = data.columns.srtt_us;
  if (!srtt) return 2;
  const numbers = visibleNumbers(data, srtt, { from, to });
  const half = (numbers[numbers.length >> 1] ?? 0) / 2e6;
  return Math.max(2, Math.min(4, Math.round((half * count) / (to - from))));
}

// Sums of each column and of those near it. Causes alternate with every ACK; without this, a strip of them would be a picket fence.
function near(sums, count, reach) {
  const out = new Float64Array(sums.length);
  const running = new Float64Array(16);
  const add = (at, sign) => {
    if (at < 0 || at >= count) return;
    for (let code = 0; code < 16; code++) running[code] += sign * sums[at * 16 + code];
  };
  for (let at = 0; at < reach; at++) add(at, 1);
  for (let at = 0; at < count; at++) {
    add(at + reach, 1);
    add(at - reach - 1, -1);
    // Time without a state stays without one.
    let known = 0;
    for (let code = 1; code < 16; code++) known += sums[at * 16 + code];
    // Differences of sums leave traces of what has gone.
    for (let code = 0; code < 16; code++) out[at * 16 + code] = known > 0 ? Math.max(0, running[code] < 1e-9 ? 0 : running[code]) : sums[at * 16 + code];
  }
  return out;
}

// The state of each column of pixels.
function stateColumns(data, codes, always, from, to, count, reach = 0) {
  const [first, last] = visibleRows(data, from, to);
  const sums = new Float64Array(count * 16);
  const width = (to - from) / count;
  const gapRows = new Set(data.gaps.map((gap) => gap.row));
  for (let row = Math.max(1, first); row <= last; row++) {
    if (gapRows.has(row)) continue;
    const start = Math.max(from, data.time[row - 1]);
    const end = Math.min(to, data.time[row]);
    let at = Math.max(0, Math.floor((start - from) / width));
    const until = Math.min(count - 1, Math.floor((end - from) / width));
    const code = codes[row];
    if (until < at) continue;
    if (until === at) {
      sums[at * 16 + code] += end - start;
      continue;
    }
    for (; at <= until; at++) {
      const left = Math.max(start, from + at * width);
      sums[at * 16 + code] += Math.min(end, from + (at + 1) * width) - left;
    }
  }
  const out = new Uint8Array(count);
  const wide = reach > 0 ? near(sums, count, reach) : sums;
  let held = 0;
  for (let at = 0; at < count; at++) {
    const of = wide.subarray(at * 16, at * 16 + 16);
    const own = sums.subarray(at * 16, at * 16 + 16);
    const forced = always.find((code) => own[code] > 0);
    if (forced) {
      out[at] = forced;
      continue;
    }
    for (let code = 1; code < 16; code++) if (of[code] > of[out[at]] || (out[at] === 0 && of[code] > 0)) out[at] = code;
    if (reach === 0) continue;
    // What is drawn goes on until something else clearly prevails.
    if (held > 0 && out[at] !== 0 && of[out[at]] < PREVAILS * of[held]) out[at] = held;
    held = out[at];
  }
  return out;
}

function stripCanvas(parent, label, height, title) {
  const row = document.createElement("div");
  row.className = "strip";
  const name = document.createElement("span");
  name.textContent = label;
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", title ?? label);
  row.append(name, canvas);
  parent.append(row);
  return { canvas, height };
}

// A canvas of the stack's width, with a context in CSS pixels.
function sized({ canvas, height }, view) {
  const ratio = devicePixelRatio;
  canvas.style.height = height + "px";
  canvas.width = Math.round(view.width * ratio);
  canvas.height = Math.round(height * ratio);
  const ctx = canvas.getContext("2d");
  ctx.scale(ratio, ratio);
  ctx.clearRect(0, 0, view.width, height);
  return ctx;
}

function fillGaps(ctx, view, data, height, top = 0) {
  for (const gap of data.gaps) {
    const left = Math.max(0, view.x(gap.from));
    const right = Math.min(view.width, view.x(gap.to));
    if (right <= left) continue;
    ctx.save();
    ctx.fillStyle = colour("card");
    ctx.fillRect(left, top, right - left, height);
    // The pattern is in pixels of the screen.
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    const ratio = devicePixelRatio;
    ctx.fillStyle = hatch(ctx);
    ctx.fillRect(left * ratio, top * ratio, (right - left) * ratio, height * ratio);
    ctx.restore();
  }
}

function drawStates(strip, view, data, kind) {
  const ctx = sized(strip, view);
  const count = Math.max(1, Math.round(view.width / 2));
  const source = sourceOf(data, kind);
  const reach = kind === "limit" ? hysteresis(data, view.from, view.to, count) : 0;
  const states = stateColumns(source, source.codes, ALWAYS[kind], view.from, view.to, count, reach);
  const wide = view.width / count;
  ctx.font = "11px " + getComputedStyle(document.body).fontFamily;
  ctx.textBaseline = "middle";
  const labels = [];
  for (let at = 0; at < count; ) {
    let end = at;
    while (end < count && states[end] === states[at]) end++;
    const name = STATES[kind][states[at]];
    if (name) {
      const [left, width] = [at * wide, (end - at) * wide];
      ctx.fillStyle = stateColour(kind, name);
      ctx.fillRect(left, 0, width, strip.height);
      const text = name === "avoidance" ? "Open, congestion avoidance" : name;
      if (width > ctx.measureText(text).width + 10) labels.push({ name, text, left });
    }
    at = end;
  }
  if (kind === "mode") drawGainPhases(ctx, view, data, strip.height);
  for (const { name, text, left } of labels) {
    // On top of the ticks.
    ctx.fillStyle = stateColour(kind, name);
    ctx.fillRect(left, 0, ctx.measureText(text).width + 9, strip.height);
    ctx.fillStyle = (kind === "limit" ? colour(DEEP.has(name) ? "deep-text" : "text") : colour(`${kind}-${name.replaceAll(" ", "_")}-text`) || colour("text"));
    ctx.fillText(text, left + 5, strip.height / 2 + 0.5);
  }
  fillGaps(ctx, view, data, strip.height);
}

// In PROBE_BW: a tick at the top while BBR probes, at the bottom while it drains.
function drawGainPhases(ctx, view, data, height) {
  const gain = data.columns["bbr.pacing_gain"];
  if (!gain) return;
  const [first, last] = visibleRows(data, view.from, view.to);
  ctx.fillStyle = colour("mode-tick");
  let painted = [-1, -1];
  for (let row = Math.max(1, first); row <= last; row++) {
    if (data.codes.mode[row] !== 3 || gain[row] === 1) continue;
    const side = gain[row] > 1 ? 0 : 1;
    const left = view.x(data.time[row - 1]);
    const width = Math.max(1, view.x(data.time[row]) - left);
    if (left + width < painted[side] + 0.5) continue;
    painted[side] = left + width;
    ctx.fillRect(left, side === 0 ? 0 : height - 4, width, 4);
  }
}

// How many samples there are.
function drawDensity(strip, view, data) {
  const ctx = sized(strip, view);
  const count = Math.max(1, Math.round(view.width / 3));
  const sums = new Uint32Array(count);
  const [first, last] = visibleRows(data, view.from, view.to);
  for (let row = first; row <= last; row++) {
    const at = Math.floor(((data.time[row] - view.from) / (view.to - view.from)) * count);
    if (at >= 0 && at < count) sums[at]++;
  }
  let most = 1;
  for (const sum of sums) if (sum > most) most = sum;
  ctx.fillStyle = colour("grey");
  for (let at = 0; at < count; at++) {
    if (sums[at] === 0) continue;
    const height = Math.max(1, (sums[at] / most) * strip.height);
    ctx.fillRect(at * 3, strip.height - height, 2, height);
  }
  fillGaps(ctx, view, data, strip.height);
}

// When the peer's window was closed.
function zeroWindows(data) {
  const spans = [];
  let from = null;
  for (const event of data.events) {
    if (event.type !== "zero_window" || !event.title.startsWith("peer")) continue;
    if (event.title.endsWith("closes")) from = event.time;
    else {
      spans.push([from ?? data.first, event.time]);
      from = null;
    }
  }
  if (from !== null) spans.push([from, data.last]);
  return spans;
}

function drawSpans(strip, view, data, spans) {
  const ctx = sized(strip, view);
  ctx.fillStyle = colour("pale");
  ctx.fillRect(0, 0, view.width, strip.height);
  ctx.fillStyle = colour("orange");
  for (const [from, to] of spans) {
    const left = Math.max(0, view.x(from));
    const right = Math.min(view.width, Math.max(view.x(to), view.x(from) + 2));
    if (right > left) ctx.fillRect(left, 0, right - left, strip.height);
  }
}

// The rate of the whole connection, with the range that the panels show.
function drawOverview(strip, view, data) {
  const ctx = sized(strip, view);
  const height = strip.height;
  const rate = data.delivered?.rate;
  const whole = { from: data.first, to: data.last };
  const x = (time) => ((time - whole.from) / (whole.to - whole.from || 1)) * view.width;
  if (rate) {
    const [times, values] = drawn(data, [rate], whole.from, whole.to, Math.round(view.width));
    const most = Math.max(...values.filter((value) => value !== null), 1);
    ctx.beginPath();
    let open = false;
    values.forEach((value, at) => {
      if (value === null) open = false;
      else {
        const y = height - 2 - (value / most) * (height - 6);
        if (open) ctx.lineTo(x(times[at]), y);
        else ctx.moveTo(x(times[at]), y);
        open = true;
      }
    });
    ctx.strokeStyle = colour("delivered");
    ctx.lineWidth = 1.2;
    ctx.stroke();
  }
  for (const event of data.events) {
    if (event.type !== "drop" && event.group !== "retransmissions") continue;
    ctx.fillStyle = colour(MARK_LOOKS[event.type].colour);
    ctx.fillRect(x(event.time), 0, 1.5, 4);
  }
  fillGaps(ctx, { x, width: view.width }, data, height);
  ctx.fillStyle = colour("veil");
  const [left, right] = [Math.max(0, x(view.from)), Math.min(view.width, x(view.to))];
  ctx.fillRect(0, 0, left, height);
  ctx.fillRect(right, 0, view.width - right, height);
  ctx.strokeStyle = colour("blue");
  ctx.lineWidth = 1.5;
  ctx.strokeRect(left + 0.75, 0.75, Math.max(2, right - left - 1.5), height - 1.5);
}

// Makes the strips that the connection has something for.
function makeStrips(parent, data) {
  parent.replaceChildren();
  const strips = [];
  const add = (id, label, height, draw, title) => strips.push({ id, ...stripCanvas(parent, label, height, title), draw });
  add("overview", "whole trace", 30, drawOverview, "rate of the whole connection; drag to choose a range");
  add("losses", "losses", 26, drawLosses, "drops above, retransmissions and resets below");
  if (data.limits.rows > 1) add("limit", "limited by", 16, (strip, view) => drawStates(strip, view, data, "limit"));
  if (data.codes.ca) add("ca", "CA state", 16, (strip, view) => drawStates(strip, view, data, "ca"));
  if (data.codes.mode) add("mode", "BBR mode", 16, (strip, view) => drawStates(strip, view, data, "mode"));
  const closed = zeroWindows(data);
  if (closed.length > 0) add("window", "zero window", 12, (strip, view) => drawSpans(strip, view, data, closed), "times when the peer's window was closed");
  add("samples", "samples", 12, drawDensity, "density of samples");
  return strips;
}
