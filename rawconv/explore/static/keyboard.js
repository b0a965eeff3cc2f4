// The keys, and the table of them in the help.

import { byId, element } from "../page/elements.js";
import { openBrowser } from "./browse.js";
import { moveInCards, stepMap } from "./maps.js";
import { lookAt, removePicture } from "./pictures.js";
import { nextRule } from "./rules.js";
import { copyLink, savePicture } from "./save.js";
import { change, redo, state, undo } from "./state.js";
import { stepLayer } from "./strip.js";
import { movePlace, toggleWhole } from "./unit.js";
import { stepView } from "./views.js";
import { openWebcam } from "./webcam.js";

const KEYS = [
  ["[", "the layer below", () => stepLayer(-1)],
  ["]", "the layer above", () => stepLayer(1)],
  ["n", "the next map", () => stepMap(1)],
  ["p", "the previous map", () => stepMap(-1)],
  ["a", "sort by activation or number", () => change({ sort: state.sort === "number" ? "activation" : "number" })],
  ["h", "the whole map, or its strongest place", toggleWhole],
  ["o", "the projection over the picture, or not", () => change({ over: state.over === "1" ? "0" : "1" })],
  ["r", "the next rule of the rectifiers", () => nextRule("relu")],
  ["s", "the next rule of shared switches", () => nextRule("switches")],
  ["l", "the next rule of LRN", () => nextRule("lrn")],
  ["c", "the next control", () => nextRule("control")],
  ["t", "the next view below", () => stepView(1)],
  ["f", "a picture from a file", () => byId("file").click()],
  ["w", "a picture of the webcam", openWebcam],
  ["b", "browse the data set", openBrowser],
  ["x", "take this picture away", () => removePicture(Number(state.on) || 0)],
  ["y", "copy the link", copyLink],
  ["e", "save the picture", savePicture],
  ["u", "undo", undo],
  ["U", "redo", redo],
  ["?", "this help", () => byId("help").showModal()],
];
const OTHERS = [
  ["1 … 9", "look at the picture of this number"],
  ["← → ↑ ↓", "on a map: to its neighbour; on its positions or the picture: to the next position"],
  ["Esc", "close a dialog"],
];
const LISTENERS = new Map(KEYS.map(([key, , listener]) => [key, listener]));

/** A listener for keydown. */
export function keyPressed(event) {
  const focused = document.activeElement || document.body;
  if (document.querySelector("dialog[open]") || focused.matches("input:not([type=range]), select")) return;
  if (event.ctrlKey || event.metaKey) undoKey(event);
  else if (!event.altKey && !moved(event, focused)) keyOnPage(event);
}

/** Ctrl+Z and its opposite, as everywhere. */
function undoKey(event) {
  if (event.key.toLowerCase() !== "z") return;
  event.preventDefault();
  if (event.shiftKey) redo();
  else undo();
}

/** An arrow key on a map or on positions. */
function moved(event, focused) {
  if (focused.matches("#cards .card")) return moveInCards(event, focused);
  return focused.matches("#place, #seen-button") && movePlace(event);
}

function keyOnPage(event) {
  if (/^[1-9]$/.test(event.key)) return lookAt(Number(event.key) - 1);
  const listener = LISTENERS.get(event.key);
  if (!listener) return undefined;
  event.preventDefault();
  return listener();
}

/** The table of keys in the help. */
export function fillHelp() {
  const row = ([key, words]) => element("div", {},
    element("dt", {}, element("kbd", {}, key)), element("dd", {}, words));
  byId("keys").replaceChildren(...[...KEYS, ...OTHERS].map(row));
}
