// Taking things away: the link of this state, the projection as a picture, its numbers.

import { byId, element } from "../page/elements.js";
import { say } from "./say.js";
import { painted } from "./unit.js";

export async function copyLink() {
  await copy(() => navigator.clipboard.writeText(location.href), "The link of what you see is copied.");
}

export async function copyPicture() {
  if (!painted()) return;
  const item = new ClipboardItem({ "image/png": picturesBlob() });
  await copy(() => navigator.clipboard.write([item]), "The picture with its projection is copied.");
}

export async function copyNumbers() {
  if (!painted()) return;
  const { fields, answer } = painted(), numbers = { ...fields, ...answer };
  delete numbers.png;
  await copy(() => navigator.clipboard.writeText(JSON.stringify(numbers, null, 2)), "The numbers are copied, as JSON.");
}

async function copy(write, words) {
  try {
    await write();
    say(words);
  } catch {
    say("The browser does not let this page write to the clipboard.");
  }
}

/** Of what is painted: the picture with the projection over it, and the projection, beside each other. */
function picturesBlob() {
  const parts = [byId("seen"), byId("projection")], height = Math.max(...parts.map((canvas) => canvas.height));
  const both = document.createElement("canvas"), widths = parts.map((part) => (part.width * height) / part.height);
  [both.width, both.height] = [Math.round(widths[0] + widths[1]), height];
  const context = both.getContext("2d");
  parts.forEach((part, k) => context.drawImage(part, k ? widths[0] : 0, 0, widths[k], height));
  return new Promise((done) => both.toBlob(done, "image/png"));
}

export async function savePicture() {
  if (!painted()) return;
  const address = URL.createObjectURL(await picturesBlob());
  download(address, `${fileName()}.png`);
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

/** The signed pixels as NumPy reads them. */
export function saveNumbers() {
  if (!painted()) return;
  const given = Object.entries(painted().fields).filter(([, value]) => value !== null);
  download(`/api/project.npy?${new URLSearchParams(given)}`, `${fileName()}.npy`);
}

const fileName = () => painted().answer.unit.replaceAll("*", "all").replace(/[^\w.-]+/g, "-");

function download(href, name) {
  element("a", { href, download: name }).click();
}

export function listenForSaving() {
  const buttons = {
    "copy-link": copyLink, "copy-picture": copyPicture, "copy-numbers": copyNumbers, "save-picture": savePicture,
    "save-numbers": saveNumbers,
  };
  for (const [id, listener] of Object.entries(buttons)) byId(id).addEventListener("click", listener);
}
