// The net as a strip of its layers, from the picture to the scores: columns by depth, forks above each other.

import { byId, element, markCurrent, svg } from "../page/elements.js";
import { formatSize } from "../page/numbers.js";
import { loaded } from "./loaded.js";
import { change, state } from "./state.js";
import { parseUnit } from "./units.js";

const NARROW = 76, WIDE = 112, LETTER = 7.5; // pixels: of a column at least and at most, and of a letter
const LANE = 74, MIDDLE = 22; // of a lane, and from its top to its arrows
const TALLEST = 38, WIDEST = 30; // of the block that stands for a layer's maps

/** [{layer, inputs: places of those it takes, column, lane}], the picture not among them. */
export function layOut(layers) {
  const placed = new Map(), taken = new Set();
  for (const layer of layers) {
    const inputs = layer.inputs.map((node) => placed.get(node)).filter(Boolean);
    const column = Math.max(0, ...inputs.map((input) => input.column + 1));
    let lane = inputs.length ? Math.min(...inputs.map((input) => input.lane)) : 0;
    while (taken.has(`${column}/${lane}`)) lane += 1;
    taken.add(`${column}/${lane}`);
    placed.set(layer.node, { layer, inputs, column, lane });
  }
  return [...placed.values()];
}

let columnWidth = NARROW; // pixels of a column of this net

/** "fire9/expand3x3" -> ["fire9/", "expand3x3"]: above and in the label of a layer. */
function splitName(name) {
  const at = name.lastIndexOf("/") + 1;
  return [name.slice(0, at), name.slice(at)];
}

export function makeStrip() {
  const longest = Math.max(...loaded.net.layers.map(({ name }) => splitName(name)[1].length));
  columnWidth = Math.min(WIDE, Math.max(NARROW, 8 + longest * LETTER));
  const places = layOut(loaded.net.layers), lanes = 1 + Math.max(...places.map(({ lane }) => lane));
  const columns = 1 + Math.max(...places.map(({ column }) => column));
  const [width, height] = [columns * columnWidth, lanes * LANE];
  const arrows = places.flatMap((to) => to.inputs.map((from) => arrow(from, to, places)));
  const lines = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, arrows);
  const strip = byId("strip");
  strip.replaceChildren(element("div", { class: "arrows" }, lines),
    element("ol", {}, places.map((place) => makeLayer(place))));
  strip.style.setProperty("--width", `${width}px`);
  strip.style.setProperty("--column", `${columnWidth - 4}px`);
  strip.style.setProperty("--height", `${height}px`);
}

/** A line from one layer's block to the next one's; where it passes others in its lane, around them. */
function arrow(from, to, places) {
  const x0 = from.column * columnWidth + columnWidth / 2, x1 = to.column * columnWidth + columnWidth / 2;
  const y0 = from.lane * LANE + MIDDLE, y1 = to.lane * LANE + MIDDLE;
  const between = places.some(({ column, lane }) => (
    column > from.column && column < to.column && (lane === from.lane || lane === to.lane)));
  if (!between) return svg("path", { d: `M${x0} ${y0} C${(x0 + x1) / 2} ${y0} ${(x0 + x1) / 2} ${y1} ${x1} ${y1}` });
  const over = Math.min(y0, y1) - MIDDLE + 3, turn = columnWidth / 2;
  return svg("path", {
    d: `M${x0} ${y0} C${x0 + turn} ${y0} ${x0} ${over} ${x0 + turn} ${over} H${x1 - turn} `
      + `C${x1} ${over} ${x1 - turn} ${y1} ${x1} ${y1}`,
  });
}

function makeLayer({ layer, column, lane }) {
  const [rows, , maps] = layer.shape, block = element("i", { class: "block", "aria-hidden": "true" });
  const [tallest, widest] = [0, 2].map((axis) => Math.max(...loaded.net.layers.map(({ shape }) => shape[axis])));
  block.style.setProperty("--h", `${Math.round(5 + (TALLEST - 5) * Math.sqrt(rows / tallest))}px`);
  block.style.setProperty("--w", `${Math.round(5 + (WIDEST - 5) * Math.sqrt(maps / widest))}px`);
  const size = formatSize(layer.shape), [group, short] = splitName(layer.name);
  const button = element("button", {
    type: "button", "data-layer": layer.name, title: `${layer.name}: ${size}`, "aria-label": `${layer.name}, ${size}`,
    onclick: () => openLayer(layer.name),
  }, element("span", { class: "holder" }, block), element("b", {}, short), element("small", {}, group || size));
  const item = element("li", {}, button);
  item.style.setProperty("--x", `${column * columnWidth}px`);
  item.style.setProperty("--y", `${lane * LANE}px`);
  return item;
}

/** Show the maps of a layer; its strongest is chosen when they are there. */
export function openLayer(name) {
  if (name !== parseUnit(state.u).layer) change({ u: name });
}

/** Open the layer above (1) or below (-1). */
export function stepLayer(by) {
  const names = loaded.net.layers.map(({ name }) => name), at = names.indexOf(parseUnit(state.u).layer) + by;
  if (names[at]) openLayer(names[at]);
}

let marked = "";

export function markLayer() {
  const { layer } = parseUnit(state.u);
  if (layer === marked) return;
  marked = layer;
  for (const button of byId("strip").querySelectorAll("button")) {
    const current = button.dataset.layer === layer;
    markCurrent(button, current && "true");
    if (current) scrollStrip(button);
  }
}

/** Sideways only: the page stays where it is. */
function scrollStrip(button) {
  const strip = byId("strip"), box = button.getBoundingClientRect(), around = strip.getBoundingClientRect();
  if (box.left < around.left || box.right > around.right) {
    strip.scrollLeft += box.left - around.left - (around.width - box.width) / 2;
  }
}
