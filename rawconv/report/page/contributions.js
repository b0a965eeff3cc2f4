// Which units of a layer speak for one class and against another: the sum, and the strongest of either side.

import { element } from "./elements.js";
import { formatCount, formatNumber } from "./numbers.js";

/** The elements that show a layer's contributions, as Contributions.numbers() of Python tells them.
 *
 *  names: {guessed, true}, of the two classes; faces: function (one of the contributions) -> an element with its
 *  projection and the patches of its map; count: how many of either side.
 */
export function contributionsView(answer, names, faces, count = 5) {
  const { contributions } = answer, largest = Math.max(...contributions.map((one) => Math.abs(one.for)), 1e-30);
  const ahead = contributions.filter((one) => one.for > 0).slice(0, count);
  const against = contributions.filter((one) => one.for < 0).slice(-count).reverse();
  const side = (kind, name, some) => element("section", { class: `side ${kind}` },
    element("h3", {}, `Speak for ${name}`),
    some.length ? element("ol", {}, some.map((one) => row(answer, one, largest, faces)))
      : element("p", { class: "soft" }, "No unit of this layer."));
  return [
    element("p", { class: "soft" }, answer.how),
    balance(answer, names),
    element("div", { class: "sides" }, side("for", names.guessed, ahead), side("against", names.true, against)),
  ];
}

/** The sum as a sentence with bars: units for the one, units for the other, the rest. */
function balance({ layer, sums, rest, difference, guessed, true: other }, names) {
  const parts = [
    [`maps of ${layer} that speak for ${names.guessed}`, sums[0], "for"],
    [`maps that speak for ${names.true}`, sums[1], "against"],
    ["the rest", rest, "rest"],
  ];
  const largest = Math.max(...parts.map(([, value]) => Math.abs(value)), 1e-30);
  return element("dl", { class: "balance", "data-classes": `${guessed} ${other}` },
    parts.map(([words, value, kind]) => line(words, value, kind, Math.abs(value) / largest)),
    line(`together: the logit of ${names.guessed} is ahead by`, difference, "sum"));
}

function line(words, value, kind, level) {
  return element("div", { class: kind }, element("dt", {}, words),
    element("dd", {}, level !== undefined && meter(level), element("b", {}, signed(value))));
}

function row({ layer, tile, maps }, one, largest, faces) {
  const [map, y, x] = one.unit.slice(layer.length + 1).split(":");
  const single = y === "0" && x === "0" && !(tile?.positions > 1), where = single ? "" : ` at row ${y}, column ${x}`;
  return element("li", { "data-unit": one.unit },
    element("div", { class: "about" },
      element("b", {}, `map ${map}`, maps && element("small", { class: "soft" }, ` of ${formatCount(maps)}`)),
      meter(Math.abs(one.for) / largest), element("b", { class: "adds" }, signed(one.for)),
      element("span", { class: "soft" }, `activation ${formatNumber(one.value)}${where}`)),
    faces(one));
}

function meter(level) {
  const bar = element("i", { class: "level", "aria-hidden": "true" });
  bar.style.setProperty("--level", `${(100 * Math.max(0.01, level)).toFixed(1)}%`);
  return bar;
}

const signed = (value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${formatNumber(Math.abs(value))}`;
