// What is shown stands in the address, so that every state has a link: #p=val:17&u=conv4:17:3:5&relu=guided.

const defaults = new Map(); // of each field, in the order of the address
const listeners = [];

/** The fields as they are, all of them texts.  Only `change` and the address change them. */
export const state = {};

/** Add a field to the address; with its default it is left out.  A module names its fields as it loads. */
export function addField(name, fallback = "") {
  defaults.set(name, fallback);
  state[name] = fallback;
}

for (const name of ["p", "on", "u"]) addField(name); // pictures (ids), the number of the one looked at, the unit
export const defaultOf = (name) => defaults.get(name);

for (const [name, fallback] of Object.entries({ view: "steps", sort: "activation" })) addField(name, fallback);

/** Call `listener()` after every change. */
export const onChange = (listener) => listeners.push(listener);

/** The address of the state with some fields changed: {u: "conv4:17"}. */
export function addressOf(patch = {}) {
  const parts = [];
  for (const [name, fallback] of defaults) {
    const value = name in patch ? patch[name] : state[name];
    if (value !== fallback) parts.push(`${name}=${escapeText(value)}`);
  }
  return `#${parts.join("&")}`;
}

/** Escapes what an address can not hold, and keeps what makes it readable. */
function escapeText(text) {
  return encodeURIComponent(text).replace(/%(3A|2C|2F|40)/g, decodeURIComponent);
}

/** Change fields.  `quietly` replaces the last entry of the browser's history, which undo goes back through. */
export function change(patch, { quietly = false } = {}) {
  const address = addressOf(patch);
  if (address === (location.hash || "#")) return;
  const at = place();
  if (quietly) history.replaceState({ at }, "", address);
  else {
    history.pushState({ at: at + 1 }, "", address);
    furthest = at + 1;
  }
  readAddress();
}

/** Read the fields from the address, and tell who listens. */
export function readAddress() {
  const given = new Map(location.hash.slice(1).split("&").map((part) => {
    const [name, ...rest] = part.split("=");
    return [name, withoutEscapes(rest.join("="))];
  }));
  for (const [name, fallback] of defaults) state[name] = given.has(name) ? given.get(name) : fallback;
  furthest = Math.max(furthest, place());
  for (const listener of listeners) listener();
}

function withoutEscapes(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// ------------------------------------------------------------------------------------------ undo

let furthest = 0; // the last of the page's own entries in the browser's history

const place = () => history.state?.at || 0;

export const canUndo = () => place() > 0;
export const canRedo = () => place() < furthest;

export function undo() {
  if (canUndo()) history.back();
}

export function redo() {
  if (canRedo()) history.forward();
}
