// The page: what is chosen stands in the address (#conv4/17/2: layer, map, second of its units), the rest follows it.

const $ = (id) => document.getElementById(id);
const narrow = matchMedia("(max-width: 860px)");
const state = { layer: null, map: null, rank: 0, view: "" };
const VIEWS = { net: netView, experiments: experimentsView };
const FACES = ["projection", "patch"];

function address(layer, map, rank) {
  return "#" + encodeURIComponent(layer.name) + (map ? `/${map.n}` : "") + (map && rank ? `/${rank + 1}` : "");
}

/** Choose; `quietly` replaces the last entry of the browser's history instead of adding one. */
function go(layer, map, rank, quietly) {
  const where = address(layer, map, rank);
  if (where === location.hash) return;
  if (quietly) history.replaceState(null, "", where);
  else history.pushState(null, "", where);
  follow();
}

function follow() {
  const [name, number, place] = location.hash.slice(1).split("/");
  const before = { ...state };
  if (name === "net" || (name === "experiments" && data.experiments.length)) {
    state.view = name;
  } else {
    const asked = data.layers.find((layer) => layer.name === safeDecode(name || ""));
    state.layer = asked || state.layer || startLayer();
    const chosen = state.layer.maps.find((map) => String(map.n) === number);
    state.map = chosen || (narrow.matches ? null : sorted(state.layer)[0] || null);
    state.rank = state.map ? Math.min(Math.max(0, (parseInt(place, 10) || 1) - 1), state.map.units.length - 1) : 0;
    state.view = chosen ? "map" : "gallery";
  }
  show(before);
}

