// What the server has told: the net, pictures by id, feature maps.  Modules ask here, so that nothing is asked twice.

import { ask } from "./server.js";
import { addField, state } from "./state.js";

addField("relu", "deconv");
addField("switches", "add");
addField("lrn", "identity");
addField("control");
addField("other"); // the picture whose switches a control takes
addField("seed", "0"); // of what a control draws

/** net: the answer of /api/net; data: of /api/data.  picture: the one looked at, as /api/pictures answers. */
export const loaded = { net: null, data: null, picture: null };

const pictures = new Map(), maps = new Map();
const KEPT = 60; // answers about maps; a sprite of them is kept by the browser

export const pictureIds = () => state.p.split(",").filter(Boolean);

/** The id of the picture that is looked at. */
export function chosenPicture() {
  const ids = pictureIds();
  return ids[Math.min(ids.length - 1, Number(state.on) || 0)] || "";
}

export const pictureAddress = (id, rest = "") => `/api/pictures/${encodeURIComponent(id)}${rest}`;
export const keepPicture = (picture) => pictures.set(picture.id, Promise.resolve(picture));

/** A picture's name, size and classes. */
export const loadPicture = (id) => remembered(pictures, id, () => ask(pictureAddress(id)));

/** The feature maps of a layer in a picture. */
export function loadMaps(id, layer) {
  // the number of the net makes the address of the sprite another when a run that is watched replaces it
  const address = pictureAddress(id, `/maps?layer=${encodeURIComponent(layer)}&net=${loaded.net.net}`);
  if (maps.size > KEPT) maps.delete(maps.keys().next().value);
  return remembered(maps, address, () => ask(address, undefined, { kind: "maps" }));
}

function remembered(known, key, load) {
  if (!known.has(key)) {
    const promise = load();
    known.set(key, promise);
    promise.catch(() => known.delete(key));
  }
  return known.get(key);
}

/** Forget all that depends on the net: another one is there. */
export function forget() {
  pictures.clear();
  maps.clear();
}

export const layerOf = (name) => loaded.net.layers.find((layer) => layer.name === name);

/** The name of a class of the net; "" for none. */
export const className = (number) => (number == null ? "" : loaded.net.classes[number] ?? `class ${number}`);

/** What /api/project is asked, with some fields changed: {relu: "guided"}. */
export function fieldsOf(patch = {}) {
  return {
    picture: chosenPicture(), unit: state.u, relu: state.relu, shared_switches: state.switches, lrn: state.lrn,
    control: state.control || null, control_seed: Number(state.seed) || 0, other: state.other || null, ...patch,
  };
}

/** A function that calls `draw` only where what `depends` returns has changed since, or after `again`. */
export function whenChanged(depends, draw) {
  let before;
  const update = () => {
    const now = JSON.stringify(depends());
    if (now === before) return undefined;
    before = now;
    return draw();
  };
  update.again = () => {
    before = undefined;
  };
  return update;
}
