// A chart of lines over epochs, with what they are at the pointer in words below it.

import { element, svg } from "./elements.js";
import { formatNumber } from "./numbers.js";

const WIDTH = 460, HEIGHT = 260, LEFT = 44, RIGHT = 14, TOP = 12, BOTTOM = 34; // pixels, and the margins

const KEYS = [["a", "training"], ["b", "validation"]]; // CSS class and name of the colours

/** Figure of `lines` [{name, values, kind: CSS classes}] over `epochs`, one value for each, undefined for none. */
export function lineChart(title, note, epochs, lines, keys = KEYS) {
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
    lines.map((line) => polyline(line, epochs, scale)), lines.map((line) => endDot(line, epochs, scale)));
  const caption = element("figcaption", {}, element("b", {}, title), ` ${note}`, legend(keys));
  return element("figure", {}, caption, chart, words);
}

function legend(keys) {
  return element("span", { class: "legend" }, keys.flatMap(([kind, name]) => [element("i", { class: kind }), name]));
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
