// Unpacks the data of a connection. src/report/pack.rs is the other side.
const parsed = (id) => JSON.parse(document.getElementById(id).textContent);

async function plainBytes(base64) {
  const text = atob(base64.trim());
  const packed = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) packed[at] = text.charCodeAt(at);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Columns as numbers, with NaN for null.
function unpack(bytes) {
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const rows = head.rows;
  let at = 4 + length;
  const columns = {};
  const words = {};
  for (const { name, planes, words: list, millionths } of head.columns) {
    const values = new Float64Array(rows);
    for (let half = 0; half < 2; half++) {
      const found = [];
      for (let byte = 0; byte < 4; byte++) {
        if ((planes >> (4 * half + byte)) & 1) {
          found.push([bytes.subarray(at, at + rows), 8 * byte]);
          at += rows;
        }
      }
      if (found.length === 0) continue;
      let sum = 0;
      for (let row = 0; row < rows; row++) {
        let code = 0;
        for (const [plane, shift] of found) code |= plane[row] << shift;
        sum = (sum + ((code >>> 1) ^ -(code & 1))) | 0;
        values[row] += half ? (sum >>> 0) * 4294967296 : sum >>> 0;
      }
    }
    for (let row = 0; row < rows; row++) {
      const stored = values[row];
      values[row] = stored === 0 ? NaN : millionths ? (stored - 1) / 1e6 : stored - 1;
    }
    columns[name] = values;
    if (list) words[name] = list;
  }
  return { head, rows, columns, words };
}

const MARKS = parsed("meta").marks;

// A connection as the panels need it. `id` is that of its script element.
async function load(id) {
  const data = unpack(await plainBytes(document.getElementById(id).textContent));
  const { columns, rows, head } = data;
  const time = columns.time_us;
  for (let row = 0; row < rows; row++) time[row] /= 1e6;
  data.time = time;
  data.end = rows > 0 ? time[rows - 1] : 0;
  data.gaps = head.gaps.map(([row, packets, damaged]) => ({ row, packets, damaged, from: time[row - 1], to: time[row] }));
  data.events = head.events.map(([us, mark, title, detail, offset, length, partner, segs], index) => ({
    index, time: us / 1e6, type: MARKS[mark][0], group: MARKS[mark][1], title, detail, offset, length, partner, segs,
  }));
  // The peer's events before the first sample, and those after the last, are in view, too.
  const times = data.events.map((event) => event.time);
  data.first = times.reduce((a, b) => Math.min(a, b), 0);
  data.last = times.reduce((a, b) => Math.max(a, b), data.end);
  return data;
}

// The row whose state held at a time: a sample is the state before its packet, so it is the next one.
function rowAt(data, time) {
  let low = 0;
  let high = data.rows;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (data.time[middle] < time) low = middle + 1;
    else high = middle;
  }
  return low < data.rows ? low : data.rows - 1;
}

// The gap that a time lies in.
const gapAt = (data, time) => data.gaps.find((gap) => time > gap.from && time < gap.to);
