// The algorithms' own variables, which can be added to any panel. One of the panel's unit is drawn on its scale; another one is drawn
// on a scale of its own, from 0 to nine tenths of the panel, and its legend has its value.
const ALGORITHMS = /^(cubic|bbr|dctcp)\./;
const VARIABLE_UNITS = [[/_us$/, "us"], [/\.bw$/, "rate"], [/cwnd|origin_point/, "segments"]];

const variablesOf = (data) => Object.keys(data.columns).filter((name) => ALGORITHMS.test(name) && !data.words[name]);

function variableUnit(name) {
  return VARIABLE_UNITS.find(([pattern]) => pattern.test(name))?.[1] ?? "number";
}

// The series of a variable in a panel of that unit.
function variableSeries(data, name, unit, at) {
  const own = variableUnit(name);
  const values = own === "rate" ? times8(data.columns[name]) : data.columns[name];
  const shade = ["purple", "vermillion", "green", "orange"][at % 4];
  return { name, values, colour: shade, dash: [6, 2, 1, 2], soft: true, ownScale: own !== unit, unit: own, variable: name };
}

// The numbers as they are drawn: scaled to the panel's range.
function rescaled(line, top) {
  let most = 0;
  for (const value of line.values) if (value > most) most = value;
  const factor = most > 0 ? (0.9 * top) / most : 1;
  return line.values.map((value) => value * factor);
}

// Chooses variables for a panel.
function variableMenu(data, chosen, change) {
  const menu = document.createElement("select");
  menu.className = "variables";
  menu.setAttribute("aria-label", "add a variable of the algorithm");
  const option = (value, text) => {
    const element = document.createElement("option");
    element.value = value;
    element.textContent = text;
    menu.append(element);
  };
  option("", "+ variable");
  for (const name of variablesOf(data)) option(name, (chosen.has(name) ? "− " : "") + name);
  menu.addEventListener("change", () => menu.value && change(menu.value));
  return menu;
}
