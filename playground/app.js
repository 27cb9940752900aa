// The page: an editor, a worker that checks and derives as one types, and workers that train.

import { Editor } from "./editor.js";
import { linkOf, textOf } from "./link.js";
import { curves, derivationParts, element, numberTable, problemItem, short } from "./page.js";

const FIRST = "kolen_pollack";
// How long the keys have to rest before the text is checked, in milliseconds.
const REST = 120;

const part = (id) => document.getElementById(id);

// ---------------------------------------------------------------- asking Python

class Python {
  constructor() {
    this.worker = new Worker("./analysis.js", { type: "module" });
    this.waiting = new Map();
    this.asked = 0;
    this.started = new Promise((ready, failed) => {
      this.worker.onmessage = ({ data }) => {
        if (data.id === undefined) return data.ready ? ready() : failed(new Error(data.failed));
        const { found, wrong } = this.waiting.get(data.id);
        this.waiting.delete(data.id);
        return data.failed === undefined ? found(data.found) : wrong(new Error(data.failed));
      };
      this.worker.onerror = (event) => failed(new Error(event.message || "the worker did not start"));
    });
  }

  ask(call, given) {
    const id = ++this.asked;
    return new Promise((found, wrong) => {
      this.waiting.set(id, { found, wrong });
      this.worker.postMessage({ id, call, given });
    });
  }
}

const python = new Python();
const [library, data] = await Promise.all(["./library.json", "./data/index.json"].map(async (file) => (await fetch(file)).json()));

// ---------------------------------------------------------------- the text

const linked = await textOf(location.hash);
const editor = new Editor(part("editor"), {
  text: linked ?? library.find((each) => each.name === FIRST).text,
  changed: () => check(),
  run: () => run(),
  ask: (call, given) => python.ask(call, given),
});

for (const folder of new Set(library.map((each) => each.folder))) {
  const circuits = library.filter((each) => each.folder === folder);
  const options = circuits.map(({ name, doc }) => element("option", { value: name, title: doc }, name));
  part("example").append(element("optgroup", { label: folder }, ...options));
}
part("example").prepend(element("option", { value: "" }, "choose one"));
part("example").value = linked === null ? FIRST : "";
part("example").addEventListener("change", ({ target }) => {
  const chosen = library.find((each) => each.name === target.value);
  if (chosen !== undefined) editor.text = chosen.text;
});

part("share").addEventListener("click", async () => {
  history.replaceState(null, "", await linkOf(editor.text));
  let copied = true;
  await navigator.clipboard.writeText(location.href).catch(() => (copied = false));
  part("share").textContent = copied ? "Copied" : "In the address bar";
  setTimeout(() => (part("share").textContent = "Copy link"), 2000);
});

addEventListener("hashchange", async () => {
  const text = await textOf(location.hash);
  if (text !== null && text !== editor.text) editor.text = text;
});

// ---------------------------------------------------------------- checking

let timer = 0;
let busy = false;

// Checks the text when the keys rest, the newest one only. `checked` is there as long as what is shown is of the text as it
// stands.
function check() {
  delete document.documentElement.dataset.checked;
  clearTimeout(timer);
  timer = setTimeout(checkNow, REST);
}

async function checkNow() {
  if (busy) return;
  busy = true;
  const text = editor.text;
  const started = performance.now();
  const found = await python.ask("answer", { text }).catch((problem) => ({ failed: problem.message }));
  busy = false;
  if (text !== editor.text) return checkNow();
  show(found, performance.now() - started);
  if (found.problems?.some((p) => p.severity === "error")) showFixes(text, found);
}

// Ways out are found by trying them, after what is wrong has been told.
async function showFixes(text, { problems, circuit }) {
  const fixes = await python.ask("fixes", { text }).catch(() => []);
  if (text === editor.text) showProblems(problems, circuit, fixes);
}

function showProblems(problems, circuit, fixes = []) {
  editor.show(problems, circuit, fixes);
  const items = problems.map((problem, i) => (problem.severity === "note" ? null : problemItem(problem, fixes[i] ?? [], editor)));
  part("problem-list").replaceChildren(...items.filter((item) => item !== null));
  part("problems").hidden = part("problem-list").childElementCount === 0;
}

function show({ problems = [], circuit = null, failed = null }, milliseconds) {
  showProblems(problems, circuit);
  for (const id of ["derivation-part", "drawing-part"]) part(id).classList.toggle("stale", circuit === null);
  if (circuit !== null) showCircuit(circuit);
  part("run").disabled = circuit === null;
  part("status").className = problems.some((p) => p.severity === "error") || circuit === null ? "wrong" : "right";
  part("status").textContent = failed ?? summary(circuit, problems);
  document.documentElement.dataset.checked = String(Math.round(milliseconds));
}

