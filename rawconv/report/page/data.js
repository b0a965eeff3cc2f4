// What the page shows: the JSON that stands in it.  Only this page's own modules read it; the
// modules that draw (elements, numbers, tiles, chart, steps) are given what they draw.

export const report = JSON.parse(document.getElementById("data").textContent);

/** The name of a unit's class. */
export const className = (unit) => report.classes[unit.class];

/** [[class number, times], ...] of the images of a feature map's units, the most frequent first. */
export function countClasses(map) {
  const times = new Map();
  for (const unit of map.units) {
    if (!unit.dead) times.set(unit.class, (times.get(unit.class) || 0) + 1);
  }
  return [...times].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
}
