// Drawing tiles: boxes of sheets, which are pictures of many tiles.

const KEPT = 600; // decoded sheets, of those seen last
const decoded = new Map();

function decode(uri) {
  if (!decoded.has(uri)) {
    const image = new Image();
    image.src = uri;
    decoded.set(uri, image.decode().then(() => image));
    if (decoded.size > KEPT) decoded.delete(decoded.keys().next().value);
  }
  return decoded.get(uri);
}

/** A box of a sheet by itself, so that smoothing at its edge does not reach into its neighbour. */
function cut(image, left, top, width, height) {
  const alone = document.createElement("canvas");
  [alone.width, alone.height] = [width, height];
  alone.getContext("2d").drawImage(image, left, top, width, height, 0, 0, width, height);
  return alone;
}

/** Draw the box [x, y, width, height] of a sheet into a canvas; what was asked last wins. */
export function drawBox(canvas, uri, box, smooth) {
  const wanted = (canvas.wanted = {});
  decode(uri).then((image) => {
    if (canvas.wanted !== wanted) return;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = smooth;
    context.imageSmoothingQuality = "high";
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(cut(image, ...box), 0, 0, canvas.width, canvas.height);
    canvas.dataset.drawn = "yes";
    canvas.dispatchEvent(new Event("drawn"));
  });
}

/** Call `then` when the box that was asked for last has been drawn. */
export function onDrawn(canvas, then) {
  canvas.addEventListener("drawn", then);
}

/** A canvas of these pixels; without a label it is hidden from readers of the screen. */
export function makeCanvas(width, height, label) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  if (label) canvas.setAttribute("role", "img");
  canvas.setAttribute(label ? "aria-label" : "aria-hidden", label || "true");
  return canvas;
}

/** A canvas as wide as `width`, of a tile's proportions. */
export function canvasFor([rows, columns], width, label) {
  return makeCanvas(width, Math.max(1, Math.round((width * rows) / columns)), label);
}

/** A canvas for one tile of a layer, its longer side `side` pixels. */
export function tileCanvas(layer, side, label) {
  const [height, width] = layer.tile, scale = side / Math.max(height, width);
  return makeCanvas(Math.round(width * scale), Math.round(height * scale), label);
}

/** Draw tile `rank` of a feature map: face 0 is its projection, 1 its patch. */
export function drawTile(canvas, layer, map, rank, face) {
  const [height, width] = layer.tile, [down, right] = layer.cell;
  drawBox(canvas, map.sheet, [rank * right, face * down, width, height], true);
}

const near = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    near.unobserve(entry.target);
    entry.target.draw();
  }
}, { rootMargin: "400px" });

/** Call `draw` when the target comes near the screen.  What must be there on paper is drawn at once instead. */
export function drawWhenNear(target, draw) {
  target.draw = draw;
  near.observe(target);
  return target;
}
