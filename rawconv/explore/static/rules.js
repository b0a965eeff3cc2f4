// How to go down: the rule of the rectifiers, switches that windows share, LRN, and controls, as toggles.

import { byId, element } from "../page/elements.js";
import { loaded, pictureIds } from "./loaded.js";
import { change, defaultOf, state } from "./state.js";
import { parseUnit } from "./units.js";

const WORDS = {
  relu: {
    deconv: ["deconvnet", "Rectifiers keep what is above 0 on the way down (Zeiler & Fergus 2013)."],
    gradient: ["gradient", "Rectifiers keep what was above 0 on the way up: activation × gradient (Simonyan 2013)."],
    guided: ["guided", "Rectifiers keep what is above 0 on both ways (Springenberg 2014)."],
  },
  switches: {
    add: ["add", "Windows that chose the same pixel add up there: the transpose of pooling."],
    max: ["max", "Of windows that chose the same pixel the largest counts."],
    overwrite: ["overwrite", "Of windows that chose the same pixel the last counts."],
  },
  lrn: {
    identity: ["identity", "Normalisation is left out on the way down, as in the paper."],
    gradient: ["gradient", "Normalisation goes down by its true derivative."],
  },
  control: {
    "": ["none", "Nothing is exchanged."],
    untrained: ["untrained net"], "other-unit": ["another unit"], "mismatched-filters": ["untrained filters down"],
    "other-switches": ["another picture's switches"], "no-switches": ["no switches"],
  },
};
const KEYS = { relu: "relu", switches: "shared_switches", lrn: "lrn" }; // as the server calls them

const isCascade = (name) => name.startsWith("cascade-");

/** [{id, field, title, values: [[value, word, what it does], ...]}, ...] of what this net can be asked. */
export function choices() {
  const { rules, kinds } = loaded.net, has = (kind) => kinds.includes(kind);
  const ruled = (field) => rules[KEYS[field]].map((value) => [value, ...(WORDS[field][value] || [value, ""])]);
  const controls = rules.controls.map(({ name, sentence }) => (
    [name, WORDS.control[name]?.[0] || name.replace("cascade-", ""), sentence]));
  return [
    { id: "relu", field: "relu", title: "Rectifiers", values: ruled("relu") },
    has("maxpool") && { id: "switches", field: "switches", title: "Shared switches", values: ruled("switches") },
    has("lrn") && { id: "lrn", field: "lrn", title: "LRN", values: ruled("lrn") },
    { id: "control", field: "control", title: "Control",
      values: [["", ...WORDS.control[""]], ...controls.filter(([name]) => !isCascade(name))] },
    { id: "cascade", field: "control", title: "Top layers untrained",
      values: controls.filter(([name]) => isCascade(name)) },
  ].filter((row) => row && row.values.length);
}

/** The fields of the address for a value: another picture's switches need another picture. */
export function patchOf(field, value) {
  if (value !== "other-switches") return { [field]: value };
  const other = state.other || pictureIds().find((id, k) => k !== (Number(state.on) || 0)) || "";
  return { control: value, other };
}

/** Choose a value; the one that is chosen already gives way to the default. */
function choose(field, value) {
  change(patchOf(field, state[field] === value ? defaultOf(field) : value));
}

export function makeRules() {
  byId("rules").replaceChildren(...choices().map(({ id, field, title, values }) => (
    element("fieldset", { "data-row": id }, element("legend", {}, title), values.map(([value, word, words]) => (
      element("button", {
        type: "button", class: "toggle", "data-value": value, title: words, onclick: () => choose(field, value),
      }, word)))))));
}

/** Show which are chosen, and say what they do. */
export function markRules() {
  const told = [];
  for (const { id, field, values } of choices()) {
    for (const [value, , words] of values) {
      const chosen = state[field] === value;
      const button = byId("rules").querySelector(`[data-row="${id}"] [data-value="${CSS.escape(value)}"]`);
      button.setAttribute("aria-pressed", String(chosen));
      if (chosen && (field === "relu" || value !== defaultOf(field))) told.push(words);
    }
  }
  byId("rule-words").replaceChildren(...told.map((words) => element("li", {}, words)));
  byId("whole").setAttribute("aria-pressed", String(parseUnit(state.u).whole));
  byId("over").setAttribute("aria-pressed", String(state.over === "1"));
}

/** Choose the next value of a row. */
export function nextRule(id) {
  const row = choices().find((one) => one.id === id);
  if (!row) return;
  const values = row.values.map(([value]) => value), at = values.indexOf(state[row.field]);
  change(patchOf(row.field, values[(at + 1) % values.length]));
}