function showCircuit(circuit) {
  part("derivation-part").hidden = false;
  part("derivation").replaceChildren(...derivationParts(circuit));
  part("drawing-part").hidden = circuit.drawing === null;
  if (circuit.drawing !== null) part("drawing").innerHTML = circuit.drawing;
  part("epochs").placeholder = circuit.settings.epochs;
  part("seed").placeholder = circuit.settings.seed;
}

function summary(circuit, problems) {
  const errors = problems.filter((p) => p.severity === "error");
  const first = errors.length ? `Line ${errors[0].line}: ${errors[0].title.replaceAll("`", "")}` : "";
  const wrong = errors.length > 1 ? `${first} (and ${errors.length - 1} more)` : first;
  return [circuit === null ? "" : verdicts(circuit), wrong].filter(Boolean).join(" · ") || "This text holds rules and motifs, but no circuit.";
}

function verdicts({ name, loss, verdicts: found }) {
  if (!loss) return `${name} declares no loss, so that nothing can be a gradient of it.`;
  return found.map(({ synapse, text }) => `${synapse}: ${text}`).join(" · ") || `Nothing in ${name} learns.`;
}

// ---------------------------------------------------------------- training

let workers = [];

part("run-form").addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
part("stop").addEventListener("click", () => stop("Stopped"));

const whole = (id) => (part(id).value === "" ? null : Number(part(id).value));

async function run() {
  stop();
  if (part("run").disabled) return;
  tell("Compiling …");
  const asked = await python.ask("programs", { text: editor.text, epochs: whole("epochs"), seed: whole("seed") }).catch((problem) => ({ problem: problem.message }));
  if (asked.problem !== undefined) return tell(asked.problem, true);
  const { programs, settings, metric } = asked;
  const dataset = data.find((each) => each.name === settings.data);
  if (dataset === undefined) {
    const known = data.map((each) => each.name).join(", ");
    return tell(`This page has no data \`${settings.data}\`. It has ${known}; circuitdsl run has the others.`, true);
  }
  part("stop").disabled = false;
  const series = {};
  for (const kind of Object.keys(programs)) {
    series[kind] = [];
    workers.push(trained({ source: programs[kind], data: dataset, settings }, kind, series, settings, metric));
  }
}

// A worker that trains one circuit, and shows its rows as they come.
function trained(message, kind, series, settings, metric) {
  const worker = new Worker("./training.js", { type: "module" });
  worker.onmessage = ({ data: row }) => {
    if (row.failed !== undefined) {
      stop();
      return tell(row.failed, true);
    }
    if (!row.done) series[kind].push(row);
    else worker.terminate();
    worker.done = Boolean(row.done);
    const over = workers.every((each) => each.done);
    part("stop").disabled = over;
    schedule(() => draw(series, settings, metric, over), over);
  };
  worker.onerror = (event) => tell(event.message || "the training worker did not start", true);
  worker.postMessage(message);
  return worker;
}

let drawing = null;

// Draws at most once for each frame; the last one at once.
function schedule(draws, now) {
  if (now) {
    forget();
    return draws();
  }
  drawing ??= requestAnimationFrame(() => {
    drawing = null;
    draws();
  });
}

// Gives up what is to be drawn on the next frame.
function forget() {
  cancelAnimationFrame(drawing);
  drawing = null;
}

function draw(series, settings, metric, over) {
  part("curves").hidden = part("numbers").hidden = false;
  part("curves").replaceChildren(...curves(series, settings.epochs, metric));
  part("number-table").replaceChildren(numberTable(series, metric));
  const last = series.circuit.at(-1);
  if (last === undefined) return;
  const twin = series.twin?.at(-1);
  const what = metric ?? "loss";
  const value = (row) => short(metric ? row.metric : row.loss);
  const beside = twin ? `, backpropagation ${value(twin)}` : "";
  const speed = last.seconds > 0 ? ` · ${Math.round(last.examples / last.seconds).toLocaleString("en")} examples/s` : "";
  const end = last.diverged ? "Diverged" : over ? "Done" : "Training";
  tell(`${end}: epoch ${last.epoch} of ${settings.epochs} on ${settings.data} · ${what} ${value(last)}${beside}${speed}`, last.diverged);
  if (over) document.documentElement.dataset.trained = String(metric ? last.metric : last.loss);
}

function stop(why) {
  const running = workers.filter((each) => !each.done);
  for (const worker of running) worker.terminate();
  forget();
  workers = [];
  part("stop").disabled = true;
  delete document.documentElement.dataset.trained;
  if (why && running.length) tell(`${why}. ${part("run-status").textContent.replace(/^Training: /, "")}`);
}

function tell(text, wrong = false) {
  part("run-status").textContent = text;
  part("run-status").className = wrong ? "wrong" : "";
}

// ---------------------------------------------------------------- the start

python.started.then(checkNow, (problem) => {
  part("status").className = "wrong";
  part("status").textContent = `Python did not start: ${problem.message}. The page has to be served: python -m http.server`;
});
