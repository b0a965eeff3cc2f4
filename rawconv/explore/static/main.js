// The page begins here: it asks for the net, chooses a first picture and unit, and shows what the address says.

import { byId } from "../page/elements.js";
import "./way_down.js";
import "./beside.js";
import "./why.js";
import "./occluder.js";
import { watchRun } from "./watch.js";
import { bringKnown, listenForPictures } from "./bring.js";
import { listenForBrowser, makeBrowser } from "./browse.js";
import { fillHelp, keyPressed } from "./keyboard.js";
import { listenForLikes, markFace, updateLikes } from "./likes.js";
import { fieldsOf, forget, layerOf, loaded } from "./loaded.js";
import { listenForMaps, markMap, updateMaps, updateOrder } from "./maps.js";
import { forgetImages } from "./paint.js";
import { updatePictures } from "./pictures.js";
import { makeRules, markRules } from "./rules.js";
import { listenForSaving } from "./save.js";
import { ask, onConnection, Refused } from "./server.js";
import { canRedo, canUndo, change, onChange, readAddress, redo, state, undo } from "./state.js";
import { makeStrip, markLayer } from "./strip.js";
import { listenForUnit, onPainted, painted, updateOver, updatePlace, updateUnit } from "./unit.js";
import { parseUnit } from "./units.js";
import { makeViews, markView, showView } from "./views.js";
import { listenForWebcam } from "./webcam.js";

/** Show the state.  The projection is asked for first: it is what one waits for. */
function show() {
  updateUnit();
  markRules();
  markLayer();
  markMap();
  markView();
  markFace();
  updateOver();
  byId("undo").disabled = !canUndo();
  byId("redo").disabled = !canRedo();
  updatePictures();
  updateMaps()?.then(updatePlace);
  updateOrder();
  updatePlace();
  // what is painted stays: only the view below may have changed
  if (isPainted()) showRest(painted());
}

const isPainted = () => painted() && JSON.stringify(painted().fields) === JSON.stringify(fieldsOf());

/** What is asked after a projection was painted. */
function showRest({ fields, answer, picture, projection }) {
  updateLikes();
  showView({ net: loaded.net, picture: loaded.picture, image: picture, projection, unit: answer.unit, answer, fields });
}

/** Where the address names none, a first picture and a first unit: never an empty page. */
async function begin() {
  const { pictures } = loaded.net, [split] = Object.keys(loaded.data.splits);
  if (!state.p && pictures.length) change({ p: pictures.join(",") }, { quietly: true });
  else if (!state.p && split) await bringKnown(`${split}:0`, { quietly: true });
  if (loaded.net.run && !location.hash.includes("view=")) change({ view: "run" }, { quietly: true });
  if (!layerOf(parseUnit(state.u).layer)) change({ u: firstLayer().name }, { quietly: true });
}

/** The last layer that has positions: its units see much, and each shows where it looks. */
function firstLayer() {
  const { layers } = loaded.net;
  return layers.findLast(({ shape, kind }) => shape[0] > 1 && kind === "conv") || layers.at(-1);
}

async function loadNet() {
  [loaded.net, loaded.data] = await Promise.all([ask("/api/net"), ask("/api/data")]);
  const { net: { model, weights }, data: { name, trouble } } = loaded;
  byId("title").textContent = model;
  byId("subtitle").textContent = [weights, name].filter(Boolean).join(" · ");
  document.title = `${model} · rawconv-explore`;
  byId("no-data").hidden = !trouble;
  byId("no-data").textContent = trouble;
  makeStrip();
  makeRules();
  makeViews(loaded.net);
  makeBrowser(loaded.data);
}

/** The server is gone, or back: then another net may be there. */
async function connected(there) {
  byId("gone").hidden = there;
  if (!there) return;
  await loadNet();
  showAgain();
}

/** Ask for all that is shown once more: the net is another one. */
function showAgain() {
  forget();
  forgetImages();
  for (const update of [updateUnit, updatePictures, updateMaps, updateLikes]) update.again();
  show();
}

function listen() {
  for (const event of ["hashchange", "popstate"]) addEventListener(event, readAddress);
  addEventListener("keydown", keyPressed);
  byId("undo").addEventListener("click", undo);
  byId("redo").addEventListener("click", redo);
  byId("open-help").addEventListener("click", () => byId("help").showModal());
  for (const listener of [listenForPictures, listenForBrowser, listenForWebcam, listenForMaps, listenForUnit,
    listenForLikes, listenForSaving]) listener();
  onConnection(connected);
  onPainted(showRest);
}

async function start() {
  fillHelp();
  listen();
  try {
    await loadNet();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    byId("gone").hidden = false;
    return;
  }
  readAddress();
  await begin();
  onChange(show);
  show();
  watchRun(showAgain);
  document.body.dataset.ready = "yes";
}

start();