function safeDecode(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

const startLayer = () => [...data.layers].reverse().find((layer) => !layer.score) || data.layers[0];

function show(before) {
  document.body.dataset.view = state.view;
  $("maps").hidden = state.view in VIEWS;
  for (const name in VIEWS) $(name).hidden = state.view !== name;
  for (const link of $("layers").children) {
    const current = link.dataset.layer === (state.view in VIEWS ? state.view : state.layer.name);
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    if (current) link.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  if (state.view in VIEWS) {
    if (!$(state.view).childElementCount) $(state.view).append(...VIEWS[state.view]());
    return;
  }
  if (before.layer !== state.layer) fillGallery();
  if (before.map !== state.map || before.layer !== state.layer) {
    markCard();
    fillDetail();
    if (narrow.matches) scrollTo(0, 0);
  } else if (before.rank !== state.rank) chooseUnit();
}

// ------------------------------------------------------------------------------------------ the gallery

/** How many of a map's units, or its name or number, answer the search; 0 for none. */
function matches(map, query) {
  if (!query) return 1;
  if (/^\d+$/.test(query)) return String(map.n) === query ? 2 : 0;
  if (map.title.toLowerCase().includes(query)) return map.units.length;
  if (query === "dead") return map.dead ? 1 : 0;
  return map.units.filter((unit) => isFound(unit, query)).length;
}

const isFound = (unit, query) => query !== "" && !unit.dead && data.classes[unit.class].toLowerCase().includes(query);
const query = () => $("search").value.trim().toLowerCase();

function sorted(layer) {
  const order = {
    number: (a, b) => a.n - b.n,
    activation: (a, b) => b.units[0].value - a.units[0].value || a.n - b.n,
    purity: (a, b) => purity(b) - purity(a) || b.units[0].value - a.units[0].value,
  }[$("sort").value];
  const asked = query(), found = layer.maps.map((map) => [matches(map, asked), map]).filter(([hits]) => hits);
  return found.sort((a, b) => (asked ? b[0] - a[0] : 0) || order(a[1], b[1])).map(([, map]) => map);
}

const purity = (map) => (classesOf(map)[0] || [0, 0])[1];

function fillGallery() {
  const { layer } = state, asked = query(), found = sorted(layer), dead = layer.maps.filter((map) => map.dead).length;
  $("cards").replaceChildren(...found.map((map) => make("li", {}, card(layer, map, asked))));
  $("face-pick").hidden = !layer.patches;
  const total = layer.maps.length, all = layer.shape[2];
  $("count").textContent = (asked ? `${found.length} of ${total} maps with “${$("search").value.trim()}”` : `${total}${total < all ? ` of ${all}` : ""} maps`)
    + ` · ${size(layer.shape.slice(0, 2))} places · each sees ${size(layer.field)} pixels` + (dead ? ` · ${dead} dead` : "");
  markCard();
}

function card(layer, map, asked) {
  const face = layer.patches ? FACES.indexOf($("face").value) : 0, [first] = classesOf(map), hits = asked && !/^\d+$/.test(asked) && matches(map, asked);
  const mostly = first && first[1] > 1 ? `${data.classes[first[0]]} ×${first[1]}` : "";
  const note = map.dead ? "dead" : hits ? `${hits} of ${map.units.length}` : mostly;
  const picture = map.dead ? make("span", { class: "dead", "aria-hidden": "true" }, "dead") : tileCanvas(layer, 160);
  if (!map.dead) later(picture, () => paintTile(picture, layer, map, 0, face));
  const label = map.dead ? `${map.title}, dead: never above 0` : `${map.title}, activation ${short(map.units[0].value)}${mostly ? `, ${mostly}` : ""}`;
  return make("button", { class: "card", type: "button", "data-map": map.n, "aria-label": label, tabindex: -1, onclick: () => open(map) },
    make("span", { class: "frame" }, picture), make("span", { class: "name" }, layer.score ? map.title : String(map.n)), make("span", { class: "note" }, note || "\u00a0"));
}

function open(map) {
  go(state.layer, map, 0);
  if (narrow.matches) $("detail").focus({ preventScroll: true });
}

const cards = () => [...$("cards").querySelectorAll(".card")];

function markCard() {
  const all = cards();
  for (const one of all) {
    const chosen = state.map && Number(one.dataset.map) === state.map.n;
    one.tabIndex = chosen ? 0 : -1;
    if (chosen) one.setAttribute("aria-current", "true");
    else one.removeAttribute("aria-current");
    if (chosen && !narrow.matches) one.scrollIntoView({ block: "nearest" });
  }
  if (all.length && !all.some((one) => one.tabIndex === 0)) all[0].tabIndex = 0;
}

// ------------------------------------------------------------------------------------------ one map

function fillDetail() {
  const { layer, map } = state;
  if (!map) return $("detail").replaceChildren(make("p", { class: "empty" }, query() ? "No map of this layer matches." : "Choose a map."));
  const values = map.units.filter((unit) => !unit.dead).map((unit) => unit.value);
  const range = values.length > 1 ? `activations ${short(values[0])} to ${short(values[values.length - 1])}` : values.length ? `activation ${short(values[0])}` : "never above 0";
  const back = make("button", { type: "button", class: "back", onclick: toGallery }, "← All maps");
  const heading = make("h2", { id: "map-title" }, layer.score ? map.title : `Map ${map.n}`);
  const step = (by, word, sign) => make("button", { type: "button", class: "step", "aria-label": word, title: word, onclick: () => moveMap(by) }, sign);
  const head = make("div", { class: "head" }, back, make("div", { class: "titles" }, heading, make("p", {}, `${layer.name} · ${range}`)),
    make("div", { class: "steps" }, step(-1, "Previous map", "‹"), step(1, "Next map", "›")));
  $("detail").scrollTop = 0;
  if (map.dead) {
    return $("detail").replaceChildren(head, make("p", { class: "deadnote" }, `Dead: over all ${data.pictures.toLocaleString("en")} pictures this map was never above 0, so there is nothing to project.`));
  }
  const chips = make("p", { class: "chips", "aria-label": "Classes of its pictures" }, classesOf(map).map(([number, times]) =>
    make("button", { type: "button", title: "Search the maps for this class", onclick: () => searchFor(data.classes[number]) }, data.classes[number], make("b", {}, ` ${times}`))));
  const grids = make("div", { class: "grids" }, grid(0, "Projections"), layer.patches && grid(1, layer.whole ? "The pictures they saw" : "The patches they saw"), filterOf(layer, map));
  $("detail").replaceChildren(head, chips, grids, make("section", { id: "unit", "aria-live": "off" }));
  chooseUnit();
}

function grid(face, title) {
  const { layer, map } = state, side = Math.ceil(Math.sqrt(map.units.length));
  const tiles = map.units.map((unit, rank) => {
    const words = `${face ? "Patch" : "Projection"} ${rank + 1}: ${data.classes[unit.class]}, activation ${short(unit.value)}`;
    const picture = unit.dead ? make("span", { class: "dead" }, "0") : tileCanvas(layer, 256);
    if (!unit.dead) paintTile(picture, layer, map, rank, face);
    return make("button", { type: "button", class: "tile", "data-rank": rank, "aria-label": words, title: `${data.classes[unit.class]} · ${short(unit.value)}`, onclick: () => go(layer, map, rank, true) }, picture);
  });
  const holder = make("div", { class: "nine", role: "group", "aria-label": title }, tiles);
  holder.style.gridTemplateColumns = `repeat(${side}, 1fr)`;
  return make("figure", {}, make("figcaption", {}, title), holder);
}

/** In the first layer the weights themselves are a picture. */
function filterOf(layer, map) {
  const filters = data.filters;
  if (!filters || filters.layer !== layer.name || map.n >= filters.count) return null;
  const [height, width] = filters.tile, [down, right] = filters.cell;
  const picture = canvas(224, Math.round((224 * height) / width), `The weights of filter ${map.n}`);
  paint(picture, filters.sheet, [(map.n % filters.columns) * right, Math.floor(map.n / filters.columns) * down, width, height], false);
  return make("figure", { class: "weights" }, make("figcaption", {}, "Its filter"), picture);
}

function chooseUnit() {
  const { layer, map, rank } = state, asked = query();
  for (const tile of $("detail").querySelectorAll(".tile")) {
    const mine = Number(tile.dataset.rank) === rank;
    tile.setAttribute("aria-pressed", String(mine));
    tile.tabIndex = mine ? 0 : -1;
    tile.classList.toggle("match", isFound(map.units[Number(tile.dataset.rank)], asked));
  }
  $("unit").replaceChildren(...unitView(layer, map, map.units[rank], rank));
}

// ------------------------------------------------------------------------------------------ one unit and its way down

function unitView(layer, map, unit, rank) {
  const kind = data.classes[unit.class];
  if (unit.dead) return [make("h3", {}, `Unit ${rank + 1} is 0`), make("p", { class: "soft" }, "On fewer pictures than asked was this map above 0.")];
  const large = FACES.slice(0, layer.patches ? 2 : 1).map((word, face) => {
    const picture = tileCanvas(layer, 320, `${face ? "The pixels it saw" : "Its projection"}, ${kind}`);
    paintTile(picture, layer, map, rank, face);
    return make("figure", {}, picture, make("figcaption", {}, word));
  });
  const facts = [["Value", short(unit.value, 4)], ["Class", kind], ["Picture", unit.picture], ["Place", `row ${unit.y}, column ${unit.x} of ${size(layer.shape.slice(0, 2))}`],
    ["Field", `rows ${unit.box[0]} to ${unit.box[2] - 1}, columns ${unit.box[1]} to ${unit.box[3] - 1}`]];
  return [
    make("h3", {}, layer.score ? `The score in picture ${rank + 1}` : `Unit ${rank + 1}`, make("small", {}, ` of ${map.units.length}`)),
    make("div", { class: "large" }, ...large, make("div", { class: "about" }, factList(facts), locator(unit))),
    make("h3", {}, "Its way down"),
    way(layer, map, unit, rank),
  ];
}

/** Where in the picture the unit looks. */
function locator(unit) {
  const [height, width] = data.picture, [top, left, bottom, right] = unit.box;
  const x0 = Math.min(0, left), y0 = Math.min(0, top), x1 = Math.max(width, right), y1 = Math.max(height, bottom), rim = (x1 - x0) / 50;
  return shape("svg", { class: "locator", viewBox: `${x0 - rim} ${y0 - rim} ${x1 - x0 + 2 * rim} ${y1 - y0 + 2 * rim}`, role: "img", "aria-label": "The unit's field in the picture" },
    shape("rect", { class: "whole", x: 0, y: 0, width, height }), shape("rect", { class: "field", x: left, y: top, width: right - left, height: bottom - top }));
}

const EXPLAINED = {
  filter: "with the transpose of its filters", rectify: "what is below 0 becomes 0", unpool: "each value returns to its switch",
  norm: "by its derivative",
};

function way(layer, map, unit, rank) {
  let top = 0;
  const seed = layer.score ? "1" : short(unit.value, 4);
  const start = make("li", { class: "seed" }, make("div", { class: "verb" }, make("b", {}, "start"), make("span", {}, layer.name)),
    make("div", { class: "what" }, make("p", {}, `Map ${map.n} is ${seed} at row ${unit.y}, column ${unit.x}; all else in ${size(layer.shape)} is 0.`)));
  const biggest = Math.log10(Math.max(...unit.energy, 1e-30)), least = Math.log10(Math.max(1e-30, Math.min(...unit.energy.filter((value) => value > 0))));
  const rows = layer.steps.map((step, i) => {
    const row = top;
    top += step.thumb[0];
    if (step.skipped) return make("li", { class: "skipped" }, make("div", { class: "verb" }, make("b", {}, step.verb), make("span", {}, step.layer)), make("div", { class: "what" }, make("p", {}, "passes it on as it is")));
    const level = unit.energy[i] > 0 ? (Math.log10(unit.energy[i]) - least + 0.3) / (biggest - least + 0.3) : 0;
    return make("li", { class: step.verb }, make("div", { class: "verb" }, make("b", {}, step.verb), make("span", {}, step.layer)),
      make("div", { class: "what" }, make("p", {}, make("b", {}, size(step.shape)), explained(step)),
        make("div", { class: "measures" }, meter("energy", short(unit.energy[i]), level), meter("not zero", percent(unit.share[i]), unit.share[i])),
        rank === 0 && thumbnails(map, step, i, row)));
  });
  const note = make("p", { class: "soft" }, rank === 0 ? "First all maps of the step in one (root of the summed squares), then its four strongest; grey is 0, light above, dark below. Each step has its own scale. Energy: the sum of squares; its bar is logarithmic."
    : "To keep this page small, the maps on the way are drawn for the strongest unit only: ", rank === 0 ? null : make("a", { href: address(layer, map, 0) }, "unit 1"), rank === 0 ? null : ".");
  return make("div", {}, note, make("ol", { class: "way" }, start, rows));
}

function explained(step) {
  if (step.verb === "rectify" && data.rules.relu === "gradient") return " · kept where the map was above 0 on the way up";
  if (step.verb === "rectify" && data.rules.relu === "guided") return " · kept where it and the map on the way up are above 0";
  return EXPLAINED[step.verb] ? ` · ${EXPLAINED[step.verb]}` : "";
}

function meter(word, text, level) {
  const bar = make("i", { "aria-hidden": "true" });
  bar.style.setProperty("--level", `${(100 * Math.min(1, Math.max(0.004, level))).toFixed(1)}%`);
  return make("span", { class: "meter" }, make("span", {}, `${word} `, make("b", {}, text)), bar);
}

function thumbnails(map, step, i, top) {
  const [height, width] = step.thumb, strongest = map.strongest[i];
  return make("div", { class: "thumbs" }, Array.from({ length: 1 + strongest.length }, (_, k) => {
    const word = k ? (step.layer === data.net[0].layer && step.shape[2] === 3 ? ["red", "green", "blue"][strongest[k - 1]] : `map ${strongest[k - 1]}`) : size(step.shape.slice(0, 2)) === "1×1" ? "all values" : "all";
    const picture = canvas(96, Math.max(1, Math.round((96 * height) / width)), `${word} after ${step.verb} ${step.layer}`);
    later(picture, () => paint(picture, map.path, [k * width, top, width, height], false));
    return make("figure", { class: k ? "" : "whole" }, picture, make("figcaption", {}, word));
  }));
}

// ------------------------------------------------------------------------------------------ moving about

function moveMap(by, from) {
  const order = cards().map((one) => Number(one.dataset.map));
  if (!order.length) return;
  const at = order.indexOf(from ?? (state.map ? state.map.n : -1));
  const next = order[Math.min(order.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
  go(state.layer, state.layer.maps.find((map) => map.n === next), 0, true);
}

function moveInGallery(event, focused) {
  const all = cards(), at = all.indexOf(focused), tops = all.map((one) => one.offsetTop);
  const columns = Math.max(1, tops.findIndex((top) => top !== tops[0]) === -1 ? all.length : tops.findIndex((top) => top !== tops[0]));
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - columns, ArrowDown: at + columns, Home: 0, End: all.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  if (!all[to]) return;
  for (const one of all) one.tabIndex = -1;
  all[to].tabIndex = 0;
  all[to].focus();
  if (!narrow.matches) go(state.layer, state.layer.maps.find((map) => map.n === Number(all[to].dataset.map)), 0, true);
}

function moveInGrid(event, tile) {
  const side = Math.ceil(Math.sqrt(state.map.units.length)), at = state.rank;
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - side, ArrowDown: at + side, Home: 0, End: state.map.units.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  if (!state.map.units[to]) return;
  go(state.layer, state.map, to, true);
  tile.parentElement.children[to].focus();
}

function toGallery() {
  const number = state.map && state.map.n;
  if (narrow.matches) go(state.layer, null, 0);
  const one = cards().find((found) => Number(found.dataset.map) === number) || cards()[0];
  if (one) one.focus();
}

function toUnits() {
  const first = $("detail").querySelector('.tile[tabindex="0"]');
  if (first) first.focus();
  else $("detail").focus();
}

function searchFor(text) {
  $("search").value = text;
  if (narrow.matches) go(state.layer, null, 0);
  searched();
  $("search").focus();
}

function searched() {
  fillGallery();
  const found = cards().map((one) => Number(one.dataset.map));
  if (!narrow.matches && !(state.map && found.includes(state.map.n))) {
    const first = state.layer.maps.find((map) => map.n === found[0]);
    if (first) go(state.layer, first, 0, true);
  } else if (state.map && !state.map.dead) chooseUnit();
}

function pressed(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || state.view in VIEWS) return;
  const at = document.activeElement, typing = at && at.matches("input, select");
  if (event.key === "Escape") {
    if (at === $("search") && $("search").value) { $("search").value = ""; searched(); } else toGallery();
    event.preventDefault();
  } else if (typing) {
    if (event.key === "Enter" && at === $("search") && cards()[0]) { event.preventDefault(); cards()[0].focus(); }
  } else if (event.key === "/") {
    event.preventDefault();
    if (narrow.matches && state.view === "map") toGallery();
    $("search").focus();
  } else if (at && at.classList.contains("card")) {
    if (event.key === "Enter") { event.preventDefault(); at.click(); toUnits(); } else moveInGallery(event, at);
  } else if (at && at.classList.contains("tile")) moveInGrid(event, at);
  else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
    if (at && at.closest(".scroll, nav")) return;
    event.preventDefault();
    moveMap(event.key === "ArrowLeft" ? -1 : 1);
  }
}

function begin() {
  $("title").textContent = data.model;
  $("subtitle").textContent = `what its maps respond to in ${data.pictures.toLocaleString("en")} ${data.split} pictures of ${data.data}`;
  const link = (name, note) => make("a", { href: `#${encodeURIComponent(name)}`, "data-layer": name }, name === "net" ? make("span", {}, make("i", {}, "the "), "net") : name, note && make("small", {}, ` ${note}`));
  $("layers").append(...data.layers.map((layer) => link(layer.name, layer.maps.length)), link("net"));
  if (data.experiments.length) $("layers").append(link("experiments", data.experiments.length));
  $("classes").append(...[...new Set(data.classes)].map((value) => make("option", { value })));
  $("search").addEventListener("input", searched);
  $("sort").addEventListener("change", fillGallery);
  $("face").addEventListener("change", fillGallery);
  addEventListener("hashchange", follow);
  addEventListener("popstate", follow);
  addEventListener("keydown", pressed);
  narrow.addEventListener("change", follow);
  follow();
}

begin();
