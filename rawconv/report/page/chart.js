// A chart of lines over epochs, their names at their ends, with what they are at the pointer in words below it.

import { element, svg } from "./elements.js";
import { formatNumber } from "./numbers.js";

const WIDTH = 460, HEIGHT = 270, LEFT = 44, RIGHT = 132, TOP = 12, BOTTOM = 34; // pixels, and the margins
const LETTERS = 15, LONGEST = 16; // pixels between names, and characters of one

/** Figure of `lines` [{name, label, values, kind: CSS classes}] over `epochs`, a value for each, undefined for none.
 *
 * name: in the words below.  label: at the line's end.
 */
export function lineChart(title, note, epochs, lines) {
  const scale = makeScale(epochs, lines);
  const cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, x1: -9, x2: -9 });
  const words = element("p", { class: "said" }, describe(epochs, lines, epochs.length - 1));
  const onpointermove = (event) => {
    const i = nearest(event, epochs, scale);
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, scale.x(epochs[i]));
    words.textContent = describe(epochs, lines, i);
  };
  const label = `${title} over ${epochs.length} epochs. ${describe(epochs, lines, epochs.length - 1)}`;
  const viewBox = `0 0 ${WIDTH} ${HEIGHT}`;
  const chart = svg("svg", { viewBox, role: "img", "aria-label": label, onpointermove },
    yAxis(scale), xAxis(epochs, scale), cursor,
    lines.map((line) => polyline(line, epochs, scale)), lines.map((line) => endDot(line, epochs, scale)),
    endNames(lines, scale));
  const caption = element("figcaption", {}, element("b", {}, title), ` ${note}`);
  return element("figure", {}, caption, chart, words);
}

const known = (value) => value !== undefined;

function makeScale(epochs, lines) {
  const highest = Math.max(...lines.flatMap((line) => line.values.filter(known)), 1e-9);
  const step = niceStep(highest), top = Math.ceil(highest / step) * step;
  const last = Math.max(...epochs, 1), first = Math.min(...epochs, last);
  const width = WIDTH - LEFT - RIGHT, height = HEIGHT - TOP - BOTTOM;
  return {
    x: (epoch) => LEFT + width * (last === first ? 0.5 : (epoch - first) / (last - first)),
    y: (value) => HEIGHT - BOTTOM - (height * value) / top,
    ticks: Array.from({ length: Math.round(top / step) + 1 }, (_, k) => k * step),
  };
}

/** 1, 2 or 5 times a power of ten, so that there are at most about five steps. */
function niceStep(highest) {
  const power = 10 ** Math.floor(Math.log10(highest / 4 || 1));
  return [1, 2, 5, 10].map((k) => k * power).find((step) => highest / step <= 5.5);
}

function yAxis({ y, ticks }) {
  return ticks.map((tick) => svg("g", {},
    svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick) }),
    svg("text", { x: LEFT - 8, y: y(tick) + 4, "text-anchor": "end" }, formatNumber(tick))));
}

function xAxis(epochs, { x }) {
  const every = Math.max(1, Math.ceil(new Set(epochs).size / 8));
  return [...new Set(epochs)].filter((epoch, i) => i % every === 0).map((epoch) =>
    svg("text", { x: x(epoch), y: HEIGHT - BOTTOM + 18, "text-anchor": "middle" }, String(epoch)));
}

function polyline({ values, kind }, epochs, { x, y }) {
  const points = values.flatMap((value, i) => (
    known(value) ? [`${x(epochs[i]).toFixed(1)},${y(value).toFixed(1)}`] : [])).join(" ");
  return svg("polyline", { class: `line ${kind}`, points });
}

function endDot({ values, kind }, epochs, { x, y }) {
  const last = values.findLastIndex(known);
  return last >= 0 && svg("circle", { class: `dot ${kind}`, r: 3.5, cx: x(epochs[last]), cy: y(values[last]) });
}

/** What each line is, right of the axes at the height of its end, apart from each other. */
function endNames(lines, { y }) {
  const ends = lines.flatMap(({ label, values, kind }) => {
    const last = values.findLast(known);
    return last === undefined ? [] : [{ label, kind, wanted: y(last) }];
  }).sort((one, other) => one.wanted - other.wanted);
  apart(ends.map(({ wanted }) => wanted)).forEach((place, k) => { ends[k].place = place; });
  return ends.map(({ label, kind, place }) => svg("text", { class: `end ${kind}`, x: WIDTH - RIGHT + 9, y: place + 4 },
    label.length > LONGEST ? `${label.slice(0, LONGEST - 1)}…` : label));
}

/** Sorted places, each as near to the one wanted as can be and LETTERS below the one before; as line_ends.py's. */
function apart(wanted) {
  const places = [];
  for (const y of wanted) places.push(Math.max(y, places.length ? places.at(-1) + LETTERS : TOP));
  for (let k = places.length - 1; k >= 0; k -= 1) {
    places[k] = Math.min(places[k], k + 1 < places.length ? places[k + 1] - LETTERS : HEIGHT - BOTTOM);
  }
  return places;
}

/** The index of the epoch nearest to the pointer. */
function nearest(event, epochs, { x }) {
  const box = event.currentTarget.getBoundingClientRect();
  const at = ((event.clientX - box.left) / box.width) * WIDTH;
  const distances = epochs.map((epoch) => Math.abs(x(epoch) - at));
  return distances.indexOf(Math.min(...distances));
}

function describe(epochs, lines, i) {
  const there = lines.filter(({ values }) => known(values[i]));
  const found = there.map(({ name, values }) => `${name} ${formatNumber(values[i])}`);
  return `After epoch ${epochs[i]}: ${found.join(", ")}.`;
}
