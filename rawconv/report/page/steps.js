// The way down as a list: what each step does, how much is left, and what it looks like.

import { element } from "./elements.js";
import { formatNumber, formatPercent, formatSize } from "./numbers.js";
import { canvasFor, drawBox } from "./tiles.js";

const COLOURS = ["red", "green", "blue"];
const EXPLAINED = {
  filter: "with the transpose of its filters", rectify: "what is below 0 becomes 0",
  unpool: "each value returns to its switch", norm: "by its derivative",
};
const RECTIFIED = {
  gradient: "kept where the map was above 0 on the way up",
  guided: "kept where it and the map on the way up are above 0",
};

/** The steps of unit `rank` of a map, as an ordered list; thumbnails are there for the strongest unit only.
 *  rules: {relu: ...} of the way down; pixels: the layer whose step ends in the image. */
export function stepList(layer, map, rank, rules, pixels) {
  const unit = map.units[rank], levels = logLevels(unit.energy), rows = [seedRow(layer, map, unit)];
  let top = 0; // of the step's row in the sheet of thumbnails
  layer.steps.forEach((step, i) => {
    const shown = rank === 0 && { strongest: map.strongest[i], sheet: map.path, top };
    rows.push(step.skipped ? skippedRow(step) : stepRow(step, {
      energy: unit.energy[i], share: unit.share[i], level: levels[i], words: explain(step, rules),
      pictures: shown && thumbnails(step, shown, pixels),
    }));
    top += step.thumb[0];
  });
  return element("ol", { class: "way" }, rows);
}

function row(kind, verb, name, ...content) {
  return element("li", { class: kind },
    element("div", { class: "verb" }, element("b", {}, verb), element("span", {}, name)),
    element("div", { class: "what" }, ...content));
}

function seedRow(layer, map, unit) {
  const seed = layer.score ? "1" : formatNumber(unit.value, 4);
  const where = `at row ${unit.y}, column ${unit.x}; all else in ${formatSize(layer.shape)} is 0.`;
  return row("seed", "start", layer.name, element("p", {}, `Map ${map.n} is ${seed} ${where}`));
}

const skippedRow = (step) => row("skipped", step.verb, step.layer, element("p", {}, "passes it on as it is"));

function stepRow(step, { energy, share, level, words, pictures }) {
  return row(step.verb, step.verb, step.layer,
    element("p", {}, element("b", {}, formatSize(step.shape)), words),
    element("div", { class: "measures" },
      meter("squared norm", formatNumber(energy), level), meter("not zero", formatPercent(share), share)),
    pictures);
}

function explain(step, rules) {
  const words = step.to ? `to ${step.to}` : (step.verb === "rectify" && RECTIFIED[rules.relu]) || EXPLAINED[step.verb];
  return words ? ` · ${words}` : "";
}

/** Lengths of bars, 0 to 1, on a logarithmic scale that ends a little below the least value. */
export function logLevels(values) {
  const logs = values.map((value) => Math.log10(Math.max(value, 1e-30)));
  const highest = Math.max(...logs), least = Math.min(...logs.filter((_, i) => values[i] > 0), highest);
  return values.map((value, i) => (value > 0 ? (logs[i] - least + 0.3) / (highest - least + 0.3) : 0));
}

/** A number in words, and a bar as long as `level`, 0 to 1. */
export function meter(word, text, level) {
  const bar = element("i", { "aria-hidden": "true" });
  bar.style.setProperty("--level", `${(100 * Math.min(1, Math.max(0.004, level))).toFixed(1)}%`);
  return element("span", { class: "meter" }, element("span", {}, `${word} `, element("b", {}, text)), bar);
}

/** All maps of a step in one, then its strongest one by one.  Drawn at once: paper has no scrolling. */
function thumbnails(step, { strongest, sheet, top }, pixels) {
  const to = step.to ? ` to ${step.to}` : "";
  const [height, width] = step.thumb, words = [wholeName(step), ...strongest.map((n) => mapName(step, n, pixels))];
  return element("div", { class: "thumbs" }, words.map((word, k) => {
    const picture = canvasFor(step.thumb, 96, `${word} after ${step.verb} ${step.layer}${to}`);
    drawBox(picture, sheet, [k * width, top, width, height], false);
    return element("figure", { class: k ? "" : "whole" }, picture, element("figcaption", {}, word));
  }));
}

const wholeName = (step) => (formatSize(step.shape.slice(0, 2)) === "1×1" ? "all values" : "all");

function mapName(step, n, pixels) {
  return step.layer === pixels && step.shape[2] === 3 ? COLOURS[n] : `map ${n}`;
}
