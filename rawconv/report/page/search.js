// Which feature maps answer the search, and in what order.

import { className, countClasses, report } from "./data.js";
import { byId } from "./elements.js";

export const query = () => byId("search").value.trim().toLowerCase();
export const isNumber = (text) => /^\d+$/.test(text);

/** Whether a unit's image is of a class, or a file of a name, that answers the search. */
export function unitMatches(unit, asked) {
  const names = [className(unit), unit.picture];
  return asked !== "" && !unit.dead && names.some((name) => name.toLowerCase().includes(asked));
}

/** How many of a map's units, or its name or number, answer the search; 0 for none. */
export function countMatches(map, asked) {
  if (!asked) return 1;
  if (isNumber(asked)) return String(map.n) === asked ? 2 : 0;
  if (map.title.toLowerCase().includes(asked)) return map.units.length;
  if (asked === "dead") return map.dead ? 1 : 0;
  return map.units.filter((unit) => unitMatches(unit, asked)).length;
}

const strongest = (map) => map.units[0].value;
const purity = (map) => (countClasses(map)[0] || [0, 0])[1];
const ORDERS = {
  number: (a, b) => a.n - b.n,
  activation: (a, b) => strongest(b) - strongest(a) || a.n - b.n,
  purity: (a, b) => purity(b) - purity(a) || strongest(b) - strongest(a),
};

/** The maps of a layer that answer the search: the best answers first, then in the order asked for. */
export function mapsFound(layer) {
  const order = ORDERS[byId("sort").value], asked = query();
  const found = layer.maps.map((map) => [countMatches(map, asked), map]).filter(([hits]) => hits);
  found.sort((a, b) => (asked ? b[0] - a[0] : 0) || order(a[1], b[1]));
  return found.map(([, map]) => map);
}

/** Put the text into the search box, as if it had been typed. */
export function searchFor(text) {
  byId("search").value = text;
  byId("search").dispatchEvent(new Event("input"));
}

/** Offer the classes while one is typed. */
export function offerClasses() {
  const names = [...new Set(report.classes)];
  byId("classes").append(...names.map((value) => Object.assign(document.createElement("option"), { value })));
}
