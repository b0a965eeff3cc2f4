// What hiding a part of a picture changes: a number for each place of a grey square, as colours over the picture.

const COLOURS = [[38, 12, 81], [105, 25, 110], [172, 48, 92], [226, 90, 57], [248, 159, 36], [252, 255, 164]];
const VEIL = 0.7; // how much of the picture the colours hide

/** The colour of a share from 0 to 1: dark to light, the same order to all eyes and in grey. */
export function heatColour(share) {
  const at = Math.min(0.99999, Math.max(0, share)) * (COLOURS.length - 1), k = Math.floor(at);
  return COLOURS[k].map((value, channel) => Math.round(value + (at - k) * (COLOURS[k + 1][channel] - value)));
}

/** [lowest, highest] of the values that are there. */
export function heatRange(values) {
  const there = values.filter((value) => value != null);
  return [Math.min(...there), Math.max(...there)];
}

/** Paint over what the canvas shows, a picture of `size` [height, width] pixels.
 *
 *  rows, columns: where the middle of the square was; values: one for each, row by row; null: not known yet.
 */
export function paintHeat(canvas, size, { rows, columns, values }, [low, high] = heatRange(values)) {
  const context = canvas.getContext("2d"), edges = [cellEdges(rows, size[0]), cellEdges(columns, size[1])];
  const scale = [canvas.height / size[0], canvas.width / size[1]];
  context.save();
  context.globalAlpha = VEIL;
  values.forEach((value, k) => {
    if (value == null) return;
    const row = Math.floor(k / columns.length), column = k % columns.length;
    context.fillStyle = `rgb(${heatColour(high > low ? (value - low) / (high - low) : 0.5).join(" ")})`;
    const [top, bottom] = [edges[0][row], edges[0][row + 1]].map((edge) => Math.round(edge * scale[0]));
    const [left, right] = [edges[1][column], edges[1][column + 1]].map((edge) => Math.round(edge * scale[1]));
    context.fillRect(left, top, right - left, bottom - top);
  });
  context.restore();
}

/** Half-way between neighbouring middles; the first and the last cell reach the rim. */
function cellEdges(middles, length) {
  const between = middles.slice(1).map((middle, k) => (middle + middles[k]) / 2 + 0.5);
  return [0, ...between, length];
}

/** The place of the lowest value: {value, row, column}. */
export function lowestPlace({ rows, columns, values }) {
  const k = values.indexOf(heatRange(values)[0]);
  return { value: values[k], row: rows[Math.floor(k / columns.length)], column: columns[k % columns.length] };
}
