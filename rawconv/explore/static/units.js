// Units as they stand in the address and as the server names them: conv4:17:3:5, conv4:17 (its strongest place),
// conv4:17:* (the whole map); conv4 alone is a layer.

const FORM = /^(.*?)(?::(\d+)(?::(\*|\d+:\d+))?)?$/; // the name of a layer may hold colons of its own

/** {layer, map, y, x, whole}; map, y and x are undefined where the text does not say them. */
export function parseUnit(text) {
  const [, layer, map, place] = FORM.exec(text) || [null, text];
  const found = { layer, map: map === undefined ? undefined : Number(map), whole: place === "*" };
  if (place && !found.whole) [found.y, found.x] = place.split(":").map(Number);
  return found;
}

export function unitText({ layer, map, y, x, whole }) {
  if (map === undefined) return layer;
  return `${layer}:${map}${whole ? ":*" : y === undefined ? "" : `:${y}:${x}`}`;
}

/** (top, left, bottom, right) in the picture that the unit at (y, x) of a layer sees; it may leave the picture. */
export function fieldBox({ start, stride, field }, y, x) {
  const top = start[0] + y * stride[0], left = start[1] + x * stride[1];
  return [top, left, top + field[0], left + field[1]];
}

/** The unit [y, x] of a layer whose field has its middle nearest to a pixel. */
export function unitAt({ start, stride, field, shape }, row, column) {
  return [row, column].map((at, axis) => {
    const middle = start[axis] + (field[axis] - 1) / 2;
    const place = stride[axis] ? Math.round((at - middle) / stride[axis]) : 0;
    return Math.min(shape[axis] - 1, Math.max(0, place));
  });
}
