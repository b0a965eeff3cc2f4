// What the map likes: its nine strongest patches of the data set, and their projections.

import { byId, element } from "../page/elements.js";
import { formatNumber } from "../page/numbers.js";
import { bringKnown } from "./bring.js";
import { className, whenChanged } from "./loaded.js";
import { ask, Refused, Replaced } from "./server.js";
import { addField, change, state } from "./state.js";
import { findRank } from "./unit.js";
import { parseUnit } from "./units.js";

addField("face", "patch"); // or projection
const COUNT = 9, WAIT = 400; // milliseconds between questions, while the data set is scanned
let asked = null;

const wanted = () => {
  const { layer, map } = parseUnit(state.u);
  return { layer, channel: map, count: COUNT };
};

/** Called after the projection was painted, which comes first. */
export const updateLikes = whenChanged(wanted, load);

async function load() {
  const question = wanted(), mine = (asked = {});
  if (question.channel === undefined) return;
  try {
    for (;;) {
      const answer = await ask("/api/likes", question, { kind: "likes" });
      if (asked !== mine) return;
      if (answer.ready) {
        fill(answer.patches);
        return await findRank();
      }
      progress(answer);
      await new Promise((done) => setTimeout(done, WAIT));
      if (asked !== mine) return;
    }
  } catch (error) {
    if (error instanceof Replaced) return;
    updateLikes.again();
    if (!(error instanceof Refused)) throw error;
    byId("likes").dataset.none = "yes";
    byId("likes-said").setAttribute("aria-live", "polite");
    byId("likes-said").textContent = error.message;
  }
}

function progress({ done, total }) {
  byId("nine").replaceChildren(...Array.from({ length: COUNT }, () => element("span", { class: "tile waiting" })));
  byId("likes-said").setAttribute("aria-live", "off"); // it changes twice a second
  byId("likes-said").textContent = total ? `Looking through the data set: ${done} of ${total} pictures.`
    : "Looking through the data set …";
}

function fill(patches) {
  delete byId("likes").dataset.none;
  byId("likes-said").setAttribute("aria-live", "polite");
  const alive = patches.filter(({ dead }) => !dead);
  byId("likes-said").textContent = alive.length ? "" : "This map is never above 0 in the data set.";
  byId("nine").replaceChildren(...alive.map(makeTile));
  byId("nine").dataset.unit = `${wanted().layer}:${wanted().channel}`;
}

function makeTile(patch, k) {
  const name = className(patch.class), value = formatNumber(patch.value);
  const words = `Strongest ${k + 1}: ${name && `${name}, `}activation ${value}`;
  return element("button", {
    type: "button", class: "tile", title: `${words}. Click to look at the whole picture.`, "aria-label": words,
    onclick: () => bringKnown(patch.id),
  },
  element("img", { class: "patch", alt: "", src: `data:image/png;base64,${patch.png}` }),
  element("img", { class: "projection", alt: "", src: `data:image/png;base64,${patch.projection}` }));
}

/** Patches or projections. */
export function markFace() {
  byId("nine").dataset.face = state.face;
  for (const button of byId("faces").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.value === state.face));
  }
}

export function listenForLikes() {
  for (const button of byId("faces").querySelectorAll("button")) {
    button.addEventListener("click", () => change({ face: button.dataset.value }));
  }
}
