// A grey square over the picture, to be dragged and resized: what the net then says, and a heat map of all places.

import { element } from "../page/elements.js";
import { heatRange, lowestPlace, paintHeat } from "../page/heat.js";
import { formatNumber, formatPercent } from "../page/numbers.js";
import { chosenPicture, className, loadPicture, loaded } from "./loaded.js";
import { scaleFor } from "./paint.js";
import { ask, Refused, Replaced, send } from "./server.js";
import { addField, change, state } from "./state.js";
import { registerView } from "./views.js";

addField("square"); // top,left,side in pixels of the picture; "" is in its middle
addField("heat"); // the class of the heat map; "" is the most probable, "unit" the unit's value

registerView({
  id: "occluder", title: "Hide a part",
  words: "Drag the grey square, or move it with the arrow keys; + and − change its size. The probabilities and the "
    + "unit's value are those with the square there.",
  show, when: ({ layers }) => layers.some(({ scores }) => scores),
});

let context = null, square = null, drawn = "", parts = null; // parts: the elements of the panel
let busy = false, again = false, heat = null; // heat: {key, rows, columns, values, ...} of what is painted

async function show(panel, given) {
  const picture = await loadPicture(given.fields.picture); // it may still be on its way
  if (!picture.classes.length || picture.id !== chosenPicture()) return;
  context = { ...given, picture };
  square = readSquare();
  const key = JSON.stringify([picture.id, loaded.net.net]);
  if (drawn !== key || !panel.childElementCount) {
    drawn = key;
    heat = null;
    fill(panel);
  }
  markHeatPick();
  place();
  paint();
  update();
}

/** [top, left, side] of the address, or a square of a quarter of the picture in its middle. */
function readSquare() {
  const [height, width] = loaded.net.shape, given = state.square.split(",").map(Number);
  if (given.length === 3 && given.every(Number.isInteger)) return fitted(given);
  const side = Math.max(1, Math.round(Math.min(height, width) / 4));
  return [Math.round((height - side) / 2), Math.round((width - side) / 2), side];
}

/** The square with a side that fits and its middle in the picture. */
function fitted([top, left, side]) {
  const [height, width] = loaded.net.shape, length = Math.min(Math.max(1, side), Math.min(height, width));
  const half = Math.floor(length / 2), within = (at, most) => Math.min(Math.max(-half, at), most - half - 1);
  return [within(top, height), within(left, width), length];
}

function fill(panel) {
  const [height, width] = loaded.net.shape, most = Math.min(height, width);
  parts = {
    canvas: element("canvas", { role: "img" }),
    square: element("button", { type: "button", class: "square", onpointerdown: drag, onkeydown: keyPressed }),
    size: element("input", {
      type: "range", min: 1, max: most, step: 1, onchange: keep, oninput: ({ target }) => resize(Number(target.value)),
    }),
    classes: element("ol", { class: "class-bars", "data-updates": 0 }),
    unit: element("p", { class: "unit-value" }),
    pick: element("select", { onchange: (event) => change({ heat: event.target.value }) }),
    paint: element("button", { type: "button", onclick: paintAll }, "Paint the heat map"),
    progress: element("progress", { max: 1, value: 0, hidden: true, "aria-label": "Heat map" }),
    said: element("p", { class: "soft", role: "status" }),
  };
  const seen = element("div", { class: "seen" }, parts.canvas, parts.square);
  panel.replaceChildren(element("div", { class: "occluder" },
    element("div", {}, seen,
      element("label", { class: "pick" }, element("span", {}, "Side"), parts.size),
      element("div", { class: "heat-tools" },
        element("label", { class: "pick" }, element("span", {}, "Heat map of"), parts.pick), parts.paint,
        parts.progress),
      parts.said),
    element("div", {}, element("h3", {}, "With the square there"), parts.classes, parts.unit)));
}

function markHeatPick() {
  const { picture, unit } = context;
  parts.pick.replaceChildren(
    ...picture.classes.map(([number, name], k) =>
      element("option", { value: k ? number : "", selected: state.heat === (k ? String(number) : "") }, `P(${name})`)),
    element("option", { value: "unit", selected: state.heat === "unit" }, `value of ${unit}`));
}

// ------------------------------------------------------------------------------------------ the square

function place() {
  const [height, width] = loaded.net.shape, [top, left, side] = square;
  const shares = { "--y": top / height, "--x": left / width, "--h": side / height, "--w": side / width };
  for (const [key, share] of Object.entries(shares)) parts.square.style.setProperty(key, `${100 * share}%`);
  parts.size.value = side;
  parts.size.setAttribute("aria-valuetext", `${side} pixels`);
  parts.square.setAttribute("aria-label",
    `Grey square of ${side} pixels at row ${top}, column ${left}; arrow keys move it, plus and minus change its size`);
}

function moveTo(asked) {
  square = fitted(asked);
  place();
  update();
}

/** The address says where the square is once it rests. */
const keep = () => change({ square: square.join(",") }, { quietly: true });

function drag(event) {
  const [startTop, startLeft, side] = square, { width } = parts.canvas.getBoundingClientRect();
  const scale = loaded.net.shape[1] / width, from = [event.clientX, event.clientY], target = event.currentTarget;
  const move = (moved) => moveTo([
    Math.round(startTop + (moved.clientY - from[1]) * scale), Math.round(startLeft + (moved.clientX - from[0]) * scale),
    side,
  ]);
  const end = () => {
    target.removeEventListener("pointermove", move);
    keep();
  };
  target.setPointerCapture(event.pointerId);
  target.addEventListener("pointermove", move);
  for (const name of ["pointerup", "pointercancel"]) target.addEventListener(name, end, { once: true });
}

