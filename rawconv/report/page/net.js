// The net itself: facts, learning curves, layers, first filters.

import { lineChart } from "./chart.js";
import { report } from "./data.js";
import { element, factList, panel, scrollingTable } from "./elements.js";
import { drawFilter } from "./feature_map.js";
import { formatCount, formatSize } from "./numbers.js";
import { canvasFor } from "./tiles.js";

const RECIPE = "Recipe: "; // how the facts begin that are of the recipe
const PAPER = "https://arxiv.org/abs/1311.2901";
const COLUMNS = ["layer", "type", "window", "output", "field", "parameters"];

/** The panels of this view. */
export function netView() {
  const facts = report.facts.filter(([key]) => !key.startsWith(RECIPE));
  const recipe = report.facts.filter(([key]) => key.startsWith(RECIPE));
  const settings = recipe.map(([key, value]) => [key.slice(RECIPE.length), value]);
  return [
    panel("The checkpoint", "", factList(facts)),
    settings.length > 0 && panel("Recipe", "", factList(settings)),
    panel("Training", "wide", learningCurves(report.history)),
    report.filters && panel(`Filters of ${report.filters.layer}`, "", ...filterWall(report.filters)),
    panel("How to read the pictures", "prose", howToRead()),
    panel("Layers", "wide", layerTable(report.net)),
  ].filter(Boolean);
}

function howToRead() {
  const { count, pictures, split, data, look } = report;
  const small = report.layers.filter((layer) => layer.shrunk);
  const tiles = small.map((layer) => `${layer.name} at ${formatSize(layer.tile)}`).join(", ");
  return [
    `Each map's ${count} strongest units come from ${count} different pictures of the ${formatCount(pictures)} in the `
    + `${split} set of ${data}. A unit keeps its value, all others of its layer become zero, and that goes down to `
    + "pixels: unpool through the switches of its own picture, rectify, filter with the transpose, again and again. "
    + "What arrives is the projection: what in the picture made the unit fire. Beside it stands the patch, the pixels "
    + "the unit can see.",
    look,
    small.length > 0 && `To keep this page small, tiles are drawn smaller than the fields they show: ${tiles} pixels.`,
    "Numbers of the way down are kept for every unit; to keep this page small, thumbnails of its maps are kept for the "
    + "strongest unit of each map.",
    ["After ", element("a", { href: PAPER, rel: "noreferrer" },
      "Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, 2013"), "."],
  ].filter(Boolean).map((content) => element("p", {}, content));
}

function layerTable(rows) {
  const cell = (text) => element("td", {}, text);
  const cells = (row) => [
    element("th", { scope: "row" }, row.layer), cell(row.type), cell(row.window), cell(formatSize(row.output)),
    cell(formatSize(row.field)), cell(row.parameters ? formatCount(row.parameters) : ""),
  ];
  const parameters = rows.reduce((sum, row) => sum + row.parameters, 0);
  const total = [element("th", { scope: "row", colspan: COLUMNS.length - 1 }, "all"), cell(formatCount(parameters))];
  return scrollingTable("Layers", COLUMNS, rows.map(cells), total);
}

function filterWall(filters) {
  const layer = report.layers.find((found) => found.name === filters.layer);
  const tiles = Array.from({ length: filters.count }, (_, n) => {
    const picture = canvasFor(filters.tile, 96, `Filter ${n}`);
    drawFilter(picture, filters, n);
    const there = layer && layer.maps.some((map) => map.n === n);
    if (!there) return element("span", {}, picture);
    return element("a", { href: `#${filters.layer}/${n}`, title: `Map ${n} of ${filters.layer}` }, picture);
  });
  return [element("div", { class: "filters" }, tiles),
    element("p", { class: "soft" }, "Grey is 0. Each filter has its own scale.")];
}

function learningCurves(rows) {
  if (!rows.length) return element("p", { class: "soft" }, "The checkpoint holds no history of its training.");
  const epochs = rows.map((row) => row.epoch);
  const loss = (name, key, kind) => ({ name, label: name, kind, values: rows.map((row) => row[key]) });
  const error = (name, label, key, kind) => (
    { name, label, kind, values: rows.map((row) => 100 * (1 - row[key])) });
  const top1 = [error("training top-1", "training", "train_top1", "a"),
    error("validation top-1", "validation", "val_top1", "b")];
  const top5 = [error("training top-5", "training top-5", "train_top5", "a dotted"),
    error("validation top-5", "validation top-5", "val_top5", "b dotted")];
  const wrong = top5.some(({ values }) => values.some((value) => value > 0)); // never of five classes or fewer
  return element("div", { class: "curves" },
    lineChart("Loss", "cross-entropy", epochs, [
      loss("training", "train_loss", "a"), loss("validation", "val_loss", "b"),
    ]),
    lineChart("Error, %", wrong ? "top-1 (full) and top-5 (dotted)" : "top-1", epochs,
      wrong ? [...top1, ...top5] : top1));
}
