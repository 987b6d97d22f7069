// Colours, from the style sheet, so that a change of the theme needs only a redraw.
const root = document.documentElement;
let colours = {};

function colour(name) {
  if (!(name in colours)) colours[name] = getComputedStyle(root).getPropertyValue("--" + name).trim();
  return colours[name];
}

function setTheme(theme) {
  root.dataset.theme = theme;
  colours = {};
}

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
setTheme(prefersDark.matches ? "dark" : "light");

// As in page.css.
const LIMIT_COLOURS = {
  handshake: "grey", idle: "pale", application: "grey", sndbuf: "yellow", rwnd: "orange", "zero window": "orange", "pacing cap": "sky",
  pacing: "sky", "local queue": "green", "slow start": "slow", cwnd: "blue", path: "delivered", recovery: "vermillion", rto: "purple", undecided: "grid",
};
// Names on these are light.
const DEEP = new Set(["cwnd", "path", "recovery", "rto", "local queue", "application", "handshake"]);

// What a state is drawn with; its class in the summary's bars has the same colour.
function stateColour(kind, name) {
  const known = { ca: ["slow start", "avoidance", "Open", "Disorder", "CWR", "Recovery", "Loss"], mode: ["STARTUP", "DRAIN", "PROBE_BW", "PROBE_RTT"] };
  if (kind === "limit") return colour(LIMIT_COLOURS[name] ?? "grey");
  return known[kind].includes(name) ? colour(kind + "-" + name.replaceAll(" ", "_")) : colour("grey");
}

// How each mark looks: a shape and a colour, so that neither is needed alone.
const MARK_LOOKS = {
  drop: { shape: "cross", colour: "text", label: "drop" },
  ack_drop: { shape: "plus", colour: "grey", label: "ACK drop" },
  drop_in: { shape: "plus", colour: "text", label: "incoming drop" },
  fast: { shape: "up", colour: "vermillion", label: "fast retransmission" },
  slow_start: { shape: "down", colour: "vermillion", label: "retransmission in Loss" },
  rto: { shape: "diamond", colour: "purple", label: "timeout" },
  tlp: { shape: "square", colour: "orange", label: "loss probe" },
  other: { shape: "square", colour: "grey", label: "other retransmission" },
  spurious: { shape: "ring", colour: "blue", label: "was not needed" },
  reset: { shape: "flag", colour: "purple", label: "reset" },
  ca_state: { shape: "dot", colour: "grey", label: "CA state" },
  zero_window: { shape: "dot", colour: "orange", label: "zero window" },
  state: { shape: "dot", colour: "grey", label: "TCP state" },
  other_event: { shape: "dot", colour: "grey", label: "other" },
};

function drawMark(ctx, look, x, y, size) {
  ctx.beginPath();
  ctx.fillStyle = ctx.strokeStyle = colour(look.colour);
  ctx.lineWidth = Math.max(1, size / 3.2);
  const s = size;
  switch (look.shape) {
    case "cross":
      ctx.moveTo(x - s * 0.8, y - s * 0.8); ctx.lineTo(x + s * 0.8, y + s * 0.8);
      ctx.moveTo(x - s * 0.8, y + s * 0.8); ctx.lineTo(x + s * 0.8, y - s * 0.8);
      return ctx.stroke();
    case "plus":
      ctx.moveTo(x - s * 0.9, y); ctx.lineTo(x + s * 0.9, y);
      ctx.moveTo(x, y - s * 0.9); ctx.lineTo(x, y + s * 0.9);
      return ctx.stroke();
    case "ring":
      ctx.arc(x, y, s * 0.8, 0, 7);
      return ctx.stroke();
    case "up":
      ctx.moveTo(x, y - s); ctx.lineTo(x + s, y + s * 0.8); ctx.lineTo(x - s, y + s * 0.8);
      break;
    case "down":
      ctx.moveTo(x, y + s); ctx.lineTo(x + s, y - s * 0.8); ctx.lineTo(x - s, y - s * 0.8);
      break;
    case "diamond":
      ctx.moveTo(x, y - s * 1.1); ctx.lineTo(x + s * 1.1, y); ctx.lineTo(x, y + s * 1.1); ctx.lineTo(x - s * 1.1, y);
      break;
    case "square":
      ctx.rect(x - s * 0.8, y - s * 0.8, s * 1.6, s * 1.6);
      break;
    case "flag":
      ctx.rect(x - s * 0.8, y - s * 1.2, s * 0.5, s * 2.4);
      ctx.moveTo(x - s * 0.3, y - s * 1.2); ctx.lineTo(x + s * 1.2, y - s * 0.5); ctx.lineTo(x - s * 0.3, y + s * 0.2);
      break;
    default:
      ctx.arc(x, y, s * 0.7, 0, 7);
  }
  ctx.closePath();
  ctx.fill();
}

// Diagonal lines for time without data, in pixels of the screen.
function hatch(ctx) {
  const ratio = devicePixelRatio;
  const tile = document.createElement("canvas");
  const size = Math.max(4, Math.round(6 * ratio));
  tile.width = tile.height = size;
  const pen = tile.getContext("2d");
  pen.strokeStyle = colour("hatch");
  pen.lineWidth = ratio;
  pen.beginPath();
  for (const shift of [-size, 0, size]) {
    pen.moveTo(shift, size);
    pen.lineTo(shift + size, 0);
  }
  pen.stroke();
  return ctx.createPattern(tile, "repeat");
}
