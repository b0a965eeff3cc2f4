// The unit that is looked at: its place in its map, its projection over the picture and by itself, and its numbers.

import { byId, element, factList } from "../page/elements.js";
import { formatCount, formatNumber, formatSize } from "../page/numbers.js";
import { chosenPicture, className, fieldsOf, layerOf, loaded, pictureAddress, whenChanged } from "./loaded.js";
import { drawMap } from "./maps.js";
import { decodePng, loadImage, paintAlone, paintOver, paintPatch } from "./paint.js";
import { ask, Refused, Replaced } from "./server.js";
import { addField, change, state } from "./state.js";
import { fieldBox, parseUnit, unitAt, unitText } from "./units.js";

addField("over", "1"); // whether the projection lies over the picture

const listeners = [];
let shown = null; // {fields, answer, picture, projection} of what is painted

/** Call `listener({fields, answer, picture, projection})` after a projection was painted. */
export const onPainted = (listener) => listeners.push(listener);

export const painted = () => shown;

/** Ask for the projection of the state, and paint it. */
export const updateUnit = whenChanged(() => fieldsOf(), askForUnit);

async function askForUnit() {
  const fields = fieldsOf();
  if (!fields.picture || parseUnit(fields.unit).map === undefined) return;
  const image = loadImage(pictureAddress(fields.picture, "/image.png"));
  try {
    const answer = await ask("/api/project", fields, { kind: "project" });
    const [projection, picture] = await Promise.all([decodePng(answer.png), image]);
    if (JSON.stringify(fields) !== JSON.stringify(fieldsOf())) return;
    shown = { fields, answer, picture, projection };
    paint();
    completeAddress(answer.unit);
    for (const listener of listeners) listener(shown);
  } catch (error) {
    if (error instanceof Replaced) return;
    updateUnit.again();
    if (error instanceof Refused) complain(error.message);
    else throw error;
  }
}

/** Where the address did not say a place, say the one that the server found: nothing is asked once more. */
function completeAddress(unit) {
  if (unit === state.u || parseUnit(unit).map !== parseUnit(state.u).map) return;
  change({ u: unit }, { quietly: true });
}

function complain(words) {
  byId("unit-said").textContent = words;
  byId("unit").dataset.failed = "yes";
}

function paint() {
  const { fields, answer, picture, projection } = shown, unit = parseUnit(answer.unit);
  paintSeen();
  paintAlone(byId("projection"), projection);
  paintPatch(byId("patch"), picture, answer.shown);
  const section = byId("unit");
  delete section.dataset.failed;
  Object.assign(section.dataset, { unit: answer.unit, sha256: answer.sha256, picture: fields.picture });
  byId("unit-title").replaceChildren(...titleOf(unit));
  byId("unit-said").textContent = answer.dead || answer.empty;
  byId("projection").setAttribute("aria-label", `Projection of ${answer.unit}, value ${formatNumber(answer.value, 4)}`);
  byId("facts").replaceChildren(factList(factsOf(unit, answer)));
  byId("scale").textContent = answer.scale
    ? `Grey is 0; black and white are ∓${formatNumber(answer.scale)}, the largest change of a pixel in this tile. `
      + "Each tile has its own scale."
    : "Grey is 0: nothing comes down.";
}

/** A picture by itself, until the projection that lies over it is there. */
export const updateSeen = whenChanged(() => chosenPicture(), async () => {
  const picture = chosenPicture();
  if (!picture || shown?.fields.picture === picture) return;
  const image = await loadImage(pictureAddress(picture, "/image.png")).catch(() => null);
  if (!image || picture !== chosenPicture() || shown?.fields.picture === picture) return;
  paintOver(byId("seen"), image, {});
  byId("seen").dataset.picture = picture;
});

function paintSeen(box = shown?.answer.box) {
  if (!shown || shown.fields.picture !== chosenPicture()) return;
  const { fields, answer, picture, projection } = shown;
  byId("seen").dataset.picture = fields.picture;
  paintOver(byId("seen"), picture, { shown: answer.shown, box, projection: state.over === "1" && projection });
}

/** The picture with or without the projection over it. */
export const updateOver = whenChanged(() => state.over, () => paintSeen());

function titleOf({ layer, map, y, x, whole }) {
  const { scores, shape } = layerOf(layer), single = shape[0] * shape[1] === 1;
  const name = scores ? className(map) : `map ${map}`;
  const place = whole ? ", the whole map" : single ? "" : `, row ${y}, column ${x}`;
  return [`${layer} · ${name}`, element("small", {}, place)];
}

