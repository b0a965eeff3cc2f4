// Bringing a picture: dropped, pasted, from a file.

import { byId } from "../page/elements.js";
import { keepPicture, loadPicture } from "./loaded.js";
import { addPicture } from "./pictures.js";
import { say } from "./say.js";
import { ask, Refused } from "./server.js";

/** Send image files to the server, one after the other, and look at the last. */
export async function bring(files) {
  for (const file of files) await bringOne(file);
}

/** Send an image and look at it.  image: a Blob; name: what it is called. */
export async function bringOne(image, name = image.name || "pasted picture") {
  say(`Reading ${name} …`);
  try {
    const picture = await ask("/api/pictures", image, { headers: { "X-Name": encodeURIComponent(name) } });
    keepPicture(picture);
    addPicture(picture);
    say("");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    say(`${name}: ${error.message}`);
  }
}

/** Look at a picture that the server knows by its id: "val:17" is of the data set. */
export async function bringKnown(id, options) {
  try {
    addPicture(await loadPicture(id), options);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    say(error.message);
  }
}

const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");

function dragged(event) {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  document.body.classList.add("dropping");
}

function dropped(event) {
  document.body.classList.remove("dropping");
  if (!holdsFiles(event)) return;
  event.preventDefault();
  bring([...event.dataTransfer.files]);
}

function pasted(event) {
  const files = [...(event.clipboardData?.files || [])];
  if (!files.length) return;
  event.preventDefault();
  bring(files);
}

/** Listen for pictures on the whole page. */
export function listenForPictures() {
  addEventListener("dragover", dragged);
  addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("dropping"));
  addEventListener("drop", dropped);
  addEventListener("paste", pasted);
  byId("file").addEventListener("change", (event) => {
    bring([...event.target.files]);
    event.target.value = "";
  });
  byId("bring-file").addEventListener("click", () => byId("file").click());
}
