// The table of events. Only the rows in view exist, as there may be very many.
const ROW = 24;

function makeEvents(view, onOpen) {
  const { data } = view;
  const box = document.getElementById("rows");
  const body = box.querySelector("tbody");
  const chips = document.getElementById("chips");
  const section = document.getElementById("events");
  section.hidden = false;
  let listed = [];
  const title = document.createElement("h3");
  title.textContent = "Events";
  chips.replaceChildren(title);
  const groups = new Map();
  for (const event of data.events) groups.set(event.group, (groups.get(event.group) ?? 0) + 1);
  for (const [, name] of MARKS) {
    if (!groups.has(name)) continue;
    const count = groups.get(name);
    groups.delete(name);
    const chip = document.createElement("button");
    chip.className = "chip";
    chip.append(name + " ");
    const number = document.createElement("b");
    number.textContent = group(count);
    chip.append(number);
    chip.setAttribute("aria-pressed", String(!view.offGroups.has(name)));
    chip.addEventListener("click", () => {
      if (!view.offGroups.delete(name)) view.offGroups.add(name);
      chip.setAttribute("aria-pressed", String(!view.offGroups.has(name)));
      list();
      view.redraw();
    });
    chips.append(chip);
  }
  const absent = parsed("meta").absent;
  const note = document.createElement("span");
  note.className = "note";
  note.textContent = absent.length > 0 ? `not recorded: ${absent.join(", ")}` : data.events.length === 0 ? "none" : "";
  chips.append(note);

  function list() {
    listed = data.events.filter((event) => view.isOn(event));
    box.hidden = listed.length === 0;
    show();
  }

  function cell(text, className) {
    const cell = document.createElement("td");
    if (className) cell.className = className;
    cell.textContent = text;
    return cell;
  }

  function line(event) {
    const row = document.createElement("tr");
    row.tabIndex = 0;
    row.dataset.event = event.index;
    if (event.index === view.chosen) row.className = "chosen";
    const what = document.createElement("td");
    const canvas = document.createElement("canvas");
    const ratio = devicePixelRatio;
    canvas.width = canvas.height = 12 * ratio;
    const ctx = canvas.getContext("2d");
    ctx.scale(ratio, ratio);
    drawMark(ctx, MARK_LOOKS[event.type], 6, 6, 4);
    what.append(canvas, " ", event.title);
    row.append(cell(event.time.toFixed(6), "n"), what, cell(event.detail));
    return row;
  }

  function filler(rows) {
    const row = document.createElement("tr");
    row.className = "filler";
    row.style.height = rows * ROW + "px";
    return row;
  }

  function show(count) {
    const from = count ? 0 : Math.max(0, Math.floor(box.scrollTop / ROW) - 10);
    const to = Math.min(listed.length, count ?? from + 40);
    body.replaceChildren(filler(from), ...listed.slice(from, to).map(line), filler(count ? 0 : listed.length - to));
  }

  function choose(scroll) {
    const at = listed.findIndex((event) => event.index === view.chosen);
    if (scroll && at >= 0) box.scrollTop = Math.max(0, at * ROW - 120);
    show();
  }

  const open = (event) => {
    const row = event.target.closest("tr[data-event]");
    if (row) onOpen(data.events[Number(row.dataset.event)]);
  };
  box.onscroll = () => show();
  body.onclick = open;
  body.onkeydown = (event) => { if (event.key === "Enter") open(event); };
  list();
  return { choose, show, listed: () => listed };
}
