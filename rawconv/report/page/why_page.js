// Why a net takes given pictures for what it takes them for, in one file: the page begins here.

import { classBars } from "./class_bars.js";
import { contributionsView } from "./contributions.js";
import { report } from "./data.js";
import { byId, element, panel, svg } from "./elements.js";
import { heatRange, lowestPlace, paintHeat } from "./heat.js";
import { formatPercent, formatSize } from "./numbers.js";
import { canvasFor, drawBox, onDrawn } from "./tiles.js";

const { model, weights, pictures, classes, picture: size } = report;
const nameOf = (number) => classes[number] ?? `class ${number}`;

function fillHead() {
  byId("title").textContent = "Why?";
  const count = pictures.length === 1 ? "a picture" : `${pictures.length} pictures`;
  byId("subtitle").textContent = `What ${model} (${weights}) takes ${count} for, and which of its units say so`;
  if (pictures.length < 2) return;
  byId("contents").append(...pictures.map(({ name }, k) => element("a", { href: `#picture-${k + 1}` }, name)));
}

function article(picture, k) {
  const names = { guessed: nameOf(picture.guessed), true: nameOf(picture.other) };
  return element("article", { id: `picture-${k + 1}`, "aria-labelledby": `name-${k + 1}` },
    element("h2", { id: `name-${k + 1}` }, picture.name),
    element("p", { class: "verdict" }, ...verdict(picture, names)),
    element("div", { class: "first" },
      figure("What the net sees", "", pictureCanvas(picture, 320, `The picture ${picture.name}`)),
      panel("Its scores", "", element("p", { class: "soft" },
        "A class's logit, which the bars show from 0 on, and its probability after softmax."),
      classBars(picture.classes.map(([number, p, logit, rank]) => ({ number, name: nameOf(number), p, logit, rank })),
        { guessed: picture.guessed, true: picture.true, words: ["guessed", "true class"] }))),
    panel("Where it looks", "wide", ...heatMaps(picture)),
    picture.layers.map((layer) => panel(`Which units of ${layer.layer}: ${names.guessed} or ${names.true}`, "wide why",
      ...contributionsView({ ...layer, tile: undefined }, names, (one) => faces(picture, layer, one)))));
}

function verdict({ guessed, true: truth, classes: listed }, names) {
  const of = (number) => listed.find(([other]) => other === number), [, p] = of(guessed);
  const taken = ["Taken for ", element("b", {}, names.guessed), ` with ${formatPercent(p, 3)}`];
  if (truth === null) return [...taken, ". Its true class was not said; it is compared with the second, ",
    element("b", {}, names.true), "."];
  if (truth === guessed) return [...taken, ", which is right; it is compared with the second, ",
    element("b", {}, names.true), "."];
  const [, second, , rank] = of(truth);
  const got = `, which got ${formatPercent(second, 3)}, number ${rank}.`;
  return [...taken, "; it is ", element("b", {}, names.true), got];
}

const figure = (caption, note, ...content) => element("figure", {}, ...content,
  element("figcaption", {}, element("b", {}, caption), note && ` ${note}`));

function pictureCanvas({ image }, width, label, then) {
  const canvas = canvasFor(size, width, label);
  drawBox(canvas, image, [0, 0, size[1], size[0]], true);
  if (then) onDrawn(canvas, then);
  return canvas;
}

function heatMaps(picture) {
  const { side, rows, columns, maps } = picture.heat;
  const explained = `A grey square of ${side}×${side} pixels hid a part of the picture, with its middle at each of `
    + `${rows.length * columns.length} places. Dark: with the square there, the class lost its probability, so what it `
    + "hid speaks for the class. Light: the class kept or gained it. Each map has its own scale.";
  const draw = ({ class: number, values }) => {
    const heat = { rows, columns, values }, [low, high] = heatRange(values), least = lowestPlace(heat);
    const words = `Probability of ${nameOf(number)} from ${formatPercent(low, 3)} (dark) to ${formatPercent(high, 3)} `
      + `(light); lowest with the square at row ${least.row}, column ${least.column}`;
    const canvas = pictureCanvas(picture, 320, words, () => paintHeat(canvas, size, heat));
    return figure(`P(${nameOf(number)})`,
      `dark ${formatPercent(low, 3)}, light ${formatPercent(high, 3)}`, canvas);
  };
  return [element("p", { class: "soft" }, explained), element("div", { class: "heats" }, maps.map(draw))];
}

/** A unit's projection, its place in the picture, and what its map likes. */
function faces(picture, layer, one) {
  const [rows, columns] = layer.tile, [, right] = layer.cell, label = `of ${one.unit}`;
  const tile = (k, width, words) => {
    const canvas = canvasFor(layer.tile, width, words);
    drawBox(canvas, one.sheet, [k * right, 0, columns, rows], true);
    return canvas;
  };
  const blank = one.dead ? "0" : one.empty ? "empty" : "";
  const liked = Array.from({ length: one.liked }, (_, k) => tile(2 + k, 96, `What its map likes, ${k + 1}`));
  return element("div", { class: "faces" },
    figure("projection", "", blank ? element("span", { class: "dead" }, blank) : tile(0, 192, `Projection ${label}`)),
    layer.whole ? null : figure("patch", "", tile(1, 192, `The pixels that ${one.unit} saw`)),
    layer.whole ? null : figure("place", "", locator(picture, one)),
    liked.length ? figure("its map likes", "", element("div", { class: "liked" }, liked)) : null);
}

function locator({ image }, { box: [top, left, bottom, right], unit }) {
  const canvas = canvasFor(size, 192, `The field of ${unit} in the picture`);
  drawBox(canvas, image, [0, 0, size[1], size[0]], true);
  return element("div", { class: "locator" }, canvas, svg("svg", {
    viewBox: `0 0 ${size[1]} ${size[0]}`, "aria-hidden": "true", preserveAspectRatio: "none",
  }, svg("rect", { class: "field", x: left, y: top, width: right - left, height: bottom - top })));
}

function howToRead() {
  const [source, trouble] = report.liked;
  return [
    element("h2", {}, "How to read this page"),
    ...[
      "A unit's projection is what in the picture made the unit fire: it keeps its activation, all else of its layer "
      + "becomes 0, and that goes down to pixels through the same filters and the switches of this picture. Each tile "
      + "has its own scale, so compare shapes, not strengths.",
      report.look,
      source ? `What a map likes: the parts of ${source} that excite it most, strongest first.` : trouble,
      pictures.some(({ layers }) => layers.some(({ whole }) => whole))
        && `Units whose field covers the whole picture of ${formatSize(size)} pixels have no patch: they saw all of `
        + "it.",
    ].filter(Boolean).map((words) => element("p", {}, words)),
  ];
}

fillHead();
byId("pictures").append(...pictures.map(article));
byId("reading").append(...howToRead());
