// The data set: its pictures by split and class, in a dialog.

import { byId, element } from "../page/elements.js";
import { formatCount } from "../page/numbers.js";
import { bringKnown } from "./bring.js";
import { loaded } from "./loaded.js";
import { ask, Refused, Replaced } from "./server.js";

const COUNT = 60; // pictures of a page
let offset = 0;

export function openBrowser() {
  if (byId("bring-data").hidden) return;
  byId("browse").showModal();
  showPage(0);
}

async function showPage(from) {
  offset = Math.max(0, from);
  const split = byId("split").value, chosen = byId("class").value;
  const query = new URLSearchParams({ split, offset, count: COUNT, ...(chosen && { class: chosen }) });
  try {
    const { total, items } = await ask(`/api/browse?${query}`, undefined, { kind: "browse" });
    byId("samples").replaceChildren(...items.map((item) => makeSample(split, item)));
    const last = offset + items.length;
    const range = `${formatCount(offset + 1)} to ${formatCount(last)} of ${formatCount(total)} pictures`;
    byId("shown").textContent = total ? range : "No picture of this class.";
    byId("earlier").disabled = offset === 0;
    byId("later").disabled = last >= total;
  } catch (error) {
    if (error instanceof Refused) byId("shown").textContent = error.message;
    else if (!(error instanceof Replaced)) throw error;
  }
}

function makeSample(split, { number, class: label }) {
  const name = loaded.data.classes[label]?.[0] ?? "", words = `${split} ${number}${name && `: ${name}`}`;
  const picture = element("img", {
    src: `/api/browse/${encodeURIComponent(split)}/${number}.png`, alt: "", loading: "lazy", width: 64, height: 64,
  });
  const take = () => {
    byId("browse").close();
    bringKnown(`${split}:${number}`);
  };
  return element("li", {}, element("button", {
    type: "button", class: "sample", title: words, "aria-label": words, onclick: take,
  }, picture));
}

/** Fill the choices of the dialog; without a data set there is nothing to browse. */
export function makeBrowser({ splits, classes }) {
  const names = Object.keys(splits);
  byId("bring-data").hidden = !names.length;
  byId("split").replaceChildren(...names.map((name) => (
    element("option", { value: name }, `${name} (${formatCount(splits[name])})`))));
  byId("class").replaceChildren(element("option", { value: "" }, "all classes"),
    ...classes.map(([name], k) => element("option", { value: String(k) }, name)));
}

export function listenForBrowser() {
  byId("bring-data").addEventListener("click", openBrowser);
  for (const id of ["split", "class"]) byId(id).addEventListener("change", () => showPage(0));
  byId("earlier").addEventListener("click", () => showPage(offset - COUNT));
  byId("later").addEventListener("click", () => showPage(offset + COUNT));
}
