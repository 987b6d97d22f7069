// The overlays of a comparison: a line for each flow, runs in the colours of their labels.
const META = parsed("meta");
const RUN_COLOURS = ["blue", "bad", "delivered", "purple", "grey", "orange"];
const box = document.getElementById("lines");
let flows = [];
let whole = [0, 1];
let range = [0, 1];
let charts = [];

// What each chart draws of a flow.
const CHARTS = [
  { title: "Delivered", unit: "rate", height: 150, values: (data) => {
    const sum = deliveredBytes(data);
    return sum && meanRate(data, sum.sum);
  }, smooth: true },
  { title: "Round-trip time (srtt)", unit: "us", height: 150, values: (data) => data.columns.srtt_us },
  { title: "In flight", unit: "segments", height: 150, values: (data) => data.columns.packets_in_flight },
  { title: "Sent again, cumulative", unit: "segments", height: 110, values: (data) => {
    const total = data.columns.total_retrans;
    return total && map(data, (row) => total[row] - total[0]);
  } },
];
const backwards = uPlot.paths.stepped({ align: -1 });

function rowsOf(flow, at, pixels) {
  const rows = drawn(flow.data, [flow.values[at]], range[0] - flow.since, range[1] - flow.since, pixels);
  return [rows[0].map((time) => time + flow.since), rows[1]];
}

// The state at a time is that of the next sample.
function valueAt(flow, at, time) {
  const own = time - flow.since;
  if (time === null) return flow.data.rows > 0 ? flow.values[at][flow.data.rows - 1] : null;
  if (own < 0 || own > flow.data.end || gapAt(flow.data, own)) return null;
  return flow.values[at][rowAt(flow.data, own)];
}

function legend(chart) {
  const line = document.createElement("div");
  line.className = "legend";
  const title = document.createElement("h3");
  title.textContent = chart.spec.title;
  line.append(title);
  chart.shown = flows.map((flow) => {
    const entry = document.createElement("span");
    entry.className = "entry";
    const swatch = document.createElement("i");
    swatch.className = "swatch line";
    swatch.style.setProperty("--c", `var(--${flow.colour})`);
    const value = document.createElement("b");
    entry.append(swatch, flow.name + " ", value);
    line.append(entry);
    return value;
  });
  return line;
}

function make(spec, at, isLast) {
  const chart = { spec, at };
  const place = document.createElement("div");
  place.className = "canvas";
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", spec.title + " of all runs over time");
  box.append(legend(chart), place);
  const axis = { stroke: () => colour("muted"), font: "11px " + getComputedStyle(document.body).fontFamily, grid: { stroke: () => colour("grid"), width: 1 }, ticks: { show: false } };
  const lines = flows.map((flow) => ({
    stroke: () => colour(flow.colour), width: 1.3, spanGaps: false, points: { show: false },
    paths: spec.smooth ? undefined : backwards,
  }));
  chart.u = new uPlot({
    width: box.clientWidth, height: spec.height + (isLast ? 22 : 0), padding: [6, 14, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false }, sync: { key: "runs" } },
    scales: { x: { time: false, range: () => range }, y: { range: () => [0, chart.most * 1.06] } },
    axes: [
      { ...axis, size: isLast ? 26 : 4, space: 70, values: (u, list, a, b, distance) => list.map((time) => (isLast ? tickSeconds(time, distance) : "")) },
      { ...axis, size: 92, space: 30, values: (u, list) => {
        const { name, texts } = ticks(spec.unit, list);
        return texts.map((text) => (name && text !== "0" ? text + NARROW + name : text));
      } },
    ],
    series: [{}, ...lines],
    hooks: {
      setCursor: [(u) => { if (u.cursor.left >= 0) show(u.posToVal(u.cursor.left, "x")); }],
      setSelect: [(u) => {
        const { left, width } = u.select;
        if (width > 3) setRange(u.posToVal(left, "x"), u.posToVal(left + width, "x"));
        u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
      }],
      drawClear: [(u) => {
        if (spec.unit !== "rate" || !META.link) return;
        const y = u.valToPos(META.link, "y", true);
        u.ctx.save();
        u.ctx.strokeStyle = colour("muted");
        u.ctx.setLineDash([4, 4]);
        u.ctx.beginPath();
        u.ctx.moveTo(u.bbox.left, y);
        u.ctx.lineTo(u.bbox.left + u.bbox.width, y);
        u.ctx.stroke();
        u.ctx.restore();
      }],
    },
  }, [[]].concat(flows.map(() => [])), place);
  return chart;
}

