// The feature maps of the layer in this picture, as cards.

import { byId, element, markCurrent } from "../page/elements.js";
import { formatNumber, formatSize } from "../page/numbers.js";
import { drawBox, drawWhenNear, makeCanvas } from "../page/tiles.js";
import { chosenPicture, className, layerOf, loadMaps, whenChanged } from "./loaded.js";
import { Refused, Replaced } from "./server.js";
import { change, state } from "./state.js";
import { parseUnit, unitText } from "./units.js";

const ORDERS = {
  number: (a, b) => a.channel - b.channel,
  activation: (a, b) => b.max - a.max || a.channel - b.channel,
};

let shown = null; // the answer that the cards are of

export const cards = () => [...byId("cards").querySelectorAll(".card")];

/** The maps that are shown, in the order of their cards. */
const ordered = () => [...shown.maps].sort(ORDERS[state.sort] || ORDERS.activation);

export const updateMaps = whenChanged(() => [chosenPicture(), parseUnit(state.u).layer], loadCards);

async function loadCards() {
  const picture = chosenPicture(), { layer, map } = parseUnit(state.u);
  byId("maps-title").textContent = `The maps of ${layer} in this picture`;
  if (!picture) return;
  try {
    const answer = await loadMaps(picture, layer);
    if (picture !== chosenPicture() || layer !== parseUnit(state.u).layer) return;
    shown = { ...answer, picture };
    if (map === undefined) chooseStrongest();
    fillCards();
  } catch (error) {
    if (error instanceof Replaced) return;
    updateMaps.again();
    if (!(error instanceof Refused)) throw error;
    byId("count").textContent = error.message;
  }
}

/** A layer was opened: its strongest map, at its strongest place. */
function chooseStrongest() {
  const [best] = [...shown.maps].sort(ORDERS.activation);
  change({ u: unitText({ layer: shown.layer, map: best.channel, y: best.y, x: best.x }) }, { quietly: true });
}

/** Draw the cards once more, in the order that is asked for. */
export const updateOrder = whenChanged(() => state.sort, () => shown && fillCards());

function fillCards() {
  const layer = layerOf(shown.layer), single = shown.shape[0] * shown.shape[1] === 1;
  byId("sort").value = state.sort in ORDERS ? state.sort : "activation";
  byId("cards").classList.toggle("single", single);
  const strongest = Math.max(...shown.maps.map(({ max }) => max), 1e-30);
  byId("cards").replaceChildren(...ordered().map((map) => (
    element("li", {}, makeCard(map, layer, single && Math.max(0, map.max) / strongest)))));
  byId("count").textContent = describe(layer);
  byId("scale-of-maps").textContent = single
    ? "Bars have one scale: the longest is the largest of these values."
    : `Each tile has its own scale: white is the largest value of that map in this picture, ${
      shown.signed ? "mid-grey is 0." : "black is 0."}`;
  byId("cards").dataset.layer = shown.layer;
  markMap();
}

function describe({ shape, field, scores }) {
  const dead = scores || shown.signed ? 0 : shown.maps.filter(({ max }) => max <= 0).length;
  const parts = [
    `${shape[2]} ${scores ? "scores" : "maps"}`,
    shape[0] * shape[1] > 1 && `${formatSize(shape.slice(0, 2))} positions, each sees ${formatSize(field)} pixels`,
    dead > 0 && `${dead} never above 0 here`,
  ];
  return parts.filter(Boolean).join(" · ");
}

const titleOf = (channel, { scores }) => (scores ? className(channel) : String(channel));

