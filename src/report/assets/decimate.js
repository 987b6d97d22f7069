// The rows that are drawn: of each column of pixels the first, the last, and those with each series' smallest and largest
// number. They are real samples; nothing is averaged.
function visibleRows(data, from, to) {
  let first = rowAt(data, from);
  let last = rowAt(data, to);
  return [Math.max(0, first - 1), Math.min(data.rows - 1, last + 1)];
}

function decimated(data, lists, from, to, pixels) {
  const time = data.time;
  const [first, last] = visibleRows(data, from, to);
  const rows = [];
  if (data.rows === 0) return rows;
  if (last - first < 3 * pixels) {
    for (let row = first; row <= last; row++) rows.push(row);
    return rows;
  }
  const scale = pixels / (to - from);
  const chosen = new Set();
  let start = first;
  while (start <= last) {
    const pixel = Math.floor((time[start] - from) * scale);
    let end = start;
    while (end < last && Math.floor((time[end + 1] - from) * scale) === pixel) end++;
    chosen.clear();
    chosen.add(start);
    chosen.add(end);
    for (const values of lists) {
      let least = -1;
      let most = -1;
      for (let row = start; row <= end; row++) {
        const value = values[row];
        if (value !== value) continue;
        if (least < 0 || value < values[least]) least = row;
        if (most < 0 || value > values[most]) most = row;
      }
      if (least >= 0) chosen.add(least).add(most);
    }
    const sorted = chosen.size > 2 ? [...chosen].sort((a, b) => a - b) : chosen;
    for (const row of sorted) rows.push(row);
    start = end + 1;
  }
  return rows;
}

// For uPlot: ordinary arrays with null, and a row of nulls where data is missing.
function drawn(data, lists, from, to, pixels) {
  const rows = decimated(data, lists, from, to, pixels);
  const gaps = new Map(data.gaps.map((gap) => [gap.row, gap]));
  const gapRows = data.gaps.map((gap) => gap.row);
  const out = [[], ...lists.map(() => [])];
  let next = 0;
  while (next < gapRows.length && gapRows[next] <= rows[0]) next++;
  for (const row of rows) {
    if (next < gapRows.length && row >= gapRows[next]) {
      const gap = gaps.get(gapRows[next]);
      out[0].push(gap.from + 1e-6);
      for (let at = 1; at < out.length; at++) out[at].push(null);
      // The state behind the gap is known only from its packet on.
      out[0].push(gap.to - 1e-6);
      for (let at = 1; at < out.length; at++) out[at].push(null);
      next++;
      while (next < gapRows.length && row >= gapRows[next]) next++;
    }
    out[0].push(data.time[row]);
    for (let at = 0; at < lists.length; at++) {
      const value = lists[at][row];
      out[at + 1].push(value !== value ? null : value);
    }
  }
  return out;
}
