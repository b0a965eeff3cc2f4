// One line at the foot of the page for what happened: read out, and gone after a while.

import { byId } from "../page/elements.js";

const SHOWN = 6000; // milliseconds
let hiding = null;

/** Say a sentence; "" takes the last one away. */
export function say(words) {
  clearTimeout(hiding);
  byId("said").textContent = words;
  if (words) hiding = setTimeout(() => say(""), SHOWN);
}
