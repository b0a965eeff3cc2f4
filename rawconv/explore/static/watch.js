// A run that is watched while it trains: its curves, the filters of its first layer, the chosen unit as it changes.

import { lineChart } from "../page/chart.js";
import { element } from "../page/elements.js";
import { makeCanvas } from "../page/tiles.js";
import { loaded } from "./loaded.js";
import { decodePng } from "./paint.js";
import { say } from "./say.js";
import { ask, Refused, Replaced } from "./server.js";
import { addField, change, state } from "./state.js";
import { onPainted, painted } from "./unit.js";
import { openView, registerView } from "./views.js";

addField("against"); // the run that is drawn beside the one watched

registerView({
  id: "run", title: "The run",
  words: "This net is training: its curves grow, and with each new checkpoint all of this page is drawn anew.",
  when: (net) => Boolean(net.run),
  show: (panel) => draw(panel),
});

const FRAMES = 12; // of the film of the chosen unit
let run = null, holder = null; // the answer of /api/run, and the panel of this view
let film = { key: "", frames: [] }; // of the chosen unit, by net

/** Follow the run that is watched, if one is.  showAgain: called when its net was replaced. */
export function watchRun(showAgain) {
  if (!loaded.net.run) return;
  const events = new EventSource("/api/run/events");
  events.addEventListener("hello", (event) => replaced(JSON.parse(event.data).net, showAgain));
  events.addEventListener("net", (event) => replaced(JSON.parse(event.data).net, showAgain));
  events.addEventListener("log", () => load());
  events.addEventListener("trouble", (event) => say(JSON.parse(event.data).sentence));
  onPainted(addFrame);
  if (painted()) addFrame(painted());
  load();
}

async function replaced(version, showAgain) {
  if (loaded.net.net === version) return;
  loaded.net.net = version;
  try {
    await load();
  } finally {
    showAgain();
  }
}

async function load() {
  try {
    const answer = await ask("/api/run", undefined, { kind: "run" });
    // kept as soon as it can be drawn whole, not before: a projection may be painted meanwhile
    if (answer.filters) answer.filters.image = await decodePng(answer.filters.png);
    run = answer;
    drawAgain();
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Replaced)) throw error;
  }
}

/** A projection was painted: the newest frame of the film, or the first of another unit's. */
function addFrame({ fields, answer, projection }) {
  const key = JSON.stringify({ ...fields, unit: answer.unit });
  if (film.key !== key) film = { key, frames: [] };
  film.frames = film.frames.filter(({ net }) => net !== answer.net).slice(1 - FRAMES);
  film.frames.push({ net: answer.net, epoch: run?.epochs.at(-1)?.epoch, image: projection,
    nothing: Boolean(answer.dead || answer.empty) });
  drawAgain();
}

function drawAgain() {
  if (holder && openView().id === "run") draw(holder);
}

function draw(panel) {
  holder = panel;
  if (!run) return;
  panel.replaceChildren(element("div", { class: "watch" },
    element("section", { class: "panel wide" }, element("h2", {}, run.name), chooseOther(), curves()),
    element("section", { class: "panel" }, element("h2", {}, "The chosen unit as it changes"), frames()),
    run.filters && element("section", { class: "panel" },
      element("h2", {}, `Filters of ${run.filters.layer}`), filterWall(run.filters))));
}

function chooseOther() {
  if (!run.other.length) return null;
  const options = ["", ...run.other.map(({ name }) => name)].map((name) => (
    element("option", { value: name, selected: name === state.against }, name || "no other run")));
  const onchange = (event) => change({ against: event.target.value });
  return element("label", { class: "pick" },
    element("span", {}, "Dotted, over it"), element("select", { onchange }, options));
}

function curves() {
  const other = run.other.find(({ name }) => name === state.against);
  const runs = [["", "", run.epochs], ...(other ? [[`${other.name} `, " dotted", other.epochs]] : [])];
  const epochs = [...new Set(runs.flatMap(([, , rows]) => rows.map(({ epoch }) => epoch)))].sort((a, b) => a - b);
  if (!epochs.length) return element("p", { class: "soft" }, "No epoch is finished yet; then the curves begin.");
  const lines = (name, key, of) => runs.flatMap(([whose, dotted, rows]) => (
    [["training", "train", "a"], ["validation", "val", "b"]].map(([word, part, kind]) => ({
      name: `${whose}${word}${name}`, label: dotted ? `other ${word}` : word, kind: kind + dotted,
      values: valuesAt(epochs, rows, `${part}_${key}`, of),
    }))));
  const beside = other ? `; dotted: ${other.name}` : "";
  return element("div", { class: "curves" },
    lineChart("Loss", `cross-entropy${beside}`, epochs, lines("", "loss", (value) => value)),
    lineChart("Error, %", `top-1${beside}`, epochs, lines(" top-1", "top1", (share) => 100 * (1 - share))));
}

/** A column of a log at these epochs; undefined where it has none. */
function valuesAt(epochs, rows, key, of) {
  const known = new Map(rows.filter((row) => Number.isFinite(row[key])).map((row) => [row.epoch, of(row[key])]));
  return epochs.map((epoch) => known.get(epoch));
}

function frames() {
  const tiles = film.frames.map(({ net, epoch, image, nothing }) => {
    const canvas = makeCanvas(image.width, image.height, `Projection by net ${net}`);
    canvas.getContext("2d").drawImage(image, 0, 0);
    return element("figure", { "data-net": net }, canvas,
      element("figcaption", {}, epoch === undefined ? "at first" : `epoch ${epoch}`, nothing && ": nothing"));
  });
  return [element("div", { class: "thumbs film" }, tiles),
    element("p", { class: "soft hint" }, "A tile for each checkpoint since this unit was chosen, in its own scale.")];
}

function filterWall({ count, tile: [height, width], columns, image }) {
  const tiles = Array.from({ length: count }, (_, n) => {
    const canvas = makeCanvas(width, height, `Filter ${n}`), row = Math.floor(n / columns), column = n % columns;
    canvas.getContext("2d").drawImage(image, column * width, row * height, width, height, 0, 0, width, height);
    return canvas;
  });
  return [element("div", { class: "wall" }, tiles),
    element("p", { class: "soft hint" }, "Grey is 0. Each filter has its own scale.")];
}
