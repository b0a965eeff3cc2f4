// What is chosen stands in the address (#conv4/17/2: layer, feature map, second of its units).

import { report } from "./data.js";
import { mapsFound } from "./search.js";

export const narrow = matchMedia("screen and (max-width: 860px)"); // one pane at a time
export const selection = { view: "", layer: null, map: null, rank: 0 };
const listeners = [];

/** Call `listener(what was selected before)` after every change. */
export const onSelect = (listener) => listeners.push(listener);

export function addressOf(layer, map, rank) {
  const unit = map && rank ? `/${rank + 1}` : "";
  return `#${encodeURIComponent(layer.name)}${map ? `/${map.n}` : ""}${unit}`;
}

/** Select; `quietly` replaces the last entry of the browser's history instead of adding one. */
export function select(layer, map, rank = 0, { quietly = false } = {}) {
  const address = addressOf(layer, map, rank);
  if (address === location.hash) return;
  if (quietly) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  readAddress();
}

/** Select what the address says; where it says nothing that is there, what is nearest to it. */
export function readAddress() {
  const before = { ...selection }, [name, number, place] = location.hash.slice(1).split("/");
  if (name === "net" || (name === "experiments" && report.experiments.length)) selection.view = name;
  else selectMap(withoutEscapes(name), number, place);
  for (const listener of listeners) listener(before);
}

function selectMap(name, number, place) {
  const layer = report.layers.find((one) => one.name === name) || selection.layer || firstLayer();
  const asked = layer.maps.find((map) => String(map.n) === number);
  const map = asked || (narrow.matches ? null : mapsFound(layer)[0] || null);
  const last = map ? map.units.length - 1 : 0;
  const rank = Math.min(Math.max(0, (parseInt(place, 10) || 1) - 1), last);
  Object.assign(selection, { view: asked ? "map" : "gallery", layer, map, rank });
}

function withoutEscapes(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The last layer before the class scores. */
function firstLayer() {
  return report.layers.findLast((layer) => !layer.score) || report.layers[0];
}
