// The table of connections: sorted by a click, filtered by a text, with sparklines. It shows some rows at first.
const FIRST_ROWS = 200;

function sparkline(cell) {
  const of = "rate" in cell.dataset ? "rate" : "rtt";
  const levels = cell.dataset[of];
  if (!levels || cell.firstChild) return;
  const [width, height] = [72, 20];
  const name = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(name, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("class", "line " + of);
  svg.setAttribute("aria-hidden", "true");
  const x = (at) => ((at + 0.5) / levels.length) * width;
  const y = (code) => height - 2 - ((code - 63) / 61) * (height - 4);
  let path = "";
  let pen = "M";
  for (let at = 0; at < levels.length; at++) {
    if (levels[at] === " ") pen = "M";
    else {
      path += `${pen}${x(at).toFixed(1)} ${y(levels.charCodeAt(at)).toFixed(1)}`;
      pen = "L";
    }
  }
  const line = document.createElementNS(name, "path");
  line.setAttribute("d", path);
  svg.append(line);
  cell.append(svg);
}

// Rows beyond the first ones are packed.
async function packedRows() {
  const rest = document.getElementById("rest");
  if (!rest) return [];
  const template = document.createElement("template");
  template.innerHTML = `<table><tbody>${new TextDecoder().decode(await plainBytes(rest.textContent))}</tbody></table>`;
  return [...template.content.querySelectorAll("tr")];
}

async function makeOverview(onSelect) {
  const table = document.getElementById("connections");
  if (!table) return null;
  const body = table.tBodies[0];
  const rows = [...body.rows, ...(await packedRows())];
  rows.sort((a, b) => a.dataset.c - b.dataset.c);
  const byId = new Map(rows.map((row) => [Number(row.dataset.c), row]));
  let listed = rows;
  let shown = FIRST_ROWS;
  let sort = null;
  let marked = null;
  const texts = new Map();
  const text = (row) => {
    if (!texts.has(row)) texts.set(row, [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase());
    return texts.get(row);
  };
  const tools = document.createElement("div");
  tools.className = "tools";
  const filter = document.createElement("input");
  filter.type = "search";
  filter.placeholder = "filter: address, process, algorithm, badge";
  filter.setAttribute("aria-label", "Filter the connections");
  const count = document.createElement("span");
  count.className = "note";
  const more = document.createElement("button");
  more.textContent = "show more";
  tools.append(filter, count, more);
  table.parentNode.insertBefore(tools, table);

  function show() {
    const visible = listed.slice(0, shown);
    body.replaceChildren(...visible);
    visible.forEach((row) => row.querySelectorAll(".spark").forEach(sparkline));
    count.textContent = listed.length > visible.length ? `${group(visible.length)} of ${group(listed.length)} shown` : listed.length < rows.length ? `${group(listed.length)} of ${group(rows.length)}` : "";
    more.hidden = listed.length <= visible.length;
    tools.hidden = rows.length < 6;
  }

  function arrange() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    listed = rows.filter((row) => words.every((word) => text(row).includes(word)));
    if (sort) {
      const { at, down, isNumber } = sort;
      const key = (row) => (isNumber ? Number(row.cells[at].dataset.v ?? NaN) : row.cells[at].textContent);
      const keys = new Map(listed.map((row) => [row, key(row)]));
      listed.sort((a, b) => {
        const [one, two] = [keys.get(a), keys.get(b)];
        // Unknown numbers come last either way.
        if (isNumber && (one !== one || two !== two)) return one !== one ? (two !== two ? 0 : 1) : -1;
        const order = isNumber ? one - two : one.localeCompare(two, "en", { numeric: true });
        return down ? -order : order;
      });
    }
    show();
  }

  [...table.tHead.rows[0].cells].forEach((head, at) => {
    if ("plain" in head.dataset) return;
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const isNumber = "number" in head.dataset;
      sort = { at, isNumber, down: sort?.at === at ? !sort.down : isNumber };
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sort.down ? "descending" : "ascending");
      arrange();
    });
  });
  filter.addEventListener("input", () => { shown = FIRST_ROWS; arrange(); });
  more.addEventListener("click", () => { shown += FIRST_ROWS; show(); });
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (!row || getSelection().toString()) return;
    event.preventDefault();
    onSelect(Number(row.dataset.c));
  });
  show();
  const id = (row) => Number(row.dataset.c);
  return {
    ids: () => listed.map(id),
    first: () => {
      // What moved most is of most interest.
      const at = [...table.tHead.rows[0].cells].findIndex((cell) => cell.className === "bytes");
      const bytes = (row) => Number(row.cells[at].dataset.v ?? -1);
      return rows.length > 0 ? id(rows.reduce((a, b) => (bytes(b) > bytes(a) ? b : a))) : null;
    },
    has: (number) => byId.has(number),
    mark: (number) => {
      marked?.classList.remove("selected");
      marked = byId.get(number);
      marked.classList.add("selected");
    },
  };
}
