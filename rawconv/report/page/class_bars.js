// The scores of classes as bars: what the net says of a picture before softmax, and the probability after it.

import { element } from "./elements.js";
import { formatNumber, formatPercent } from "./numbers.js";

/** A list of classes with bars from 0 to their logits.
 *
 *  classes: [{number, name, p, logit, rank}], in the order they are to stand in; marks: {guessed, true}, numbers of
 *  classes; true may be null.
 */
export function classBars(classes, marks) {
  const logits = classes.map(({ logit }) => logit);
  const low = Math.min(0, ...logits), high = Math.max(0, ...logits), share = (value) => (value - low) / (high - low || 1);
  return element("ol", { class: "class-bars" }, classes.map((one) => row(one, marks, share)));
}

function row({ number, name, p, logit, rank }, marks, share) {
  const role = [number === marks.guessed && "guessed", number === marks.true && "true class"].filter(Boolean).join(", ");
  const bar = element("i", { "aria-hidden": "true" });
  const ends = [share(0), share(logit)].sort((a, b) => a - b);
  bar.style.setProperty("--from", `${(100 * ends[0]).toFixed(2)}%`);
  bar.style.setProperty("--to", `${(100 * ends[1]).toFixed(2)}%`);
  return element("li", { "data-class": number, class: number === marks.guessed ? "for" : number === marks.true ? "against" : "" },
    element("span", { class: "class" }, `${rank}. ${name}`, role && element("small", {}, ` ${role}`)),
    element("span", { class: "bar" }, bar),
    element("span", { class: "number" }, formatNumber(logit)),
    element("span", { class: "number soft" }, formatPercent(p, 3)));
}
