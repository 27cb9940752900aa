// What is shown beside the editor: problems, derivation, curves, numbers.

// An element with attributes and children, which are elements or texts.
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  return filled(made, attributes, children);
}

function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

// A text in which what stands in backticks is code, and what stands in two stars is strong.
function coded(text) {
  const strong = (part) => part.split("**").map((piece, i) => (i % 2 ? element("strong", {}, piece) : piece));
  return text.split("`").flatMap((part, i) => (i % 2 ? [element("code", {}, part)] : strong(part)));
}

// ---------------------------------------------------------------- problems

export function problemItem(problem, fixes, editor) {
  const { severity, code, title, line, hint, label } = problem;
  const place = element(
    "button",
    { type: "button", class: `problem ${severity}` },
    element("span", { class: "where" }, `line ${line} · ${severity} ${code}`),
    element("br"),
    ...coded(title),
    label ? element("span", { class: "hint" }, ...coded(label)) : null,
    hint ? element("span", { class: "hint" }, "→ ", ...coded(hint)) : null,
  );
  place.addEventListener("click", () => editor.go(problem.from));
  const ways = fixes.map((fix) => {
    const way = element("button", { type: "button", class: "fix" }, ...coded(fix.title));
    way.addEventListener("click", () => editor.take(fix));
    return way;
  });
  return element("li", {}, place, ...ways);
}

// The little Markdown that answers are written in: fenced code, lists, paragraphs, and code in backticks.
export function markdown(text) {
  return text.split(/```\w*\n([\s\S]*?)\n```/).flatMap((piece, i) =>
    i % 2 ? [element("pre", {}, piece)] : piece.split(/\n\n+/).filter((p) => p.trim()).map(paragraph),
  );
}

function paragraph(text) {
  const [head, ...items] = text.trim().split(/(?:^|\n)- /);
  const list = items.length ? element("ul", {}, ...items.map((item) => element("li", {}, ...coded(item)))) : null;
  return element("div", {}, ...(head.trim() ? [element("p", {}, ...coded(head.trim()))] : []), ...(list ? [list] : []));
}

// ---------------------------------------------------------------- derivation

export function derivationParts({ name, about, blocks, together, expects }) {
  const marks = { true: "✓", false: "✗", null: "·" };
  return [
    element("p", { class: "headline" }, element("strong", {}, name), ` · ${about}`),
    ...blocks.map(blockPart),
    rowList("together", together),
    element(
      "ul",
      { class: "expects" },
      ...expects.map(({ ok, text, value }) => {
        const found = ok === true ? "" : value === null ? " not known" : ` found: ${value}`;
        return element("li", { class: ok === false ? "red" : "" }, `${marks[ok]} `, element("code", {}, text), found);
      }),
    ),
  ];
}

function blockPart({ name, route, kind, layers, rows, verdict, colour }) {
  const head = element("h3", {}, name, element("span", {}, `  ${route}${layers ? `  for ${layers}` : ""}`));
  return element(
    "article",
    { class: "block" },
    head,
    element("p", { class: "kind" }, kind),
    rows.length ? rowList("", rows) : null,
    verdict ? element("p", { class: `verdict ${colour}` }, `⇒ ${verdict}`) : null,
  );
}

function rowList(kind, rows) {
  const parts = rows.flatMap(({ label, text, place }) => [
    element("dt", {}, label),
    element("dd", {}, text, place ? element("small", {}, `  ${place}`) : null),
  ]);
  return element("dl", kind ? { class: kind } : {}, ...parts);
}

// ---------------------------------------------------------------- curves

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [340, 190, 40, 22, 8];

// `series`: { circuit: rows, twin: rows }; `epochs`: how many there will be.
export function curves(series, epochs, metric) {
  const names = { circuit: "this circuit", twin: "backpropagation" };
  const keys = Object.entries(names).filter(([kind]) => series[kind]);
  const legend = keys.map(([kind, name]) =>
    element("li", {}, drawn("svg", { viewBox: "0 0 30 10", "aria-hidden": "true" }, drawn("line", { class: kind, x1: 0, x2: 30, y1: 5, y2: 5 })), ` ${name}`),
  );
  const figures = [
    metric && curve(series, "metric", metric, epochs, names),
    curve(series, "loss", "loss", epochs, names),
  ].filter(Boolean);
  return [element("ul", { class: "legend" }, ...legend), ...figures];
}

function curve(series, key, title, epochs, names) {
  const finite = (rows) => rows.filter((row) => Number.isFinite(row[key]));
  const values = Object.values(series).flatMap((rows) => finite(rows).map((row) => row[key]));
  if (values.length === 0) return null;
  const [low, high] = bounds(values);
  const x = (epoch) => LEFT + (epoch / Math.max(epochs, 1)) * (WIDTH - LEFT - 10);
  const y = (value) => TOP + (1 - (value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const lines = Object.entries(series).map(([kind, rows]) =>
    drawn("polyline", { class: kind, points: finite(rows).map((row) => `${x(row.epoch).toFixed(1)},${y(row[key]).toFixed(1)}`).join(" ") }),
  );
  const told = Object.entries(series).map(([kind, rows]) => `${names[kind]} ${short(finite(rows).at(-1)?.[key])}`);
  const picture = drawn(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title} on test data over ${epochs} epochs: ${told.join(", ")}` },
    drawn("path", { class: "frame", d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - 10}` }),
    drawn("text", { x: LEFT - 5, y: TOP + 8, "text-anchor": "end" }, short(high)),
    drawn("text", { x: LEFT - 5, y: HEIGHT - BOTTOM, "text-anchor": "end" }, short(low)),
    drawn("text", { x: LEFT, y: HEIGHT - 6 }, "0"),
    drawn("text", { x: WIDTH - 10, y: HEIGHT - 6, "text-anchor": "end" }, `${epochs} epochs`),
    ...lines,
  );
  return element("figure", {}, element("figcaption", {}, title), picture);
}

function bounds(values) {
  const [low, high] = [Math.min(0, ...values), Math.max(...values)];
  const top = high <= 1 && high > 0.5 ? 1 : high;
  return top > low ? [low, top] : [low, low + 1];
}

export function short(value) {
  return value === undefined || value === null ? "–" : value === 0 ? "0" : value === 1 ? "1" : value.toPrecision(3);
}

export function numberTable(series, metric) {
  const columns = [["circuit", "this circuit"], ["twin", "backpropagation"]].filter(([kind]) => series[kind]);
  const heads = columns.flatMap(([, name]) => [...(metric ? [`${metric}, ${name}`] : []), `loss, ${name}`]);
  const longest = Math.max(...columns.map(([kind]) => series[kind].length));
  const rows = Array.from({ length: longest }, (_, i) =>
    element("tr", {}, element("th", { scope: "row" }, String(i)),
      ...columns.flatMap(([kind]) => {
        const row = series[kind][i];
        return [...(metric ? [short(row?.metric)] : []), short(row?.loss)].map((text) => element("td", {}, text));
      })),
  );
  const head = element("tr", {}, ...["epoch", ...heads].map((text) => element("th", { scope: "col" }, text)));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
}
