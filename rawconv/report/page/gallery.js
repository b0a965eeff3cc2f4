// The gallery: a card for each feature map of the layer.

import { countClasses, report } from "./data.js";
import { byId, element, markCurrent } from "./elements.js";
import { formatNumber, formatSize } from "./numbers.js";
import { countMatches, isNumber, mapsFound, query } from "./search.js";
import { narrow, select, selection } from "./selection.js";
import { drawTile, drawWhenNear, tileCanvas } from "./tiles.js";

export const FACES = ["projection", "patch"];

export const cards = () => [...byId("cards").querySelectorAll(".card")];
const mapOf = (card) => selection.layer.maps.find((map) => map.n === Number(card.dataset.map));

export function fillGallery() {
  const { layer } = selection, found = mapsFound(layer);
  byId("cards").replaceChildren(...found.map((map) => element("li", {}, makeCard(layer, map))));
  byId("face-pick").hidden = !layer.patches;
  byId("count").textContent = describeLayer(layer, found.length);
  markCard();
}

function describeLayer(layer, found) {
  const shown = layer.maps.length, all = layer.shape[2], dead = layer.maps.filter((map) => map.dead).length;
  const asked = byId("search").value.trim(), count = shown < all ? `${shown} of ${all}` : shown;
  const maps = asked ? `${found} of ${shown} maps with “${asked}”` : `${count} maps`;
  const positions = `${formatSize(layer.shape.slice(0, 2))} positions`;
  const field = `each sees ${formatSize(layer.field)} pixels`;
  return [maps, positions, field, dead && `${dead} dead`].filter(Boolean).join(" · ");
}

function makeCard(layer, map) {
  const note = noteOf(map), name = layer.score ? map.title : String(map.n);
  const attributes = { class: "card", type: "button", "data-map": map.n, tabindex: -1 };
  return element("button", { ...attributes, "aria-label": labelOf(map), onclick: () => openMap(map) },
    element("span", { class: "frame" }, map.dead ? deadFace() : cardFace(layer, map)),
    element("span", { class: "name" }, name),
    element("span", { class: "note" }, note || "\u00a0"));
}

const deadFace = () => element("span", { class: "dead", "aria-hidden": "true" }, "dead");

function cardFace(layer, map) {
  const face = layer.patches ? FACES.indexOf(byId("face").value) : 0, canvas = tileCanvas(layer, 160);
  return drawWhenNear(canvas, () => drawTile(canvas, layer, map, 0, face));
}

/** "lion ×5" where at least two images are of one class. */
function commonClass(map) {
  const [first] = countClasses(map);
  return first && first[1] > 1 ? `${report.classes[first[0]]} ×${first[1]}` : "";
}

function noteOf(map) {
  if (map.dead) return "dead";
  const asked = query(), hits = asked && !isNumber(asked) && countMatches(map, asked);
  return hits ? `${hits} of ${map.units.length}` : commonClass(map);
}

function labelOf(map) {
  if (map.dead) return `${map.title}, dead: never above 0`;
  const words = [map.title, `activation ${formatNumber(map.units[0].value)}`, commonClass(map)];
  return words.filter(Boolean).join(", ");
}

function openMap(map) {
  select(selection.layer, map);
  if (narrow.matches) byId("detail").focus({ preventScroll: true });
}

/** Mark the card of the selected map; it, or else the first, is the one that Tab reaches. */
export function markCard() {
  const all = cards();
  for (const card of all) {
    const selected = mapOf(card) === selection.map;
    card.tabIndex = selected ? 0 : -1;
    markCurrent(card, selected && "true");
    if (selected && !narrow.matches) card.scrollIntoView({ block: "nearest" });
  }
  if (all.length && !all.some((card) => card.tabIndex === 0)) all[0].tabIndex = 0;
}

/** Select the next (1) or previous (-1) map in the order of the cards. */
export function moveMap(by) {
  const all = cards();
  if (!all.length) return;
  const at = all.findIndex((card) => mapOf(card) === selection.map);
  const to = Math.min(all.length - 1, Math.max(0, at < 0 ? 0 : at + by));
  select(selection.layer, mapOf(all[to]), 0, { quietly: true });
}

/** The number of cards in a row. */
function countColumns(all) {
  const below = all.findIndex((card) => card.offsetTop !== all[0].offsetTop);
  return below > 0 ? below : Math.max(1, all.length);
}

/** An arrow key on a card: to its neighbour. */
export function moveInGallery(event, focused) {
  const all = cards(), to = neighbour(event.key, all.indexOf(focused), countColumns(all), all.length);
  if (to === undefined) return;
  event.preventDefault();
  if (!all[to]) return;
  for (const card of all) card.tabIndex = card === all[to] ? 0 : -1;
  all[to].focus();
  if (!narrow.matches) select(selection.layer, mapOf(all[to]), 0, { quietly: true });
}

/** Where a key leads from item `at` of a grid; undefined for other keys. */
export function neighbour(key, at, columns, count) {
  return {
    ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - columns, ArrowDown: at + columns, Home: 0, End: count - 1,
  }[key];
}

export function showGallery() {
  const { layer, map } = selection;
  if (narrow.matches) select(layer, null);
  const card = cards().find((one) => mapOf(one) === map) || cards()[0];
  if (card) card.focus();
}
