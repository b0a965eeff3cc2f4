// The experiments done on this net: figure, what it shows, table, options, and the files to take away.

import { report } from "./data.js";
import { element, factList, scrollingTable } from "./elements.js";
import { formatCount, formatNumber } from "./numbers.js";

/** A panel for each experiment. */
export const experimentsView = () => report.experiments.map(experimentPanel);

function experimentPanel(experiment) {
  const { name, folder, sentences, figure, alt, rows, published, options, files } = experiment;
  return element("section", { class: "panel wide experiment", "aria-label": name },
    element("h2", {}, name, element("small", { class: "soft" }, ` ${folder}`)),
    element("div", { class: "prose" }, sentences.map((sentence) => element("p", {}, sentence))),
    element("img", { src: figure, alt }),
    rows.length > 0 && numbersTable(experiment),
    published.length > 0 && folded("The paper's numbers, for comparison", factList(published)),
    folded("The exact options", factList(options)),
    element("p", { class: "takeaway" }, files.map(({ uri, name: file }) =>
      element("a", { href: uri, download: file }, file))));
}

function numbersTable({ name, columns, rows, count }) {
  const title = `The numbers, ${formatCount(count)} rows`;
  const rest = `The first ${rows.length} of ${formatCount(count)} rows; all are in the CSV file.`;
  const cells = rows.map((row) => row.map((text) => element("td", {}, readableCell(text))));
  return folded(title, scrollingTable(`Numbers of ${name}`, columns.map((word) => word.replaceAll("_", " ")), cells),
    count > rows.length && element("p", { class: "soft" }, rest));
}

const readableCell = (text) => (/^-?\d[\d.]*(e[-+]?\d+)?$/i.test(text) ? formatNumber(Number(text), 4) : text);

const folded = (title, ...content) => element("details", {}, element("summary", {}, title), ...content);
