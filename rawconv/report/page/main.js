// The page begins here: it fills the head, listens, and shows what the address says.

import { report } from "./data.js";
import { byId, element, markCurrent } from "./elements.js";
import { experimentsView } from "./experiments.js";
import { fillDetail, showUnit } from "./feature_map.js";
import { fillGallery, markCard } from "./gallery.js";
import { keyPressed } from "./keyboard.js";
import { netView } from "./net.js";
import { formatCount } from "./numbers.js";
import { mapsFound, offerClasses } from "./search.js";
import { narrow, onSelect, readAddress, select, selection } from "./selection.js";

const VIEWS = { net: netView, experiments: experimentsView }; // those beside the feature maps

function fillHead() {
  const { model, data, split, pictures, layers, experiments } = report;
  byId("title").textContent = model;
  byId("subtitle").textContent =
    `what its maps respond to in ${formatCount(pictures)} ${split} pictures of ${data}`;
  const net = element("span", {}, element("i", {}, "the "), "net");
  byId("layers").append(...layers.map(({ name, maps }) => headLink(name, name, maps.length)), headLink("net", net));
  if (experiments.length) byId("layers").append(headLink("experiments", "experiments", experiments.length));
}

function headLink(name, content, count) {
  const attributes = { href: `#${encodeURIComponent(name)}`, "data-layer": name };
  return element("a", attributes, content, count !== undefined && element("small", {}, ` ${count}`));
}

function show(before) {
  const { view, layer, map, rank } = selection;
  document.body.dataset.view = view;
  byId("maps").hidden = view in VIEWS;
  for (const name of Object.keys(VIEWS)) byId(name).hidden = view !== name;
  markLink(view in VIEWS ? view : layer.name);
  if (view in VIEWS) return fillView(view);
  if (before.layer !== layer) fillGallery();
  if (before.map !== map || before.layer !== layer) showMap();
  else if (before.rank !== rank) showUnit();
}

function markLink(name) {
  for (const link of byId("layers").children) {
    const current = link.dataset.layer === name;
    markCurrent(link, current && "page");
    if (current) link.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}

function fillView(name) {
  if (!byId(name).childElementCount) byId(name).append(...VIEWS[name]());
}

function showMap() {
  markCard();
  fillDetail();
  if (narrow.matches) scrollTo(0, 0);
}

/** The search box was changed: where the selected map no longer matches, select the first that does. */
function searched() {
  fillGallery();
  const { layer, map } = selection, found = mapsFound(layer);
  if (!narrow.matches && !found.includes(map)) {
    if (found.length) select(layer, found[0], 0, { quietly: true });
  } else if (map && !map.dead) showUnit();
}

function listen() {
  byId("search").addEventListener("input", searched);
  byId("sort").addEventListener("change", fillGallery);
  byId("face").addEventListener("change", fillGallery);
  addEventListener("hashchange", readAddress);
  addEventListener("popstate", readAddress);
  addEventListener("keydown", keyPressed);
  narrow.addEventListener("change", readAddress);
  onSelect(show);
}

fillHead();
offerClasses();
listen();
readAddress();
