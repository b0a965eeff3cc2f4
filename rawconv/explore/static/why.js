// Why this class and not that one: the scores, two classes to compare, and the units that speak for either.

import { classBars } from "../page/class_bars.js";
import { contributionsView } from "../page/contributions.js";
import { element } from "../page/elements.js";
import { chosenPicture, className, loadPicture, loaded, pictureAddress } from "./loaded.js";
import { loadImage, paintPatch } from "./paint.js";
import { ask, Refused, Replaced } from "./server.js";
import { addField, change, state } from "./state.js";
import { registerView } from "./views.js";

addField("for"); // the numbers of the two classes; "" for the guessed one and the true one (or the second)
addField("versus");
addField("of"); // the layer; "" for the last

registerView({
  id: "why", title: "Why this class",
  words: "Pick two classes: the units of the last layers that speak most for one against the other, each with its "
    + "projection and the patches that its map likes. Each tile has its own scale.",
  show, when: ({ layers }) => layers.some(({ scores }) => scores),
});

const SHOWN = 5, WAIT = 400; // units of either side; milliseconds between questions while the data set is scanned
let drawn = ""; // what the panel shows: a newer key ends what an older one still loads

/** The two classes to compare, by number: those of the address, else the guessed and the true or the second one. */
function chosen({ classes, truth }) {
  const [[guessed], [second] = []] = classes, first = numberOf(state.for) ?? guessed;
  const other = numberOf(state.versus) ?? [truth, guessed, second].find((one) => one != null && one !== first);
  return [first, other === first ? [guessed, second].find((one) => one !== first) : other];
}

const numberOf = (text) => (text !== "" && Number(text) < loaded.net.classes.length ? Number(text) : undefined);

async function show(panel, { fields }) {
  const picture = await loadPicture(fields.picture); // it may still be on its way
  if (!picture.classes.length || picture.id !== chosenPicture()) return;
  const [first, other] = chosen(picture), key = JSON.stringify([picture.id, first, other, state.of, loaded.net.net]);
  if (drawn === key && panel.childElementCount) return;
  drawn = key;
  try {
    const question = { picture: picture.id, guessed: first, true: other, layer: state.of };
    const answer = await ask("/api/why", question, { kind: "why" });
    if (drawn === key) fill(panel, picture, answer, key);
  } catch (error) {
    if (drawn === key) drawn = "";
    if (error instanceof Replaced) return;
    if (!(error instanceof Refused)) throw error;
    panel.replaceChildren(element("p", { class: "soft" }, error.message));
  }
}

function fill(panel, picture, answer, key) {
  const names = { guessed: className(answer.guessed), true: className(answer.true) }, waiting = [];
  const faces = (one) => {
    const holder = element("div", { class: "faces" });
    waiting.push([one, holder]);
    return holder;
  };
  const focused = document.activeElement?.id;
  panel.replaceChildren(
    element("div", { class: "why-head" },
      element("div", {}, element("h3", {}, "Its scores"), classBars(
        picture.classes.map(([number, name, p, logit], k) => ({ number, name, p, logit, rank: k + 1 })),
        { guessed: answer.guessed, true: answer.true, words: roles(picture, answer) })),
      element("div", { class: "picks" },
        classPick("why-for", "Why", answer.guessed, (value) => compare(value, answer.true, answer)),
        classPick("why-against", "and not", answer.true, (value) => compare(answer.guessed, value, answer)),
        layerPick(answer))),
    element("section", { class: "why", "aria-label": "Contributions" },
      ...contributionsView(answer, names, faces, SHOWN)));
  panel.dataset.why = key;
  if (focused && panel.querySelector(`#${CSS.escape(focused)}`)) panel.querySelector(`#${CSS.escape(focused)}`).focus();
  loadFaces(picture, answer.layer, waiting, key);
}

/** Compare these two; one class that was chosen twice takes the place of the other. */
function compare(first, other, answer) {
  const both = Number(first) === Number(other) ? [answer.true, answer.guessed] : [first, other];
  change({ for: String(both[0]), versus: String(both[1]) });
}

/** What the bars say of the two classes: what they are, where they are not just the ones that were picked. */
function roles({ classes, truth }, answer) {
  const role = (number) => (number === classes[0][0] ? "guessed" : number === truth ? "true class" : "compared");
  return [role(answer.guessed), role(answer.true)];
}

function classPick(id, words, number, choose) {
  const option = (name, k) => element("option", { value: k, selected: k === number }, name);
  return pick(id, words, loaded.net.classes.map(option), choose);
}

function layerPick({ layer, layers }) {
  const names = layers.includes(layer) ? layers : [layer, ...layers];
  const options = names.map((name) => element("option", { value: name, selected: name === layer }, name));
  return pick("why-layer", "units of", options, (value) => change({ of: value === layers[0] ? "" : value }));
}

function pick(id, words, options, choose) {
  return element("label", { class: "pick" }, element("span", {}, words),
    element("select", { id, onchange: (event) => choose(event.target.value) }, options));
}

/** One unit after the other: its projection and patch, then what its map likes. */
async function loadFaces(picture, layer, waiting, key) {
  const image = await loadImage(pictureAddress(picture.id, "/image.png"));
  for (const load of [projection, liked]) {
    for (const [one, holder] of waiting) {
      if (drawn !== key || !await loadOne(load, one, holder, { picture, layer, image, key })) return;
    }
  }
  if (drawn === key) waiting[0]?.[1].closest(".why").setAttribute("data-loaded", "yes");
}

/** Whether it makes sense to go on with the others: what maps like is refused for all of them. */
async function loadOne(load, one, holder, about) {
  try {
    await load(one, holder, about);
  } catch (error) {
    if (!(error instanceof Refused) && !(error instanceof Replaced)) throw error;
    if (load === liked) return false;
    if (error instanceof Refused) holder.append(element("p", { class: "soft" }, error.message));
  }
  return true;
}

async function projection(one, holder, { picture, image }) {
  const answer = await ask("/api/project", { picture: picture.id, unit: one.unit });
  const [top, left, bottom, right] = answer.shown;
  const whole = bottom - top === image.height && right - left === image.width;
  const shown = element("img", { alt: `Projection of ${one.unit}`, src: `data:image/png;base64,${answer.png}` });
  const button = element("button", {
    type: "button", class: "tile", title: `Look at ${one.unit}`, "aria-label": `Look at ${one.unit}`,
    onclick: () => change({ u: one.unit }),
  }, shown);
  holder.append(figure("projection", button));
  if (whole) return;
  const canvas = element("canvas", { role: "img", "aria-label": `The pixels that ${one.unit} saw` });
  paintPatch(canvas, image, answer.shown, 192);
  holder.append(figure("patch", canvas));
}

async function liked(one, holder, { layer, key }) {
  const channel = Number(one.unit.slice(layer.length + 1).split(":")[0]);
  for (;;) {
    const answer = await ask("/api/likes", { layer, channel, count: 9 });
    if (drawn !== key) return;
    if (answer.ready) {
      const tiles = answer.patches.filter(({ dead }) => !dead).map(({ png, class: number }, k) => element("img", {
        alt: `What its map likes, ${k + 1}: ${className(number)}`, src: `data:image/png;base64,${png}`,
      }));
      if (tiles.length) holder.append(figure("its map likes", element("div", { class: "liked" }, tiles)));
      return;
    }
    await new Promise((done) => setTimeout(done, WAIT));
    if (drawn !== key) return;
  }
}

const figure = (caption, content) => element("figure", {}, content, element("figcaption", {}, caption));
