// The same unit side by side: by each rule, under each control, in each picture that is held.

import { element, markCurrent } from "../page/elements.js";
import { formatNumber } from "../page/numbers.js";
import { fieldsOf, loaded, loadPicture, pictureAddress, pictureIds } from "./loaded.js";
import { decodePng, loadImage, paintAlone, paintOver } from "./paint.js";
import { choices, patchOf } from "./rules.js";
import { ask, Refused, Replaced } from "./server.js";
import { addressOf, change, state } from "./state.js";
import { registerView } from "./views.js";

registerView({
  id: "beside", title: "Side by side",
  words: "The same unit in each of your pictures, by each rule and under each control. Each tile has its own scale. "
    + "Click one to look at it.",
  show,
});

let drawn = "", asking = null;

async function show(panel, { fields }) {
  const rows = [picturesRow(), ...rulesRows()];
  const key = JSON.stringify([fields, loaded.net.net, rows.map(({ tiles }) => tiles)]);
  if (key === drawn && panel.childElementCount) return;
  drawn = key;
  const mine = (asking = {}), figures = rows.map(makeRow);
  panel.replaceChildren(...figures);
  for (const [k, { tiles }] of rows.entries()) {
    for (const [n, tile] of tiles.entries()) {
      if (asking !== mine || !(await fillTile(figures[k].querySelectorAll(".alike")[n], tile))) return;
    }
  }
}

/** {title, tiles: [{words, patch: of the state, question: of the server, picture: drawn under it}]} */
function picturesRow() {
  const map = state.u.replace(/:\d+:\d+$/, ""), on = Number(state.on) || 0;
  const tiles = pictureIds().map((id, k) => {
    const unit = k === on ? state.u : map;
    return { patch: { on: k ? String(k) : "", u: unit }, question: fieldsOf({ picture: id, unit }), picture: id };
  });
  return { title: "In your pictures", tiles };
}

function rulesRows() {
  const keys = { relu: "relu", switches: "shared_switches", lrn: "lrn", control: "control" };
  return choices().map(({ field, title, values }) => ({
    title,
    tiles: values.map(([value, words]) => {
      const patch = patchOf(field, value), { other = state.other } = patch;
      return { words, patch, question: fieldsOf({ [keys[field]]: value || null, other: other || null }) };
    }).filter(({ question }) => question.control !== "other-switches" || question.other),
  }));
}

function makeRow({ title, tiles }) {
  return element("section", {}, element("h3", {}, title),
    element("div", { class: "alikes" }, tiles.map(({ words, patch }) => {
      const link = element("a", { class: "alike", href: addressOf(patch), onclick: (event) => {
        event.preventDefault();
        change(patch);
      } }, element("canvas", {}), element("b", {}, words || "…"), element("small", {}, "…"));
      markCurrent(link, Object.entries(patch).every(([field, value]) => state[field] === value) && "true");
      return link;
    })));
}

/** Ask for a tile and paint it; false where somebody else asks by now. */
async function fillTile(link, { question, picture }) {
  const canvas = link.querySelector("canvas"), note = link.querySelector("small");
  try {
    const answer = await ask("/api/project", question, { kind: "beside" });
    const projection = await decodePng(answer.png);
    if (picture) {
      const image = await loadImage(pictureAddress(picture, "/image.png"));
      paintOver(canvas, image, { shown: answer.shown, box: answer.box, projection }, 280);
      link.querySelector("b").textContent = (await loadPicture(picture)).name;
    } else paintAlone(canvas, projection, 280);
    note.textContent = answer.dead ? "0 here" : `${answer.unit}: ${formatNumber(answer.value)}`;
    link.dataset.sha256 = answer.sha256;
    link.title = answer.dead || answer.unit;
    return true;
  } catch (error) {
    if (error instanceof Replaced) return false;
    if (!(error instanceof Refused)) throw error;
    note.textContent = error.message;
    return true;
  }
}
