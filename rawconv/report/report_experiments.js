// The experiments done on this net: figure, what it shows, table, options, and the files to take away.

function experimentsView() {
  return data.experiments.map((one) => make("section", { class: "panel wide experiment", "aria-label": one.name },
    make("h2", {}, one.name, make("small", { class: "soft" }, ` ${one.folder}`)),
    make("div", { class: "prose" }, one.sentences.map((sentence) => make("p", {}, sentence))),
    make("img", { src: one.figure, alt: one.alt }),
    one.rows.length > 0 && experimentTable(one),
    one.published.length > 0 && folded("The paper's numbers, for comparison", factList(one.published)),
    folded("The exact options", factList(one.options)),
    make("p", { class: "takeaway" }, one.files.map((file) => make("a", { href: file.uri, download: file.name }, file.name)))));
}

function experimentTable({ name, columns, rows, count }) {
  const rest = count > rows.length ? ` The first ${rows.length} of ${count.toLocaleString("en")} rows; all are in the CSV file.` : "";
  const number = (text) => (/^-?\d[\d.]*(e[-+]?\d+)?$/i.test(text) ? short(Number(text), 4) : text);
  return folded(`The numbers, ${count.toLocaleString("en")} rows`, make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Numbers of ${name}` },
    make("table", {}, make("thead", {}, make("tr", {}, columns.map((word) => make("th", { scope: "col" }, word.replaceAll("_", " "))))),
      make("tbody", {}, rows.map((row) => make("tr", {}, row.map((cell) => make("td", {}, number(cell)))))))), rest && make("p", { class: "soft" }, rest));
}

function folded(title, ...content) {
  return make("details", {}, make("summary", {}, title), ...content);
}
