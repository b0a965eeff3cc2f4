// The keys: arrows move among cards, tiles and maps; Enter, Escape and / move between them and the search.

import { byId } from "./elements.js";
import { focusUnits, moveInGrid } from "./feature_map.js";
import { cards, moveInGallery, moveMap, showGallery } from "./gallery.js";
import { searchFor } from "./search.js";
import { narrow, selection } from "./selection.js";

/** A listener for keydown; only the gallery and the feature map have keys. */
export function keyPressed(event) {
  const modified = event.altKey || event.ctrlKey || event.metaKey;
  if (modified || !["gallery", "map"].includes(selection.view)) return;
  const focused = document.activeElement || document.body;
  if (event.key === "Escape") leave(event, focused);
  else if (focused.matches("input, select")) enterSearch(event, focused);
  else if (event.key === "/") startSearch(event);
  else keyOn(event, focused);
}

function keyOn(event, focused) {
  if (focused.matches(".card")) keyOnCard(event, focused);
  else if (focused.matches(".tile")) moveInGrid(event, focused);
  else if (!focused.closest(".scroll, nav")) keyOnPage(event);
}

function leave(event, focused) {
  event.preventDefault();
  if (focused === byId("search") && focused.value) searchFor("");
  else showGallery();
}

function enterSearch(event, focused) {
  const [first] = cards();
  if (event.key !== "Enter" || focused !== byId("search") || !first) return;
  event.preventDefault();
  first.focus();
}

function startSearch(event) {
  event.preventDefault();
  if (narrow.matches && selection.view === "map") showGallery();
  byId("search").focus();
}

function keyOnCard(event, card) {
  if (event.key !== "Enter") return moveInGallery(event, card);
  event.preventDefault();
  card.click();
  focusUnits();
}

function keyOnPage(event) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by) return;
  event.preventDefault();
  moveMap(by);
}
