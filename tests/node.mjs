// What tests/node.py talks to: reads one JSON request a line, answers each by one line.

import { createInterface } from "node:readline";

const host = process.argv[2];
const { fitted, shuffled, split } = await import(`${host}/data.js`);
const { Engine, arrayOf } = await import(`${host}/engine.js`);
const { cosine30, minusLog31, normal28, sqrt27, uniform24, uniform53 } = await import(`${host}/noise.js`);
const { training } = await import(`${host}/run.js`);
const { initialState } = await import(`${host}/start.js`);
const { stream } = await import(`${host}/draws.js`);

const noise = { cosine30, minusLog31, normal28, sqrt27, uniform24, uniform53 };
let [text, engine] = [null, null];

async function ready(source) {
  if (source !== text) engine = new Engine(await import(`data:text/javascript;base64,${Buffer.from(source).toString("base64")}`));
  text = source;
  return engine;
}

// Numbers that JSON lacks travel as words.
const told = (value) => (ArrayBuffer.isView(value) ? [...value].map(told) : Number.isFinite(value) || typeof value !== "number" ? value : String(value));
const heard = (array, kind) => (array === null ? null : kind.from(array, Number));
const mapped = (object, f) => Object.fromEntries(Object.entries(object).map(([key, value]) => [key, f(value)]));

function stateOf(sent, kind) {
  const state = mapped(sent, (held) => mapped(held, (array) => heard(array, kind)));
  state.masks = mapped(sent.masks, (mask) => heard(mask, Uint8Array));
  return state;
}

const calls = {
  async train({ source, state, data, order, settings }) {
    const { circuit } = (await ready(source)).made;
    const kind = arrayOf(circuit.dtype);
    const held = stateOf(state, kind);
    engine.train(held, mapped(data, (a) => heard(a, kind)), Int32Array.from(order), settings);
    return mapped(held, (part) => mapped(part, told));
  },
  async evaluate({ source, state, data, order, settings }) {
    const { circuit } = (await ready(source)).made;
    const kind = arrayOf(circuit.dtype);
    const found = engine.evaluate(stateOf(state, kind), mapped(data, (a) => heard(a, kind)), Int32Array.from(order), settings);
    return { loss: told(found.loss), probes: found.probes.map(told), watched: mapped(found.watched, (v) => v.map(told)) };
  },
  async start({ source, seed }) {
    return mapped(initialState((await ready(source)).made.circuit, seed), (part) => mapped(part, told));
  },
  async fit({ source, tables, how }) {
    const { arrays, train, test } = fitted((await ready(source)).made.circuit, tables, how);
    return { arrays: mapped(arrays, told), train: [...train], test: [...test] };
  },
  async run({ source, tables, how, settings }) {
    const { made } = await ready(source);
    const rows = [...training(made, fitted(made.circuit, tables, how), settings)];
    return rows.map(({ epoch, loss, probes, examples, diverged }) => ({ epoch, loss: told(loss), probes: probes.map(told), examples, diverged }));
  },
  noise: ({ which, keys }) => keys.map((key) => noise[which](...key)),
  draws: ({ seed, name, which, count }) => {
    const drawn = stream(seed, name);
    return Array.from({ length: count }, () => drawn[which]());
  },
  split: ({ n }) => mapped(split(n), told),
  shuffled: ({ n, seed, epoch }) => [...shuffled(Int32Array.from({ length: n }, (_, i) => i), seed, epoch)],
};

for await (const line of createInterface({ input: process.stdin })) {
  const { call, ...given } = JSON.parse(line);
  try {
    console.log(JSON.stringify({ answer: await calls[call](given) }));
  } catch (problem) {
    console.log(JSON.stringify({ problem: problem.message }));
  }
}
