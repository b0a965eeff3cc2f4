// The net itself: facts, learning curves, layers, first filters.

function netView() {
  const table = data.net, parameters = table.reduce((sum, row) => sum + row.parameters, 0);
  const main = data.facts.filter(([key]) => !key.startsWith("Recipe: "));
  const recipe = data.facts.filter(([key]) => key.startsWith("Recipe: ")).map(([key, value]) => [key.slice(8), value]);
  return [
    make("section", { class: "panel" }, make("h2", {}, "The checkpoint"), factList(main)),
    recipe.length > 0 && make("section", { class: "panel" }, make("h2", {}, "Recipe"), factList(recipe)),
    make("section", { class: "panel wide" }, make("h2", {}, "Training"), curves()),
    data.filters && make("section", { class: "panel" }, make("h2", {}, `Filters of ${data.filters.layer}`), filterWall()),
    make("section", { class: "panel prose" }, make("h2", {}, "How to read the pictures"),
      make("p", {}, `Each map's ${data.count} strongest units come from ${data.count} different pictures of the ${data.pictures.toLocaleString("en")} in the ${data.split} set of ${data.data}. A unit keeps its value, all others of its layer become zero, and that goes down to pixels: `,
        "unpool through the switches of its own picture, rectify, filter with the transpose, again and again. What arrives is the projection: what in the picture made the unit fire. Beside it stands the patch, the pixels the unit can see."),
      make("p", {}, data.look),
      data.layers.some((layer) => layer.shrunk) && make("p", {}, `To keep this page small, tiles are drawn smaller than the fields they show: ${data.layers.filter((layer) => layer.shrunk).map((layer) => `${layer.name} at ${size(layer.tile)}`).join(", ")} pixels.`),
      make("p", {}, "Numbers of the way down are kept for every unit; to keep this page small, thumbnails of its maps are kept for the strongest unit of each map."),
      make("p", {}, "After ", make("a", { href: "https://arxiv.org/abs/1311.2901", rel: "noreferrer" }, "Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, 2013"), ".")),
    make("section", { class: "panel wide" }, make("h2", {}, "Layers"), make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Layers" },
      make("table", {},
        make("thead", {}, make("tr", {}, ["layer", "type", "window", "output", "field", "parameters"].map((word) => make("th", { scope: "col" }, word)))),
        make("tbody", {}, table.map((row) => make("tr", {}, make("th", { scope: "row" }, row.layer), make("td", {}, row.type), make("td", {}, row.window),
          make("td", {}, size(row.output)), make("td", {}, size(row.field)), make("td", {}, row.parameters ? row.parameters.toLocaleString("en") : "")))),
        make("tfoot", {}, make("tr", {}, make("th", { scope: "row", colspan: 5 }, "all"), make("td", {}, parameters.toLocaleString("en"))))))),
  ].filter(Boolean);
}

function factList(rows) {
  return make("dl", { class: "facts" }, rows.map(([key, value]) => make("div", {}, make("dt", {}, key), make("dd", {}, value))));
}

function filterWall() {
  const { count, columns, cell: [down, right], tile: [height, width], sheet, layer } = data.filters;
  const there = data.layers.find((found) => found.name === layer);
  return make("div", { class: "filters" }, Array.from({ length: count }, (_, n) => {
    const box = [(n % columns) * right, Math.floor(n / columns) * down, width, height];
    const picture = later(canvas(96, Math.round((96 * height) / width), `Filter ${n}`), () => paint(picture, sheet, box, false));
    const shown = there && there.maps.some((map) => map.n === n);
    return shown ? make("a", { href: `#${layer}/${n}`, title: `Map ${n} of ${layer}` }, picture) : make("span", {}, picture);
  }));
}

// ------------------------------------------------------------------------------------------ curves

function curves() {
  const rows = data.history;
  if (!rows.length) return make("p", { class: "soft" }, "The checkpoint holds no history of its training.");
  const error = (key) => rows.map((row) => 100 * (1 - row[key]));
  return make("div", { class: "curves" },
    chart("Loss", "cross-entropy", rows, [["training", rows.map((row) => row.train_loss), "a"], ["validation", rows.map((row) => row.val_loss), "b"]]),
    chart("Error, %", "top-1 (full) and top-5 (dotted)", rows, [["training top-1", error("train_top1"), "a"], ["training top-5", error("train_top5"), "a dotted"],
      ["validation top-1", error("val_top1"), "b"], ["validation top-5", error("val_top5"), "b dotted"]]));
}

function niceStep(high) {
  const power = 10 ** Math.floor(Math.log10(high / 4 || 1));
  return [1, 2, 5, 10].map((k) => k * power).find((step) => high / step <= 5.5);
}

function chart(title, note, rows, lines) {
  const W = 460, H = 260, L = 44, R = 14, T = 12, B = 34;
  const high = Math.max(...lines.flatMap(([, values]) => values), 1e-9), step = niceStep(high), top = Math.ceil(high / step) * step;
  const last = Math.max(...rows.map((row) => row.epoch), 1), first = Math.min(...rows.map((row) => row.epoch), last);
  const x = (epoch) => (last === first ? (L + W - R) / 2 : L + ((W - L - R) * (epoch - first)) / (last - first));
  const y = (value) => H - B - ((H - T - B) * value) / top;
  const ticks = Array.from({ length: Math.round(top / step) + 1 }, (_, k) => k * step);
  const epochs = [...new Set(rows.map((row) => row.epoch))].filter((epoch, i, all) => i % Math.max(1, Math.ceil(all.length / 8)) === 0);
  const ends = lines.map(([name, values]) => `${name} ${short(values[values.length - 1])}`).join(", ");
  const cursor = shape("line", { class: "cursor", y1: T, y2: H - B, x1: -9, x2: -9 });
  const said = make("p", { class: "said" }, `After epoch ${rows[rows.length - 1].epoch}: ${ends}.`);
  const tell = (event) => {
    const at = event.currentTarget.getBoundingClientRect(), epoch = ((event.clientX - at.left) / at.width) * W;
    const i = rows.reduce((best, row, k) => (Math.abs(x(row.epoch) - epoch) < Math.abs(x(rows[best].epoch) - epoch) ? k : best), 0);
    cursor.setAttribute("x1", x(rows[i].epoch));
    cursor.setAttribute("x2", x(rows[i].epoch));
    said.textContent = `After epoch ${rows[i].epoch}: ` + lines.map(([name, values]) => `${name} ${short(values[i])}`).join(", ") + ".";
  };
  const picture = shape("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${title} over ${rows.length} epochs; at the end ${ends}`, onpointermove: tell },
    ticks.map((tick) => shape("g", {}, shape("line", { class: "grid", x1: L, x2: W - R, y1: y(tick), y2: y(tick) }),
      shape("text", { x: L - 8, y: y(tick) + 4, "text-anchor": "end" }, short(tick)))),
    epochs.map((epoch) => shape("text", { x: x(epoch), y: H - B + 18, "text-anchor": "middle" }, String(epoch))),
    cursor,
    lines.map(([, values, kind]) => shape("polyline", { class: `line ${kind}`, points: values.map((value, i) => `${x(rows[i].epoch).toFixed(1)},${y(value).toFixed(1)}`).join(" ") })),
    lines.map(([, values, kind]) => shape("circle", { class: `dot ${kind}`, r: 3.5, cx: x(rows[rows.length - 1].epoch), cy: y(values[values.length - 1]) })));
  return make("figure", {}, make("figcaption", {}, make("b", {}, title), ` ${note}`, make("span", { class: "legend" }, make("i", { class: "a" }), "training", make("i", { class: "b" }), "validation")), picture, said);
}
