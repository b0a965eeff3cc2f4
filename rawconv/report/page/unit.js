// One unit: its projection and patch, where it is, and its way down.

import { className, report } from "./data.js";
import { element, factList, svg } from "./elements.js";
import { FACES } from "./gallery.js";
import { formatNumber, formatSize } from "./numbers.js";
import { addressOf } from "./selection.js";
import { stepList } from "./steps.js";
import { drawTile, tileCanvas } from "./tiles.js";

/** The elements that show unit `rank` of a feature map. */
export function unitView(layer, map, rank) {
  const unit = map.units[rank];
  if (unit.dead) return deadUnit(rank);
  const title = layer.score ? `The score in picture ${rank + 1}` : `Unit ${rank + 1}`;
  const faces = FACES.slice(0, layer.patches ? 2 : 1).map((word, face) => largeTile(layer, map, rank, face, word));
  const about = element("div", { class: "about" },
    factList(factsOf(layer, unit)), locator(unit, report.picture, report.places));
  return [
    element("h3", {}, title, element("small", {}, ` of ${map.units.length}`)),
    unit.empty && element("p", { class: "soft" }, emptyWords(layer, unit)),
    element("div", { class: "large" }, ...faces, about),
    element("h3", {}, "Its way down"),
    element("div", { class: "down" }, howToRead(layer, map, rank),
      stepList(layer, map, rank, report.rules, report.net[0].layer)),
  ].filter(Boolean);
}

/** Where nothing comes down; in a chain of layers, at which of them it ends. */
function emptyWords(layer, unit) {
  const stop = layer.steps[unit.energy.findLastIndex((value) => value > 0) + 1];
  const known = stop?.verb === "rectify" && !layer.steps.some((step) => step.to);
  const where = known ? ` all of it ends at ${stop.layer};` : "";
  const remedy = report.rules.relu === "gradient" ? "try a lower layer" : "try --rule gradient or a lower layer";
  return `Nothing comes down:${where} ${remedy}.`;
}

function deadUnit(rank) {
  const words = "This map was above 0 on fewer pictures than are shown.";
  return [element("h3", {}, `Unit ${rank + 1} is 0`), element("p", { class: "soft" }, words)];
}

function largeTile(layer, map, rank, face, word) {
  const label = `${face ? "The pixels it saw" : "Its projection"}, ${className(map.units[rank])}`;
  const picture = tileCanvas(layer, 320, label);
  drawTile(picture, layer, map, rank, face);
  return element("figure", {}, picture, element("figcaption", {}, word));
}

function factsOf(layer, unit) {
  const [top, left, bottom, right] = unit.box;
  return [
    ["Value", formatNumber(unit.value, 4)],
    ["Class", className(unit)],
    ["Picture", unit.picture],
    ["Position", `row ${unit.y}, column ${unit.x} of ${formatSize(layer.shape.slice(0, 2))}`],
    ["Field", `rows ${top} to ${bottom - 1}, columns ${left} to ${right - 1}`],
  ];
}

/** Where in the picture the unit looks: its field, and below it the picture, if that is shown. */
function locator(unit, [height, width], places) {
  const [top, left, bottom, right] = unit.box;
  const x0 = Math.min(0, left), x1 = Math.max(width, right), y0 = Math.min(0, top), y1 = Math.max(height, bottom);
  const rim = (x1 - x0) / 50;
  const viewBox = [x0 - rim, y0 - rim, x1 - x0 + 2 * rim, y1 - y0 + 2 * rim].join(" ");
  return svg("svg", { class: "locator", viewBox, role: "img", "aria-label": "The unit's field in the picture" },
    svg("rect", { class: "whole", x: 0, y: 0, width, height }),
    places && svg("svg", { ...inSheet(places, places.images.indexOf(unit.image)), x: 0, y: 0, width, height },
      svg("image", { href: places.sheet, width: places.size[1], height: places.size[0] })),
    svg("rect", { class: "field", x: left, y: top, width: right - left, height: bottom - top }));
}

/** What of the sheet of pictures is the one numbered k. */
function inSheet({ columns, tile: [height, width], cell: [down, right] }, k) {
  const viewBox = [(k % columns) * right, Math.floor(k / columns) * down, width, height].join(" ");
  return { viewBox, preserveAspectRatio: "none" };
}

function howToRead(layer, map, rank) {
  if (rank) {
    return element("p", { class: "soft" },
      "To keep this page small, the maps on the way down are drawn for the strongest unit only: ",
      element("a", { href: addressOf(layer, map, 0) }, "unit 1"), ".");
  }
  return element("p", { class: "soft" },
    "First all maps of the step in one (root of the summed squares), then its four strongest; grey is 0, light is "
    + "above it and dark below. Each step has its own scale. The bar of the squared norm is logarithmic.");
}
