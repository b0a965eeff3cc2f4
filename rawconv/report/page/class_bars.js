// The scores of classes as bars: what the net says of a picture before softmax, and the probability after it.

import { element } from "./elements.js";
import { formatNumber, formatPercent } from "./numbers.js";

/** A list of classes with bars from 0 to their logits.
 *
 *  classes: [{number, name, p, logit, rank}], in the order they are to stand in; marks: {guessed, true, words}, the
 *  numbers of two classes, true may be null, and what is said of them.
 */
export function classBars(classes, marks) {
  const logits = classes.map(({ logit }) => logit);
  const low = Math.min(0, ...logits), high = Math.max(0, ...logits);
  const share = (value) => (value - low) / (high - low || 1);
  return element("ol", { class: "class-bars" }, classes.map((one) => row(one, marks, share)));
}

function row({ number, name, p, logit, rank }, marks, share) {
  const guessed = number === marks.guessed, other = number === marks.true;
  const role = [guessed && marks.words[0], other && marks.words[1]].filter(Boolean).join(", ");
  const bar = element("i", { "aria-hidden": "true" });
  const ends = [share(0), share(logit)].sort((a, b) => a - b);
  bar.style.setProperty("--from", `${(100 * ends[0]).toFixed(2)}%`);
  bar.style.setProperty("--to", `${(100 * ends[1]).toFixed(2)}%`);
  return element("li", { "data-class": number, class: guessed ? "for" : other ? "against" : "" },
    element("span", { class: "class" }, `${rank}. ${name}`, role && element("small", {}, ` ${role}`)),
    element("span", { class: "bar" }, bar),
    element("span", { class: "number" }, formatNumber(logit).replace("-", "−")),
    element("span", { class: "number soft" }, formatPercent(p, 3)));
}
