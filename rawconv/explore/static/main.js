// The page begins here: it asks for the net, chooses a first picture and unit, and shows what the address says.

import { byId } from "../page/elements.js";
import "./way_down.js";
import "./beside.js";
import "./why.js";
import "./occluder.js";
import { watchRun } from "./watch.js";
import { listenForPictures } from "./bring.js";
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
import { listenForUnit, onPainted, painted, updateOver, updatePlace, updateSeen, updateUnit } from "./unit.js";
import { parseUnit } from "./units.js";
import { makeViews, markView, showView } from "./views.js";
import { listenForWebcam } from "./webcam.js";

/** Show the state.  The projection is asked for first: it is what one waits for. */
function show() {
  updateUnit();
  updateSeen();
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

/** Where the address names none, a first picture and a first unit: never an empty page.  data: a promise. */
async function begin(data) {
  const { pictures } = loaded.net;
  if (!state.p && pictures.length) change({ p: pictures.join(",") }, { quietly: true });
  else if (!state.p) {
    await data;
    const [split] = Object.keys(loaded.data?.splits ?? {});
    if (split) change({ p: `${split}:0` }, { quietly: true });
  }
  if (loaded.net.run && !location.hash.includes("view=")) change({ view: "run" }, { quietly: true });
  if (!layerOf(parseUnit(state.u).layer)) change({ u: firstLayer().name }, { quietly: true });
}

/** The last layer that has positions: its units see much, and each shows where it looks. */
function firstLayer() {
  const { layers } = loaded.net;
  return layers.findLast(({ shape, kind }) => shape[0] > 1 && kind === "conv") || layers.at(-1);
}

async function loadNet() {
  loaded.net = await ask("/api/net");
  const { model, weights } = loaded.net;
  byId("title").textContent = model;
  byId("subtitle").textContent = weights;
  document.title = `${model} · rawconv-explore`;
  makeStrip();
  makeRules();
  makeViews(loaded.net);
}

/** The data set, which may take a while to open: nothing but its own parts of the page waits for it. */
async function loadData() {
  loaded.data = await ask("/api/data");
  const { name, trouble } = loaded.data;
  byId("subtitle").textContent = [loaded.net.weights, name].filter(Boolean).join(" · ");
  byId("no-data").hidden = !trouble;
  byId("no-data").textContent = trouble;
  makeBrowser(loaded.data);
}

/** The server is gone, or back: then another net may be there. */
async function connected(there) {
  byId("gone").hidden = there;
  if (!there) return undefined;
  if (!loaded.net) return location.reload(); // the page had not begun
  await loadNet();
  showAgain();
  return loadData();
}

/** Ask for all that is shown once more: the net is another one. */
function showAgain() {
  forget();
  forgetImages();
  for (const update of [updateUnit, updatePictures, updateMaps, updateLikes]) update.again();
  show();
}

/** What needs the net begins when it is there. */
function listen() {
  for (const event of ["hashchange", "popstate"]) addEventListener(event, readAddress);
  addEventListener("keydown", keyPressed);
  byId("undo").addEventListener("click", undo);
  byId("redo").addEventListener("click", redo);
  byId("open-help").addEventListener("click", () => byId("help").showModal());
  for (const listener of [listenForBrowser, listenForWebcam, listenForMaps, listenForUnit, listenForLikes,
    listenForSaving]) listener();
  onPainted(showRest);
}

/** Say in the place of the page's notices what the server refuses; what else fails is a bug. */
function sayRefused(error) {
  if (!(error instanceof Refused)) throw error;
  byId("gone").textContent = error.message;
  byId("gone").hidden = false;
}

async function start() {
  fillHelp();
  listenForPictures();
  onConnection(connected);
  try {
    await loadNet();
  } catch (error) {
    byId("strip").replaceChildren();
    return sayRefused(error);
  }
  listen();
  readAddress();
  await begin(loadData().catch(sayRefused));
  await updateSeen(); // before the projection: computing it takes both the server and the browser
  onChange(show);
  show();
  watchRun(showAgain);
  document.body.dataset.ready = "yes";
  return undefined;
}

start();