function keyPressed(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const [top, left, side] = square, step = event.shiftKey ? 8 : 1;
  const asked = {
    ArrowUp: [top - step, left, side], ArrowDown: [top + step, left, side], ArrowLeft: [top, left - step, side],
    ArrowRight: [top, left + step, side], "+": [top, left, side + 1], "-": [top, left, side - 1],
  }[event.key];
  if (!asked) return;
  event.preventDefault();
  event.stopPropagation();
  moveTo(asked);
  keep();
}

/** Another side, about the same middle. */
function resize(side) {
  const [top, left, before] = square, by = Math.round((before - side) / 2);
  moveTo([top + by, left + by, side]);
}

// ------------------------------------------------------------------------------------------ what the net says

/** Ask about the square as it is; while an answer is awaited, only the newest place waits. */
async function update() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  const [top, left, size] = square, { picture, unit } = context;
  try {
    const answer = await ask("/api/occlude", { picture: picture.id, top, left, size, unit }, { kind: "occlude" });
    if (context.picture.id === picture.id) tell(answer, [top, left, size]);
  } catch (error) {
    if (error instanceof Refused) parts.said.textContent = error.message;
    else if (!(error instanceof Replaced)) throw error;
  } finally {
    busy = false;
  }
  if (again) {
    again = false;
    update();
  }
}

function tell({ classes, value, original }, at) {
  parts.classes.replaceChildren(...classes.map(bar));
  parts.classes.dataset.updates = Number(parts.classes.dataset.updates) + 1;
  parts.classes.dataset.square = at.join(",");
  parts.unit.replaceChildren(`${context.unit} is `, element("b", {}, formatNumber(value)),
    `, and ${formatNumber(original)} without the square`);
}

function bar([number, name, p, before]) {
  const line = element("i", { "aria-hidden": "true" });
  for (const [key, share] of [["--from", 0], ["--to", p]]) line.style.setProperty(key, `${(100 * share).toFixed(2)}%`);
  return element("li", { "data-class": number, "data-p": p }, element("span", { class: "class" }, name),
    element("span", { class: "bar" }, line), element("span", { class: "number" }, formatPercent(p, 3)),
    element("span", { class: "number soft" }, `was ${formatPercent(before, 3)}`));
}

// ------------------------------------------------------------------------------------------ the heat map

const heatKey = () => JSON.stringify(
  [context.picture.id, loaded.net.net, state.heat, square[2], state.heat === "unit" && context.unit]);
const heatName = () => (state.heat === "unit" ? `the value of ${context.unit}`
  : `P(${className(state.heat === "" ? context.picture.classes[0][0] : Number(state.heat))})`);

function paint() {
  const { image } = context, { canvas, said } = parts, scale = scaleFor(Math.max(image.width, image.height), 480);
  if (canvas.width !== image.width * scale) [canvas.width, canvas.height] = [image.width * scale, image.height * scale];
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.setAttribute("aria-label", "The picture");
  said.setAttribute("aria-live", heat?.values.includes(null) ? "off" : "polite");
  said.textContent = "";
  if (heat?.key !== heatKey() || !heat.values.some((value) => value != null)) return;
  paintHeat(canvas, loaded.net.shape, heat);
  const [low, high] = heatRange(heat.values), words = state.heat === "unit" ? formatNumber : (p) => formatPercent(p, 3);
  const least = lowestPlace(heat);
  said.textContent = `${heatName()}, by where the middle of the square is: from ${words(low)} (dark) to ${words(high)} `
    + `(light); lowest at row ${least.row}, column ${least.column}.`;
  canvas.setAttribute("aria-label", `The picture and its heat map: ${said.textContent}`);
}

async function paintAll() {
  const key = heatKey(), { picture, unit } = context, [number] = picture.classes[0];
  const stride = Math.max(1, Math.round(loaded.net.shape[1] / 30));
  const question = {
    picture: picture.id, size: square[2], stride, unit: state.heat === "unit" ? unit : "",
    class: state.heat === "" || state.heat === "unit" ? number : Number(state.heat),
  };
  const mine = { key, values: [] };
  heat = mine;
  parts.progress.hidden = false;
  try {
    await readLines(await send("/api/heatmap", question, "heatmap"), (line) => take(line, mine));
  } catch (error) {
    if (error instanceof Refused) parts.said.textContent = error.message;
    else if (error.name !== "AbortError" && !(error instanceof Replaced)) throw error;
  } finally {
    if (heat === mine) parts.progress.hidden = true;
  }
}

/** Take a line of the heat map `mine`, unless another is wanted by now. */
function take(line, mine) {
  if (line.error) throw line.error === "replaced" ? new Replaced() : new Refused(line.error);
  if (heat !== mine) throw new Replaced();
  if (line.rows) Object.assign(heat, { rows: line.rows, columns: line.columns, values: Array(line.total).fill(null) });
  else {
    const some = line.values || line.p;
    heat.values.splice(line.done - some.length, some.length, ...some);
    parts.progress.value = line.done / line.total;
    parts.progress.textContent = `${line.done} of ${line.total}`;
  }
  parts.progress.dataset.done = line.done === line.total ? "yes" : "";
  paint();
}

/** Call `take` with each line of JSON as it comes. */
async function readLines(answer, taker) {
  const reader = answer.body.getReader(), decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = lines.pop();
      for (const line of lines) taker(JSON.parse(line));
    }
    if (rest) taker(JSON.parse(rest));
  } finally {
    reader.cancel().catch(() => {}); // the server need not compute what nobody reads
  }
}
