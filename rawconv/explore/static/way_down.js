// The way down, step by step: what each layer does and what is left after it, one at a time by a slider.

import { element, markCurrent } from "../page/elements.js";
import { formatNumber, formatPercent, formatSize } from "../page/numbers.js";
import { logLevels, meter } from "../page/steps.js";
import { makeCanvas } from "../page/tiles.js";
import { loaded } from "./loaded.js";
import { decodePng } from "./paint.js";
import { ask, Refused, Replaced } from "./server.js";
import { addField, change, state } from "./state.js";
import { registerView } from "./views.js";

addField("step"); // its number; "" is the last

registerView({
  id: "steps", title: "The way down",
  words: "From the unit back to the pixels, layer by layer: unpool, rectify, filter. Drag the slider, or use the arrow "
    + "keys on it. Grey is 0, light above it and dark below; each step has its own scale.",
  show,
});

const COLOURS = ["red", "green", "blue"];
const EXPLAINED = {
  filter: "Each value is multiplied with its filter and added up below: the transpose of the convolution.",
  rectify: "The rule of the rectifiers says what goes on.",
  unpool: "Each value returns to its switch, the place of the largest in its window when this picture went up.",
  norm: "The normalisation goes down by its derivative.",
};

let drawn = { key: "", steps: [] };

async function show(panel, { fields }) {
  const key = JSON.stringify([fields, loaded.net.net]);
  try {
    if (drawn.key !== key || !panel.childElementCount) {
      const { steps } = await ask("/api/steps", fields, { kind: "steps" });
      const images = await Promise.all(steps.map(({ png }) => decodePng(png)));
      drawn = { key, steps: steps.map((step, k) => ({ ...step, image: images[k] })) };
      fill(panel);
    }
    markStep(panel);
  } catch (error) {
    if (error instanceof Replaced) return;
    drawn = { key: "", steps: [] };
    if (!(error instanceof Refused)) throw error;
    panel.replaceChildren(element("p", { class: "soft" }, error.message));
  }
}

const lastStep = () => drawn.steps.length - 1;

function chosenStep() {
  const asked = Number(state.step);
  return state.step !== "" && asked >= 0 && asked <= lastStep() ? Math.floor(asked) : lastStep();
}

function choose(number, quietly) {
  change({ step: number === lastStep() ? "" : String(number) }, { quietly });
}

function fill(panel) {
  const slider = element("input", {
    type: "range", min: 0, max: lastStep(), step: 1, "aria-label": "Step of the way down", class: "scrub",
    oninput: (event) => choose(Number(event.target.value), true),
  });
  const list = element("ol", { class: "stairs" }, drawn.steps.map((step, k) => element("li", {},
    element("button", { type: "button", title: step.words, onclick: () => choose(k, false) },
      thumb(step, 0), element("b", {}, verbOf(step)), element("small", {}, step.node)))));
  panel.replaceChildren(slider, list, element("div", { class: "stair" }));
}

const verbOf = ({ words }) => words.split(",")[0];

/** Picture `k` of a step: 0 is all of its maps in one, then come its strongest. */
function thumb({ image, maps }, k, label) {
  const width = image.width / (1 + (maps || []).length), canvas = makeCanvas(width, image.height, label);
  canvas.getContext("2d").drawImage(image, k * width, 0, width, image.height, 0, 0, width, image.height);
  return canvas;
}

/** Show the chosen step, large. */
function markStep(panel) {
  const at = chosenStep(), step = drawn.steps[at], scrub = panel.querySelector(".scrub");
  scrub.value = at;
  scrub.setAttribute("aria-valuetext", `${step.words}, ${step.node}`);
  panel.querySelectorAll(".stairs button").forEach((button, k) => markCurrent(button, k === at && "step"));
  scrollToStep(panel.querySelector(".stairs"), at);
  panel.querySelector(".stair").replaceChildren(
    element("figure", {}, thumb(step, 0, `${step.node} after this step`), element("figcaption", {}, wholeWords(step))),
    element("div", { class: "what" },
      element("h3", {}, at ? `${at}. ${step.words}` : "The unit alone", element("small", {}, ` ${step.node}`)),
      element("p", {}, explain(step, at)), measures(at), strongest(step)));
}

/** Sideways only: the page stays where it is. */
function scrollToStep(list, at) {
  const item = list.children[at];
  list.scrollLeft = item.offsetLeft - list.offsetLeft - (list.clientWidth - item.offsetWidth) / 2;
}

function wholeWords({ shape, maps }) {
  if (!maps) return "The pixels: the projection.";
  return shape[0] * shape[1] === 1 ? `All ${shape[2]} values.` : `All ${shape[2]} maps: root of their summed squares.`;
}

function explain(step, at) {
  if (!at) return `Everything in ${formatSize(step.shape)} is 0 but what was chosen, which keeps its value.`;
  return `${EXPLAINED[verbOf(step)] || ""} What is left has the shape ${formatSize(step.shape)}.`;
}

function measures(at) {
  const levels = logLevels(drawn.steps.map(({ values }) => values.energy));
  const { energy, nonzero } = drawn.steps[at].values;
  return element("div", { class: "measures" },
    meter("squared norm", formatNumber(energy), levels[at]), meter("not zero", formatPercent(nonzero), nonzero));
}

/** Its strongest maps one by one, in one scale. */
function strongest(step) {
  return element("div", { class: "thumbs" }, (step.maps || []).map((channel, k) => {
    const words = step.shape[2] === 3 ? COLOURS[channel] : `map ${channel}`;
    return element("figure", {}, thumb(step, k + 1, words), element("figcaption", {}, words));
  }));
}
