// Events as marks: in the strip of losses and in the sequence panel.
const LOSS_TYPES = new Set(["drop", "ack_drop", "drop_in", "fast", "slow_start", "rto", "tlp", "other", "spurious", "reset"]);
const isUpper = (event) => event.group.includes("drops");

function inView(view, event) {
  return event.time >= view.from && event.time <= view.to;
}

// Marks that would cover each other become one with a count.
function lossGroups(ctx, view, events) {
  const groups = [];
  for (const event of events) {
    const x = view.x(event.time);
    const last = groups[groups.length - 1];
    if (last && x - last.right < (last.events.length >= 3 ? last.reach + 6 : 11)) {
      last.events.push(event);
      last.right = x;
    } else groups.push({ events: [event], left: x, right: x });
    const now = groups[groups.length - 1];
    const width = ctx.measureText(String(now.events.length)).width + 22;
    // How far its pill reaches beyond its last mark.
    now.reach = Math.max(6, (width - (now.right - now.left)) / 2);
  }
  return groups;
}

function drawLosses(strip, view, data) {
  const ctx = sized(strip, view);
  ctx.font = "600 11px " + getComputedStyle(document.body).fontFamily;
  ctx.textBaseline = "middle";
  for (const upper of [true, false]) {
    const y = upper ? 6.5 : strip.height - 6.5;
    const events = data.events.filter((event) => LOSS_TYPES.has(event.type) && isUpper(event) === upper && inView(view, event) && view.isOn(event));
    for (const { events: found, left, right, reach } of lossGroups(ctx, view, events)) {
      if (found.length < 4) {
        for (const event of found) drawMark(ctx, MARK_LOOKS[event.type], view.x(event.time), y, view.chosen === event.index ? 6 : 4);
        continue;
      }
      const width = right - left + 2 * reach;
      const start = Math.max(0, Math.min(view.width - width, left - reach));
      ctx.fillStyle = colour(upper ? "pill-drop" : "pill-sent");
      ctx.beginPath();
      ctx.roundRect(start, y - 6, width, 12, 6);
      ctx.fill();
      drawMark(ctx, MARK_LOOKS[found[0].type], start + 8, y, 3.6);
      ctx.fillStyle = colour("text");
      ctx.fillText(String(found.length), start + 15, y + 0.5);
    }
  }
}

// Where a packet stands in the sequence panel.
function sequenceOf(data, event, absolute) {
  const una = data.columns.snd_una;
  if (event.offset === null || !una || data.rows === 0) return null;
  return absolute ? event.offset : event.offset - una[rowAt(data, event.time)];
}

// Marks and the lines from drops to their retransmissions. Returns where they are, for the pointer.
function drawSequenceMarks(u, view, data, absolute) {
  const ratio = devicePixelRatio;
  const ctx = u.ctx;
  const places = [];
  const events = data.events.filter((event) => LOSS_TYPES.has(event.type) && inView(view, event) && view.isOn(event));
  const size = events.length > 60 ? 3.4 : 4.6;
  ctx.save();
  ctx.beginPath();
  ctx.rect(u.bbox.left, u.bbox.top - 4 * ratio, u.bbox.width, u.bbox.height + 8 * ratio);
  ctx.clip();
  ctx.scale(ratio, ratio);
  const place = (event) => {
    const offset = sequenceOf(data, event, absolute);
    const y = offset === null ? u.bbox.top / ratio + 8 : u.valToPos(offset, "y", true) / ratio;
    return [u.valToPos(event.time, "x", true) / ratio, y];
  };
  ctx.strokeStyle = colour("join");
  ctx.lineWidth = 0.8;
  ctx.beginPath();
  for (const event of data.events) {
    if (event.type !== "drop" || event.partner === null || !view.isOn(event)) continue;
    const again = data.events[event.partner];
    if (!again || again.time < view.from || event.time > view.to) continue;
    ctx.moveTo(...place(event));
    ctx.lineTo(...place(again));
  }
  ctx.stroke();
  for (const event of events) {
    const [x, y] = place(event);
    drawMark(ctx, MARK_LOOKS[event.type], x, y, view.chosen === event.index ? 7 : size);
    places.push({ event, x, y });
  }
  ctx.restore();
  return places;
}

// The events near the pointer: those in the strip by time, those of the sequence panel by place.
function eventsNear(view, data, target, x, y) {
  const near = 12;
  if (target === "losses") {
    const upper = y < 13;
    const found = data.events.filter((event) => LOSS_TYPES.has(event.type) && isUpper(event) === upper && view.isOn(event) && Math.abs(view.x(event.time) - x) < near);
    return found.sort((a, b) => Math.abs(view.x(a.time) - x) - Math.abs(view.x(b.time) - x));
  }
  const distance = (place) => Math.hypot(place.x - view.gutter - x, place.y - y);
  const found = (view.places ?? []).filter((place) => target === "sequence" && distance(place) < near);
  return found.sort((a, b) => distance(a) - distance(b)).map((place) => place.event);
}

function showTip(tip, view, events, x, y) {
  tip.hidden = events.length === 0;
  if (tip.hidden) return;
  const lines = events.slice(0, 6).map((event) => {
    const line = document.createElement("div");
    const strong = document.createElement("b");
    strong.textContent = event.title;
    line.append(strong, ` ${event.time.toFixed(6)}${NARROW}s`);
    if (event.detail) {
      const detail = document.createElement("span");
      detail.textContent = event.detail;
      line.append(document.createElement("br"), detail);
    }
    return line;
  });
  if (events.length > 6) {
    const more = document.createElement("div");
    more.textContent = `and ${events.length - 6} more`;
    lines.push(more);
  }
  tip.replaceChildren(...lines);
  const width = tip.offsetWidth;
  const room = view.gutter + view.width;
  tip.style.left = Math.max(4, x + 16 + width > room ? x - width - 12 : x + 16) + "px";
  tip.style.top = y + 14 + "px";
}
