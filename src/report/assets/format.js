// Numbers as text, as src/report/number.rs has them: three significant digits, a narrow space in groups and before units.
const NARROW = "\u202f";

function group(number) {
  return String(Math.round(number)).replace(/\B(?=(\d{3})+$)/g, NARROW);
}

function significant(number) {
  const size = Math.abs(number);
  if (number === 0) return "0";
  if (size >= 99.95) return group(number);
  return number.toFixed(size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3);
}

function scaled(number, units) {
  for (const [scale, unit] of units) {
    if (Math.abs(number) / scale < 999.5) return significant(number / scale) + NARROW + unit;
  }
  const [scale, unit] = units[units.length - 1];
  return significant(number / scale) + NARROW + unit;
}

const isNumber = (value) => value !== null && value !== undefined && !Number.isNaN(value);
const orDash = (format) => (value) => (isNumber(value) ? format(value) : "–");

const UNITS = {
  segments: orDash((n) => group(n)),
  bytes: orDash((n) => (Math.abs(n) < 1000 ? Math.round(n) + NARROW + "B" : scaled(n, [[1e3, "kB"], [1e6, "MB"], [1e9, "GB"], [1e12, "TB"]]))),
  rate: orDash((n) => scaled(n, [[1, "bit/s"], [1e3, "kbit/s"], [1e6, "Mbit/s"], [1e9, "Gbit/s"], [1e12, "Tbit/s"]])),
  us: orDash((n) => scaled(n, [[1, "µs"], [1e3, "ms"], [1e6, "s"]])),
  number: orDash((n) => significant(n)),
};

// Seconds for the time axis, with as many decimals as the distance of ticks needs.
function tickSeconds(value, distance) {
  const decimals = Math.max(0, Math.min(6, Math.ceil(-Math.log10(distance) - 1e-9)));
  return value.toFixed(decimals) + NARROW + "s";
}

// One tick of a value axis: all in the unit of the largest.
function ticks(unit, splits) {
  const most = Math.max(...splits.map(Math.abs), 0);
  const steps = { bytes: 1e3, rate: 1e3, us: 1e3 }[unit];
  let scale = 1;
  while (steps && most / scale >= steps * 0.9995) scale *= steps;
  const names = { bytes: ["B", "kB", "MB", "GB", "TB"], rate: ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"], us: ["µs", "ms", "s", "ks"] }[unit];
  const name = names ? names[Math.round(Math.log(scale) / Math.log(1e3))] : "";
  return { name, texts: splits.map((v) => (v === 0 ? "0" : String(+(v / scale).toPrecision(4)))) };
}