function factsOf({ layer, whole }, { value, box: [top, left, bottom, right], rank, sha256 }) {
  const { shape } = layerOf(layer);
  return [
    [whole ? "Largest value" : "Value", formatNumber(value, 4)],
    rank && ["Rank in the data", `${formatCount(rank.at)} of ${formatCount(rank.of)} (${rank.data})`],
    ["Sees", `rows ${top} to ${bottom - 1}, columns ${left} to ${right - 1}`],
    ["Its layer", `${formatSize(shape.slice(0, 2))} positions, ${shape[2]} maps`],
    ["SHA-256", element("code", { title: `SHA-256 of the projection's float32 pixels: ${sha256}` },
      `${sha256.slice(0, 12)}…`)],
  ].filter(Boolean);
}

const RANK_WAIT = 1000; // milliseconds between questions, while the data set is looked through

/** Say the rank of the value as soon as the whole data set has been looked through. */
export async function findRank() {
  const of = shown;
  while (of && of === shown && !of.answer.rank && !of.fields.control) {
    const { rank } = await ask("/api/project", of.fields, { kind: "rank" });
    if (rank) return sayRank(of, rank);
    await new Promise((done) => setTimeout(done, RANK_WAIT));
  }
  return undefined;
}

function sayRank(of, rank) {
  of.answer.rank = rank;
  if (of === shown) byId("facts").replaceChildren(factList(factsOf(parseUnit(of.answer.unit), of.answer)));
}

// ------------------------------------------------------------------------------------------ the place in the map

/** The map, large, with its place marked. */
export function updatePlace() {
  const { layer: name, map, y, x, whole } = parseUnit(state.u), layer = layerOf(name);
  if (map === undefined || !layer) return;
  const [rows, columns] = layer.shape, holder = byId("place");
  byId("place-figure").hidden = rows * columns === 1;
  const canvas = holder.querySelector("canvas");
  if (canvas.width !== columns || canvas.height !== rows) [canvas.width, canvas.height] = [columns, rows];
  drawMap(canvas, map);
  const cell = holder.querySelector("i");
  cell.hidden = y === undefined;
  holder.classList.toggle("whole", whole);
  for (const [key, share] of [["--y", y / rows], ["--x", x / columns], ["--h", 1 / rows], ["--w", 1 / columns]]) {
    cell.style.setProperty(key, `${100 * share}%`);
  }
  holder.setAttribute("aria-label", `Map ${map}, ${formatSize([rows, columns])} positions: `
    + `${whole ? "all of them" : `row ${y}, column ${x}`} chosen; arrow keys move`);
}

function moveTo(y, x, options) {
  const { layer, map } = parseUnit(state.u);
  change({ u: unitText({ layer, map, y, x }) }, options);
}

/** [row, column], from 0 to 1, of the pointer in an element. */
function pointed(event, target) {
  const box = target.getBoundingClientRect();
  return [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width];
}

const clamp = (share, count) => Math.min(count - 1, Math.max(0, Math.floor(share * count)));

function clickedPlace(event) {
  if (!event.detail) return; // Enter: it is chosen already
  const { shape } = layerOf(parseUnit(state.u).layer), [row, column] = pointed(event, byId("place"));
  moveTo(clamp(row, shape[0]), clamp(column, shape[1]));
}

/** The unit whose field has its middle under the pointer on the picture. */
function unitUnder(event) {
  const layer = layerOf(parseUnit(state.u).layer), [height, width] = loaded.net.shape;
  const [row, column] = pointed(event, byId("seen"));
  return { layer, place: unitAt(layer, row * height, column * width) };
}

function clickedPicture(event) {
  if (event.detail) moveTo(...unitUnder(event).place);
}

function hovered(event) {
  const { layer, place } = unitUnder(event);
  paintSeen(fieldBox(layer, ...place));
}

/** An arrow key: to the next position.  From a whole map: to its middle. */
export function movePlace(event) {
  const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (!by) return false;
  event.preventDefault();
  const { layer, y, x } = parseUnit(state.u), { shape } = layerOf(layer);
  const [row, column] = y === undefined ? shape.map((side) => side >> 1) : [y + by[0], x + by[1]];
  if (row >= 0 && column >= 0 && row < shape[0] && column < shape[1]) moveTo(row, column, { quietly: true });
  return true;
}

/** Project the whole map, or its strongest place again. */
export function toggleWhole() {
  const { layer, map, whole } = parseUnit(state.u);
  change({ u: whole ? `${layer}:${map}` : `${layer}:${map}:*` });
}

export function listenForUnit() {
  byId("place").addEventListener("click", clickedPlace);
  byId("seen-button").addEventListener("click", clickedPicture);
  byId("seen-button").addEventListener("pointermove", hovered);
  byId("seen-button").addEventListener("pointerleave", () => paintSeen());
  byId("whole").addEventListener("click", toggleWhole);
  byId("over").addEventListener("click", () => change({ over: state.over === "1" ? "0" : "1" }));
}