function makeCard(map, layer, share) {
  const dead = map.max <= 0 && !shown.signed && !layer.scores;
  const title = titleOf(map.channel, layer), value = formatNumber(map.max);
  const words = layer.scores ? `${title}, score ${value}`
    : dead ? `Map ${title}, never above 0 in this picture` : `Map ${title}, largest activation ${value}`;
  const attributes = {
    type: "button", class: "card", "data-map": map.channel, "aria-label": words, title: words, tabindex: -1,
    onclick: () => choose(map),
  };
  const name = element("span", { class: "name" }, title), note = element("span", { class: "note" }, dead ? "0" : value);
  if (share !== false) return element("button", attributes, bar(share), name, note);
  return element("button", attributes, element("span", { class: "frame" }, dead ? deadFace() : face(map.channel)),
    name, note);
}

const deadFace = () => element("span", { class: "dead", "aria-hidden": "true" }, "0");

function bar(share) {
  const line = element("i", { "aria-hidden": "true", class: "bar" });
  line.style.setProperty("--level", `${(100 * share).toFixed(1)}%`);
  return line;
}

function face(channel) {
  const [height, width] = shown.sprite.tile, canvas = makeCanvas(width, height), of = shown;
  return drawWhenNear(canvas, () => drawBox(canvas, of.sprite.src, tileBox(of.sprite, channel), false));
}

/** [x, y, width, height] of a map in its sprite. */
function tileBox({ columns, tile: [height, width] }, channel) {
  return [(channel % columns) * width, Math.floor(channel / columns) * height, width, height];
}

/** Draw a map of the open layer into a canvas; nothing where it is not there yet. */
export function drawMap(canvas, channel) {
  if (!shown || shown.layer !== parseUnit(state.u).layer || shown.picture !== chosenPicture()) return;
  drawBox(canvas, shown.sprite.src, tileBox(shown.sprite, channel), false);
}

function choose({ channel, y, x }, options) {
  change({ u: unitText({ layer: shown.layer, map: channel, y, x }) }, options);
}

/** Mark the card of the map that is looked at; it, or else the first, is the one that Tab reaches. */
export function markMap() {
  const { map, layer } = parseUnit(state.u), all = cards();
  if (layer !== byId("cards").dataset.layer) return;
  for (const card of all) {
    const selected = Number(card.dataset.map) === map;
    if (selected === card.hasAttribute("aria-current") && (card.tabIndex === 0) === selected) continue;
    card.tabIndex = selected ? 0 : -1;
    markCurrent(card, selected && "true");
    if (selected) scrollToCard(card);
  }
  if (all.length && !all.some((card) => card.tabIndex === 0)) all[0].tabIndex = 0;
}

/** In the box of the cards only: the page stays where it is. */
function scrollToCard(card) {
  const holder = byId("cards"), top = card.offsetTop - holder.offsetTop;
  if (top < holder.scrollTop || top + card.offsetHeight > holder.scrollTop + holder.clientHeight) {
    holder.scrollTop = top - (holder.clientHeight - card.offsetHeight) / 2;
  }
}

/** Choose the next (1) or previous (-1) map in the order of the cards. */
export function stepMap(by) {
  if (!shown || shown.layer !== parseUnit(state.u).layer) return;
  const maps = ordered(), at = maps.findIndex(({ channel }) => channel === parseUnit(state.u).map);
  const to = maps[Math.min(maps.length - 1, Math.max(0, at + by))];
  choose(to, { quietly: true });
}

/** An arrow key on a card: to its neighbour, which is then looked at. */
export function moveInCards(event, focused) {
  const all = cards(), below = all.findIndex((card) => card.offsetTop !== all[0].offsetTop);
  const columns = below > 0 ? below : all.length, at = all.indexOf(focused);
  const to = {
    ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - columns, ArrowDown: at + columns, Home: 0, End: all.length - 1,
  }[event.key];
  if (to === undefined) return false;
  event.preventDefault();
  if (!all[to]) return true;
  all[to].focus({ preventScroll: true });
  scrollToCard(all[to]);
  choose(ordered()[to], { quietly: true });
  return true;
}

export function listenForMaps() {
  byId("sort").addEventListener("change", (event) => change({ sort: event.target.value }));
}
