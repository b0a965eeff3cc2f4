// A frame of the webcam.

import { byId } from "../page/elements.js";
import { bringOne } from "./bring.js";
import { say } from "./say.js";

let stream = null;

/** Open the dialog with the camera's picture. */
export async function openWebcam() {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: true });
  } catch (error) {
    say(`There is no picture from a webcam: ${error.message || error.name}.`);
    return;
  }
  byId("video").srcObject = stream;
  byId("webcam").showModal();
}

/** Take the frame that is shown, as a PNG. */
async function takeFrame() {
  const video = byId("video"), canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  const image = await new Promise((done) => canvas.toBlob(done, "image/png"));
  byId("webcam").close();
  await bringOne(image, "webcam");
}

function stop() {
  for (const track of stream?.getTracks() || []) track.stop();
  stream = null;
}

export function listenForWebcam() {
  byId("bring-webcam").addEventListener("click", openWebcam);
  byId("take").addEventListener("click", takeFrame);
  byId("webcam").addEventListener("close", stop);
}
