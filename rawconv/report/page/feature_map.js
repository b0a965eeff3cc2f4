// One feature map: its classes, its units as tiles, and the unit selected of them.

import { className, countClasses, report } from "./data.js";
import { byId, element } from "./elements.js";
import { moveMap, neighbour, showGallery } from "./gallery.js";
import { formatCount, formatNumber } from "./numbers.js";
import { query, searchFor, unitMatches } from "./search.js";
import { narrow, select, selection } from "./selection.js";
import { canvasFor, drawBox, drawTile, tileCanvas } from "./tiles.js";
import { unitView } from "./unit.js";

export function fillDetail() {
  const { layer, map } = selection, detail = byId("detail");
  detail.scrollTop = 0;
  if (!map) {
    const words = query() ? "No map of this layer matches." : "Choose a map.";
    detail.replaceChildren(element("p", { class: "empty" }, words));
  } else if (map.dead) {
    detail.replaceChildren(makeHead(layer, map), element("p", { class: "deadnote" }, deadWords()));
  } else {
    detail.replaceChildren(makeHead(layer, map), makeChips(map), makeGrids(layer, map),
      element("section", { id: "unit", "aria-live": "off" }));
    showUnit();
  }
}

const deadWords = () =>
  `Dead: over all ${formatCount(report.pictures)} pictures this map was never above 0, so there is nothing to project.`;

function makeHead(layer, map) {
  const back = element("button", { type: "button", class: "back", onclick: showGallery }, "← All maps");
  const heading = element("h2", { id: "map-title" }, layer.score ? map.title : `Map ${map.n}`);
  const steps = [stepButton(-1, "Previous map", "‹"), stepButton(1, "Next map", "›")];
  return element("div", { class: "head" }, back,
    element("div", { class: "titles" }, heading, element("p", {}, `${layer.name} · ${describeRange(map)}`)),
    element("div", { class: "steps" }, steps));
}

function stepButton(by, words, sign) {
  const attributes = { type: "button", class: "step", "aria-label": words, title: words };
  return element("button", { ...attributes, onclick: () => moveMap(by) }, sign);
}

function describeRange(map) {
  const values = map.units.filter((unit) => !unit.dead).map((unit) => formatNumber(unit.value));
  if (!values.length) return "never above 0";
  return values.length > 1 ? `activations ${values[0]} to ${values.at(-1)}` : `activation ${values[0]}`;
}

function makeChips(map) {
  const attributes = { type: "button", title: "Search the maps for this class" };
  const chip = ([number, times]) => element("button",
    { ...attributes, onclick: () => searchMaps(report.classes[number]) },
    report.classes[number], element("b", {}, ` ${times}`));
  return element("p", { class: "chips", "aria-label": "Classes of its pictures" }, countClasses(map).map(chip));
}

function searchMaps(text) {
  if (narrow.matches) select(selection.layer, null);
  searchFor(text);
  byId("search").focus();
}

function makeGrids(layer, map) {
  const patches = layer.whole ? "The pictures they saw" : "The patches they saw";
  return element("div", { class: "grids" }, makeGrid(layer, map, 0, "Projections"),
    layer.patches && makeGrid(layer, map, 1, patches), makeFilter(layer, map),
    element("p", { class: "soft reading" }, "A projection shows what in the picture made the unit fire; grey is "
      + "nothing. Each tile has its own scale, so compare shapes, not strengths."));
}

const countSide = (map) => Math.ceil(Math.sqrt(map.units.length));

function makeGrid(layer, map, face, title) {
  const tiles = map.units.map((unit, rank) => makeTile(layer, map, rank, face));
  const holder = element("div", { class: "nine", role: "group", "aria-label": title }, tiles);
  holder.style.gridTemplateColumns = `repeat(${countSide(map)}, 1fr)`;
  return element("figure", {}, element("figcaption", {}, title), holder);
}

function makeTile(layer, map, rank, face) {
  const unit = map.units[rank], name = className(unit), value = formatNumber(unit.value);
  const words = `${face ? "Patch" : "Projection"} ${rank + 1}: ${name}, activation ${value}`;
  const blank = unit.dead ? "0" : unit.empty && !face ? "empty" : "";
  const picture = blank ? element("span", { class: "dead" }, blank) : tileCanvas(layer, 256);
  if (!blank) drawTile(picture, layer, map, rank, face);
  return element("button", {
    type: "button", class: "tile", "data-rank": rank, "aria-label": words, title: `${name} · ${value}`,
    onclick: () => select(layer, map, rank, { quietly: true }),
  }, picture);
}

/** In the first layer the weights themselves are a picture. */
function makeFilter(layer, map) {
  const filters = report.filters;
  if (!filters || filters.layer !== layer.name || map.n >= filters.count) return null;
  const picture = canvasFor(filters.tile, 224, `The weights of filter ${map.n}`);
  drawFilter(picture, filters, map.n);
  return element("figure", { class: "weights" }, element("figcaption", {}, "Its filter"), picture);
}

export function drawFilter(canvas, filters, n) {
  const [height, width] = filters.tile, [down, right] = filters.cell;
  const left = (n % filters.columns) * right, top = Math.floor(n / filters.columns) * down;
  drawBox(canvas, filters.sheet, [left, top, width, height], false);
}

/** Mark the tiles of the selected unit and those that answer the search; show the unit. */
export function showUnit() {
  const { layer, map, rank } = selection, asked = query();
  for (const tile of byId("detail").querySelectorAll(".tile")) {
    const place = Number(tile.dataset.rank), selected = place === rank;
    tile.setAttribute("aria-pressed", String(selected));
    tile.tabIndex = selected ? 0 : -1;
    tile.classList.toggle("match", unitMatches(map.units[place], asked));
  }
  byId("unit").replaceChildren(...unitView(layer, map, rank));
}

/** An arrow key on a tile: to its neighbour. */
export function moveInGrid(event, tile) {
  const { layer, map, rank } = selection, count = map.units.length;
  const to = neighbour(event.key, rank, countSide(map), count);
  if (to === undefined) return;
  event.preventDefault();
  if (!map.units[to]) return;
  select(layer, map, to, { quietly: true });
  tile.parentElement.children[to].focus();
}

export function focusUnits() {
  (byId("detail").querySelector('.tile[tabindex="0"]') || byId("detail")).focus();
}
