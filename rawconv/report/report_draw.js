"use strict";
// Making elements and drawing tiles.  Text from the data always becomes a text node, never markup.

const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http:" + "//www.w3.org/2000/svg"; // a name, nothing is fetched

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

function make(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function shape(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** A number in three digits or so, as people read it. */
function short(value, digits = 3) {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(digits - 1).replace("e+", "e");
  const rounded = Number(value.toPrecision(Math.max(digits, Math.ceil(Math.log10(size + 1)))));
  return rounded.toLocaleString("en", { maximumFractionDigits: 6 });
}

function percent(value, digits = 2) {
  if (value === 0) return "0 %";
  return (value < 0.0001 ? "< 0.01" : String(Number((100 * value).toPrecision(digits)))) + " %";
}

const size = (numbers) => numbers.join("×");

/** "tiger ×5, lion ×2": [[class number, times], ...] of a map's units, most frequent first. */
function classesOf(map) {
  const times = new Map();
  for (const unit of map.units) if (!unit.dead) times.set(unit.class, (times.get(unit.class) || 0) + 1);
  return [...times].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
}

// ------------------------------------------------------------------------------------------ tiles

const decoded = new Map(); // of the sheets seen last
function decode(uri) {
  if (!decoded.has(uri)) {
    const image = new Image();
    image.src = uri;
    decoded.set(uri, image.decode().then(() => image));
    if (decoded.size > 600) decoded.delete(decoded.keys().next().value);
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

/** Draw the box [x, y, w, h] of a sheet into a canvas; what was asked last wins. */
function paint(canvas, uri, box, smooth) {
  const wanted = (canvas.wanted = {});
  decode(uri).then((image) => {
    if (canvas.wanted !== wanted) return;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = smooth;
    context.imageSmoothingQuality = "high";
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(cut(image, ...box), 0, 0, canvas.width, canvas.height);
    canvas.dataset.drawn = "yes";
  });
}

function canvas(width, height, label) {
  return make("canvas", label ? { width, height, role: "img", "aria-label": label } : { width, height, "aria-hidden": "true" });
}

/** A canvas for one tile of a layer, its longer side `side` pixels. */
function tileCanvas(layer, side, label) {
  const [height, width] = layer.tile, scale = side / Math.max(height, width);
  return canvas(Math.round(width * scale), Math.round(height * scale), label);
}

/** Tile `rank` of a map: face 0 its projection, 1 its patch. */
function paintTile(target, layer, map, rank, face) {
  const [height, width] = layer.tile, [down, right] = layer.cell;
  paint(target, map.sheet, [rank * right, face * down, width, height], true);
}

const soon = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    soon.unobserve(entry.target);
    entry.target.draw();
  }
}, { rootMargin: "400px" });

/** Draw when it comes near the screen. */
function later(target, draw) {
  target.draw = draw;
  soon.observe(target);
  return target;
}
