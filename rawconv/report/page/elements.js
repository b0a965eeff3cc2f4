// Making elements.  Text becomes a text node, never markup.

const SVG = "http:" + "//www.w3.org/2000/svg"; // a name, nothing is fetched

export const byId = (id) => document.getElementById(id);

/** An HTML element; an attribute "onclick" is a listener, true is a bare attribute, false is none. */
export function element(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(target, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith("on")) target.addEventListener(key.slice(2), value);
    else if (value === true) target.setAttribute(key, "");
    else if (value !== false && value != null) target.setAttribute(key, value);
  }
  target.append(...children.flat().filter((child) => child != null && child !== false));
  return target;
}

/** aria-current where `value` is given, else none. */
export function markCurrent(target, value) {
  if (value) target.setAttribute("aria-current", value);
  else target.removeAttribute("aria-current");
}

/** [[term, description], ...] as a list. */
export function factList(rows) {
  const row = ([key, value]) => element("div", {}, element("dt", {}, key), element("dd", {}, value));
  return element("dl", { class: "facts" }, rows.map(row));
}

/** A table that scrolls sideways by itself; `foot` is a row of cells already made. */
export function scrollingTable(label, columns, rows, foot) {
  const head = columns.map((word) => element("th", { scope: "col" }, word));
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
    element("table", {}, element("thead", {}, element("tr", {}, head)),
      element("tbody", {}, rows.map((cells) => element("tr", {}, cells))),
      foot && element("tfoot", {}, element("tr", {}, foot))));
}

/** A titled panel of the views beside the feature maps. */
export function panel(title, kind, ...content) {
  return element("section", { class: `panel ${kind}`.trim() }, element("h2", {}, title), ...content);
}
