// Painting a projection: over its picture, by itself, and the pixels that the unit saw.

const images = new Map(); // address: promise of an image
const KEPT = 24;
const VEIL = "rgb(24 25 30 / 52%)", LINE = "#ff7a45";

/** The image at an address, decoded. */
export function loadImage(address) {
  if (!images.has(address)) {
    const image = new Image();
    image.src = address;
    if (images.size >= KEPT) images.delete(images.keys().next().value);
    const promise = image.decode().then(() => image);
    images.set(address, promise);
    promise.catch(() => images.delete(address));
  }
  return images.get(address);
}

/** Ask for images anew: the server may be another one. */
export const forgetImages = () => images.clear();

/** What base64 text of a PNG shows. */
export function decodePng(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type: "image/png" }));
}

function begin(canvas, width, height) {
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.globalCompositeOperation = "source-over";
  context.clearRect(0, 0, width, height);
  return context;
}

/** Whole pixels of the canvas for one of the picture, so that it is about `wanted` wide. */
export const scaleFor = (length, wanted) => Math.max(1, Math.round(wanted / length));

/** The picture with the projection laid over it where it is, and a line around its field.
 *
 *  shown, box: [top, left, bottom, right]; projection: an image of `shown`, or null.  Where the projection is grey
 *  the picture is only veiled; where it is lighter or darker, so is the picture.
 */
export function paintOver(canvas, picture, { shown, box, projection }, wanted = 560) {
  const { width, height } = picture, scale = scaleFor(Math.max(width, height), wanted);
  const context = begin(canvas, width * scale, height * scale);
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  if (!box) return;
  const [top, left, bottom, right] = shown.map((side) => side * scale);
  if (projection) {
    context.fillStyle = VEIL;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.globalCompositeOperation = "hard-light";
    context.drawImage(projection, left, top, right - left, bottom - top);
    context.globalCompositeOperation = "source-over";
  }
  outline(context, box.map((side) => side * scale), canvas);
}

/** A line around a box; what of it leaves the picture runs along the picture's rim. */
function outline(context, [top, left, bottom, right], { width, height }) {
  const rim = 3;
  context.strokeStyle = LINE;
  context.lineWidth = 4;
  const [y0, x0] = [Math.max(rim, top), Math.max(rim, left)];
  context.strokeRect(x0, y0, Math.min(width - rim, right) - x0, Math.min(height - rim, bottom) - y0);
}

/** An image by itself, about `wanted` pixels wide. */
export function paintAlone(canvas, image, wanted = 440) {
  const scale = scaleFor(Math.max(image.width, image.height), wanted);
  const context = begin(canvas, image.width * scale, image.height * scale);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
}

/** A box of a picture by itself; grey where the box leaves it. */
export function paintPatch(canvas, picture, [top, left, bottom, right], wanted = 440) {
  const scale = scaleFor(Math.max(bottom - top, right - left), wanted);
  const context = begin(canvas, (right - left) * scale, (bottom - top) * scale);
  context.fillStyle = "#808080";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, -left * scale, -top * scale, picture.width * scale, picture.height * scale);
}
