// The pictures: which are held beside each other, which one is looked at, and what the net takes it for.

import { byId, element, markCurrent } from "../page/elements.js";
import { formatPercent } from "../page/numbers.js";
import { meter } from "../page/steps.js";
import { chosenPicture, className, loaded, loadPicture, pictureAddress, pictureIds, whenChanged } from "./loaded.js";
import { Refused } from "./server.js";
import { change, state } from "./state.js";

const BARS = 5;

/** Look at picture `number` of those held; its unit is then the strongest of the same map. */
export function lookAt(number) {
  const count = pictureIds().length;
  if (number >= 0 && number < count) change({ on: number ? String(number) : "", u: withoutPlace() });
}

const withoutPlace = () => state.u.replace(/:\d+:\d+$/, "");

/** Hold a picture and look at it. */
export function addPicture({ id }, options) {
  const ids = pictureIds(), at = ids.indexOf(id);
  if (at >= 0) return lookAt(at);
  const on = ids.length ? String(ids.length) : "";
  return change({ p: [...ids, id].join(","), on, u: withoutPlace() }, options);
}

export function removePicture(number) {
  const ids = pictureIds(), on = Number(state.on) || 0;
  if (ids.length < 2) return;
  const left = ids.filter((_, k) => k !== number), to = Math.min(left.length - 1, on > number ? on - 1 : on);
  const same = number !== on;
  change({ p: left.join(","), on: to ? String(to) : "", u: same ? state.u : withoutPlace() });
}

export const updatePictures = whenChanged(() => [state.p, state.on], showPictures);

async function showPictures() {
  const ids = pictureIds(), chosen = chosenPicture();
  const cards = ids.map((id, k) => element("li", {}, makeCard(id, k, ids.length)));
  byId("held").replaceChildren(...cards);
  if (!ids.length) return showNone();
  const known = await Promise.allSettled(ids.map(loadPicture));
  if (chosen !== chosenPicture() || ids.join() !== pictureIds().join()) return;
  known.forEach(({ value, reason }, k) => fillCard(cards[k], value, reason));
  const { value, reason } = known[ids.indexOf(chosen)] || {};
  loaded.picture = value || null;
  byId("classes").replaceChildren(...(value ? classBars(value) : [element("li", { class: "soft" }, wordsOf(reason))]));
  byId("verdict").textContent = value ? verdict(value) : "";
  offerWhy(value);
}

function showNone() {
  loaded.picture = null;
  const words = "No picture yet: drop one on the page, or open a file.";
  byId("classes").replaceChildren(element("li", { class: "soft" }, words));
  byId("verdict").textContent = "";
  offerWhy(null);
}

/** The way to the view that says why this class, and not the true one, or the second. */
function offerWhy(picture) {
  const button = byId("ask-why"), [first, second] = picture?.classes ?? [];
  button.hidden = !second;
  if (!second) return;
  const missed = picture.truth != null && picture.truth !== first[0];
  button.textContent = `Why ${first[1]}, and not ${missed ? className(picture.truth) : second[1]}?`;
  button.onclick = () => {
    change({ view: "why", for: "", versus: "", of: "" });
    byId("views").scrollIntoView();
    byId("tab-why").focus({ preventScroll: true });
  };
}

const wordsOf = (reason) => (reason instanceof Refused ? reason.message : "This picture is no longer there.");

function makeCard(id, number, count) {
  const picture = element("img", { src: pictureAddress(id, "/image.png"), alt: "", width: 64, height: 64 });
  const card = element("button", { type: "button", class: "card picture", onclick: () => lookAt(number) },
    element("span", { class: "frame" }, picture), element("span", { class: "name" }, "…"));
  markCurrent(card, id === chosenPicture() && "true");
  if (count < 2) return [card];
  const remove = element("button", {
    type: "button", class: "remove", "aria-label": `Take picture ${number + 1} away`, title: "Take it away",
    onclick: () => removePicture(number),
  }, "×");
  return [card, remove];
}

function fillCard(holder, picture, reason) {
  const card = holder.firstChild, name = card.querySelector(".name");
  name.textContent = picture ? picture.name : "gone";
  card.title = picture ? `${picture.name}: ${verdict(picture)}` : wordsOf(reason);
  card.setAttribute("aria-label", card.title);
}

/** "Taken for cat (81 %), and it is one." */
function verdict({ classes, truth }) {
  if (!classes.length) return "";
  const [number, name, p] = classes[0], taken = `Taken for ${name} (${formatPercent(p)})`;
  if (truth == null) return `${taken}.`;
  if (truth === number) return `${taken}, which it is.`;
  return `${taken}, but it is ${className(truth)}.`;
}

function classBars({ classes, truth }) {
  return classes.slice(0, BARS).map(([number, name, p]) => {
    const word = number === truth ? `${name} (true class)` : name;
    return element("li", { "data-class": number }, meter(word, formatPercent(p), p));
  });
}
