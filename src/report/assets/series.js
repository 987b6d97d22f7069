// What the panels draw: columns of the recording, and what follows from them.
const column = (data, name) => data.columns[name];
const times8 = (values) => values && values.map((value) => value * 8);

// Bytes that were delivered, as a running sum: segments times MSS. bytes_acked stands still in recovery and then jumps.
function deliveredBytes(data) {
  const { delivered, mss, bytes_received: received, bytes_acked: acked } = data.columns;
  const isReceiver = received && (!acked || received[data.rows - 1] > acked[data.rows - 1]);
  if (isReceiver) return { sum: received, name: "received" };
  if (!delivered || !mss) return acked && { sum: acked, name: "acknowledged" };
  const sum = new Float64Array(data.rows);
  for (let row = 1; row < data.rows; row++) {
    const grown = delivered[row] - delivered[row - 1];
    sum[row] = sum[row - 1] + (grown > 0 ? grown * mss[row] : 0);
  }
  return { sum, name: "delivered" };
}

// Its mean over the last 100 ms, or two RTTs if they are longer. Nothing is averaged across a gap.
function meanRate(data, sum) {
  const { time, rows } = data;
  const srtt = data.columns.srtt_us;
  const rates = new Float64Array(rows).fill(NaN);
  const gaps = new Set(data.gaps.map((gap) => gap.row));
  let from = 0;
  let border = 0;
  for (let row = 1; row < rows; row++) {
    if (gaps.has(row)) border = from = row;
    const span = Math.max(0.1, srtt && srtt[row] > 0 ? (2 * srtt[row]) / 1e6 : 0);
    while (from < row - 1 && time[row] - time[from + 1] >= span) from++;
    // At the start the window is what there is; a very short one says nothing.
    const width = Math.max(time[row] - time[from], from === border ? Math.min(span, 0.02) : 0);
    if (row > from && width > 0) rates[row] = ((sum[row] - sum[from]) * 8) / width;
  }
  return rates;
}

function map(data, make) {
  const out = new Float64Array(data.rows);
  for (let row = 0; row < data.rows; row++) out[row] = make(row);
  return out;
}

// Variables of the algorithms, which may be added to a panel of their unit.
const EXTRA = [
  ["cubic.bic_origin_point", "cwnd", "origin point"], ["cubic.tcp_cwnd", "cwnd", "Reno estimate"],
  ["bbr.prior_cwnd", "cwnd", "prior_cwnd"], ["dctcp.loss_cwnd", "cwnd", "loss_cwnd"],
  ["cubic.delay_min_us", "rtt", "delay_min"], ["bbr.min_rtt_us", "rtt", "bbr.min_rtt"],
  ["bbr.pacing_gain", "gain", "pacing_gain"], ["bbr.cwnd_gain", "gain", "cwnd_gain"], ["dctcp.alpha", "gain", "dctcp.alpha"],
];

// Each series: name, values, colour, how it is drawn, and whether it is on at first. `soft`: it does not widen the range.
function cwndSeries(data) {
  const c = data.columns;
  const mss = c.mss;
  const window = c.snd_wnd && mss && map(data, (row) => (mss[row] > 0 ? c.snd_wnd[row] / mss[row] : NaN));
  const bdp = c["bbr.bw"] && c["bbr.min_rtt_us"] && mss && map(data, (row) => (c["bbr.bw"][row] * c["bbr.min_rtt_us"][row]) / 1e6 / mss[row]);
  return [
    { name: "in flight", values: c.packets_in_flight, colour: "sky", area: true },
    { name: "peer window", values: window, colour: "green", dash: [1.5, 3], soft: true },
    { name: "W_max", values: c["cubic.last_max_cwnd"], colour: "purple", dash: [2, 3], soft: true },
    { name: "BDP (bw × min_rtt)", values: bdp, colour: "purple", dash: [6, 3], soft: true },
    { name: "ssthresh", values: c.ssthresh, colour: "vermillion", dash: [5, 3], none: "∞", soft: true },
    { name: "cwnd", values: c.snd_cwnd, colour: "blue", width: 1.8, none: "–" },
  ];
}

function rttSeries(data) {
  const { srtt_us: srtt, mdev_us: mdev, min_rtt_us: least } = data.columns;
  return [
    { name: "srtt + mdev", values: srtt && mdev && map(data, (row) => srtt[row] + mdev[row]), colour: "band", hidden: true, bandTo: "srtt − mdev" },
    { name: "srtt − mdev", values: srtt && mdev && map(data, (row) => Math.max(0, srtt[row] - mdev[row])), colour: "band", hidden: true },
    { name: "min_rtt", values: least, colour: "green", dash: [5, 3] },
    { name: "srtt", values: srtt, colour: "blue", width: 1.5 },
    { name: "± mdev", values: mdev, readOnly: true, colour: "band" },
    { name: "queueing", values: srtt && least && map(data, (row) => Math.max(0, srtt[row] - least[row])), readOnly: true },
  ];
}

