// The views below the unit, one at a time: the way down, side by side, and what other modules register.

import { byId, element } from "../page/elements.js";
import { change, state } from "./state.js";

const views = [];

/** Add a view: {id, title, words: a sentence below its title, show(panel, context), when(net): whether it is there}.
 *
 *  `show` is called while the view is open, when it opens and after each projection that was painted, with the panel
 *  to fill and the context: {net, picture, unit, projection, fields}, see main.js.  It should compare what it draws
 *  with what it drew before.
 */
export function registerView(view) {
  views.push(view);
}

/** The open view: the one of the address, else the first. */
export const openView = () => offered.find(({ id }) => id === state.view) || offered[0];

let offered = [];

/** Make the tabs and a panel for each view of this net. */
export function makeViews(net) {
  offered = views.filter((view) => !view.when || view.when(net));
  byId("tabs").replaceChildren(...offered.map(makeTab));
  byId("panels").replaceChildren(...offered.map(makePanel));
}

function makeTab({ id, title }) {
  return element("button", {
    type: "button", role: "tab", id: `tab-${id}`, "aria-controls": `view-${id}`,
    onclick: () => change({ view: id }), onkeydown: moveTab,
  }, title);
}

function makePanel({ id, words }) {
  return element("section", { role: "tabpanel", id: `view-${id}`, "aria-labelledby": `tab-${id}`, class: "view" },
    words && element("p", { class: "soft words" }, words), element("div", { class: "content" }));
}

function moveTab(event) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by) return;
  event.preventDefault();
  event.stopPropagation();
  stepView(by);
  byId(`tab-${openView().id}`).focus();
}

/** Open the next (1) or the previous (-1) view. */
export function stepView(by) {
  const at = offered.indexOf(openView());
  change({ view: offered[(at + by + offered.length) % offered.length].id });
}

/** Show which view is open. */
export function markView() {
  const open = openView();
  for (const { id } of offered) {
    const selected = id === open.id;
    byId(`tab-${id}`).setAttribute("aria-selected", String(selected));
    byId(`tab-${id}`).tabIndex = selected ? 0 : -1;
    byId(`view-${id}`).hidden = !selected;
  }
}

/** Let the open view draw. */
export function showView(context) {
  const open = openView();
  open.show(byId(`view-${open.id}`).querySelector(".content"), context);
}