function show(time) {
  for (const chart of charts) {
    flows.forEach((flow, at) => { chart.shown[at].textContent = UNITS[chart.spec.unit](valueAt(flow, chart.at, time)); });
  }
}

function draw() {
  for (const chart of charts) {
    const tables = flows.map((flow) => rowsOf(flow, chart.at, box.clientWidth));
    chart.most = Math.max(1, ...tables.map(([, values]) => values.reduce((most, value) => (value > most ? value : most), 0)));
    if (chart.spec.unit === "rate" && META.link && META.link < 2 * chart.most) chart.most = Math.max(chart.most, META.link);
    chart.u.setData(uPlot.join(tables), true);
  }
  // Without a pointer, the last value of each.
  show(null);
}

function setRange(from, to) {
  range = [Math.max(whole[0], from), Math.min(whole[1], to)];
  if (!(range[1] - range[0] > 1e-5)) range = whole;
  const isWhole = range[0] <= whole[0] && range[1] >= whole[1];
  history.replaceState(null, "", isWhole ? "#" : `#a=${+range[0].toFixed(6)}&b=${+range[1].toFixed(6)}`);
  draw();
}

function build() {
  charts.forEach((chart) => chart.u.destroy());
  box.replaceChildren();
  const wanted = CHARTS.map((spec, at) => [spec, at]).filter(([, at]) => flows.some((flow) => !flow.isEmpty[at]));
  charts = wanted.map(([spec, at], place) => make(spec, at, place === wanted.length - 1));
  draw();
}

async function startComparison() {
  for (const run of META.runs) {
    for (const [at, { id, since }] of run.flows.entries()) {
      const data = await load(id);
      const found = CHARTS.map((spec) => spec.values(data));
      const values = found.map((list) => list ?? new Float64Array(data.rows).fill(NaN));
      const name = run.flows.length > 1 ? `${run.label} ${at + 1}` : run.label;
      flows.push({ data, since, values, isEmpty: found.map((list) => !list), name, colour: RUN_COLOURS[run.group] });
    }
  }
  whole = [Math.min(0, ...flows.map((flow) => flow.since)), Math.max(...flows.map((flow) => flow.since + flow.data.end), 1e-3)];
  const parts = new URLSearchParams(location.hash.slice(1));
  range = parts.has("a") && Number(parts.get("b")) > Number(parts.get("a")) ? [Number(parts.get("a")), Number(parts.get("b"))] : whole;
  document.getElementById("overlays").hidden = false;
  document.getElementById("origin").textContent = META.align;
  document.getElementById("left-out").textContent = META.left_out > 0 ? `${META.left_out} more runs are not drawn` : "";
  document.getElementById("all").addEventListener("click", () => setRange(...whole));
  build();
  root.dataset.shown = "runs";
}

function toolbar() {
  const place = document.querySelector("header .buttons");
  const add = (text, run) => {
    const button = document.createElement("button");
    button.textContent = text;
    button.addEventListener("click", run);
    place.append(button);
  };
  add("Light / dark", () => { setTheme(root.dataset.theme === "dark" ? "light" : "dark"); build(); });
  add("Print", () => print());
}

root.classList.add("scripted");
toolbar();
box.addEventListener("dblclick", () => setRange(...whole));
addEventListener("keydown", (event) => { if (event.key === "0") setRange(...whole); });
let screenWidth = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === screenWidth) return;
  screenWidth = innerWidth;
  build();
});
startComparison();