function rateSeries(data) {
  const c = data.columns;
  const sum = deliveredBytes(data);
  data.delivered = sum && { name: sum.name, rate: meanRate(data, sum.sum) };
  return [
    { name: "pacing_rate", values: times8(c.pacing_rate), colour: "orange", soft: true },
    { name: "delivery_rate", values: times8(c.delivery_rate), colour: "sky", rangeQuantile: 0.995 },
    { name: "BBR bw", values: times8(c["bbr.bw"]), colour: "purple", dash: [6, 3] },
    { name: data.delivered ? `${data.delivered.name}, mean of 100 ms` : "delivered", values: data.delivered?.rate, colour: "delivered", width: 2 },
    { name: "app-limited", flag: c.app_limited, colour: "pale", swatch: true },
  ];
}

function sequenceSeries(data, absolute) {
  const { snd_una: una, bytes_in_flight: flight, snd_wnd: window, notsent_bytes: unsent } = data.columns;
  const base = (row) => (absolute && una ? una[row] : 0);
  return [
    { name: "sent", values: flight && map(data, (row) => base(row) + flight[row]), colour: "sky", area: !absolute, line: "blue" },
    { name: "window edge", values: window && map(data, (row) => base(row) + window[row]), colour: "green", dash: [1.5, 3], soft: true },
    { name: "written", values: unsent && flight && map(data, (row) => base(row) + flight[row] + unsent[row]), colour: "grey", off: true, soft: true },
    { name: "acknowledged", values: map(data, base), colour: "text", width: 1.2, readAs: absolute ? null : una },
  ];
}

function queueSeries(data) {
  const { notsent_bytes: unsent, wmem_alloc: below, bytes_in_flight: flight } = data.columns;
  return [
    { name: "unacknowledged", values: flight, colour: "sky", area: true },
    { name: "unsent", values: unsent, colour: "blue", width: 1.5 },
    // One byte is the socket's own.
    { name: "backlog of the qdisc", values: data.columns["queue.backlog_bytes"], colour: "vermillion", dash: [5, 3], soft: true },
    { name: "in qdisc and driver (memory)", values: below && map(data, (row) => Math.max(0, below[row] - 1)), colour: "orange" },
  ];
}

function extraSeries(data, panel) {
  const found = EXTRA.filter(([name, of]) => of === panel && data.columns[name]);
  const shades = ["purple", "orange", "green"];
  return found.map(([name, , label], at) => ({ name: label, values: data.columns[name], colour: shades[at % 3], dash: [3, 2], off: panel !== "gain", soft: panel !== "gain" }));
}

// How long packets waited on this host: the longest since the sample before.
function queueingSeries(data) {
  return [
    { name: "to the driver", values: data.columns["queue.queue_us"], colour: "orange", area: true },
    { name: "in the qdisc", values: data.columns["queue.qdisc_us"], colour: "vermillion", width: 1.5 },
  ];
}

// The parts of the delay from the application that writes to the one that reads, each on top of those before it. Time without data has none.
const DELAYS = [["unsent_us", "unsent", "blue"], ["qdisc_us", "qdisc and driver", "orange"], ["path_us", "path", "sky"], ["read_us", "receiver's queue", "green"]];

function delaySeries(data) {
  const found = DELAYS.map(([name, label, shade]) => ({ values: data.columns["delay." + name], label, shade })).filter((part) => part.values);
  const sum = new Float64Array(data.rows);
  const stacked = found.map(({ values, label, shade }) => {
    const top = map(data, (row) => {
      sum[row] += isNumber(values[row]) ? values[row] : 0;
      return isNumber(values[row]) || sum[row] > 0 ? sum[row] : NaN;
    });
    return { name: label, values: top, readAs: values, colour: shade, area: true, line: shade, fill: shade };
  });
  // The largest is drawn first. The ACK goes its own way while the data waits to be read.
  return [...stacked.reverse(), { name: "ACK's way back", values: data.columns["delay.return_us"], colour: "text", dash: [5, 3] }];
}

// Panels that are of no use without their events.
const OPTIONAL = new Set(["gain", "queueing", "delay"]);

const PANELS = [
  { id: "cwnd", title: "Congestion window", unit: "segments", height: 190, series: cwndSeries },
  { id: "rtt", title: "Round-trip time", unit: "us", height: 150, series: rttSeries },
  { id: "rates", title: "Rates", unit: "rate", height: 170, series: rateSeries },
  { id: "sequence", title: "Sequence", unit: "bytes", height: 220, series: sequenceSeries },
  { id: "queues", title: "Queues", unit: "bytes", height: 120, series: queueSeries },
  { id: "queueing", title: "Time in qdisc and driver", unit: "us", height: 100, series: queueingSeries },
  { id: "delay", title: "Delay from end to end", unit: "us", height: 170, series: delaySeries },
  { id: "gain", title: "Gains of the algorithm", unit: "number", height: 100, series: () => [] },
];
