// A data set fitted to a circuit: circuitdsl/runtime/data.py in JavaScript, for data that hold a table for each
// population.

import { arrayOf } from "./engine.js";
import { uniform53 } from "./noise.js";

// What a permutation is for, as the high and the low word of an occurrence.
const SPLIT = [0, 0xffffffff];
const SHUFFLE = [0, 0xfffffffe];
const TEST_FRACTION = 0.2;

// The numbers 0 to n - 1 in an order that depends on the keys alone.
function permutation(n, purpose, seed = 0, epoch = 0) {
  const keys = Float64Array.from({ length: n }, (_, i) => uniform53(seed, ...purpose, epoch, i, 0, 0));
  return Int32Array.from({ length: n }, (_, i) => i).sort((a, b) => keys[a] - keys[b] || a - b);
}

// The training examples in the order of an epoch.
export function shuffled(train, seed, epoch) {
  return permutation(train.length, SHUFFLE, seed, epoch).map((place) => train[place]);
}

// Which examples are trained on and which are held out, the same for every seed.
export function split(n) {
  const all = Int32Array.from({ length: n }, (_, i) => i);
  if (n < 2) return { train: all, test: all };
  const order = permutation(n, SPLIT);
  const exact = TEST_FRACTION * n; // Python rounds a half to the even number
  const held = Math.max(1, exact % 1 === 0.5 ? 2 * Math.round(exact / 2) : Math.round(exact));
  return { train: order.slice(held).sort(), test: order.slice(0, held).sort() };
}

// `tables`: for each input and target { values [examples, size], size }, raw; `top`: what white is in images, else
// null. Inputs are scaled as `scale` says, by default centred if they are images, else z-scored. Gives the arrays in the
// precision of the circuit, and the examples of `split`. Throws an Error if the sizes are not the circuit's.
export function fitted(circuit, tables, { top = null, scale = null, train = null, test = null } = {}) {
  const kind = arrayOf(circuit.dtype);
  const given = Object.entries(circuit.values).filter(([, value]) => value.kind === "given");
  const n = Math.max(...Object.values(tables).map((table) => table.values.length / table.size));
  const parts = train === null ? split(n) : { train, test };
  const arrays = {};
  for (const [name, { size, role }] of given) {
    const table = tables[name];
    if (table === undefined) throw new Error(`the data have no array for \`${name}\``);
    if (table.size !== size) {
      throw new Error(`the data have ${table.size} numbers for \`${name}\`, which has ${size} units`);
    }
    const how = scale ?? (top === null ? "zscore" : "center");
    arrays[name] = role === "target" ? kind.from(table.values) : scaled(table, parts.train, how, top ?? 1, kind);
  }
  return { arrays, ...parts };
}

function scaled({ values, size }, train, how, white, kind) {
  const shift = new Float64Array(size);
  const spread = new Float64Array(size).fill(1);
  if (how !== "none") {
    for (const example of train) for (let i = 0; i < size; i++) shift[i] += values[example * size + i];
    for (let i = 0; i < size; i++) shift[i] = shift[i] / train.length / white;
  }
  if (how === "zscore") {
    spread.fill(0);
    for (let start = 0; start < train.length; start += 4096) {
      const total = new Float64Array(size);
      for (const example of train.subarray(start, start + 4096)) {
        for (let i = 0; i < size; i++) total[i] += (values[example * size + i] / white - shift[i]) ** 2;
      }
      for (let i = 0; i < size; i++) spread[i] += total[i];
    }
    for (let i = 0; i < size; i++) {
      spread[i] = Math.sqrt(spread[i] / train.length);
      if (spread[i] <= 1e-12 * Math.max(Math.abs(shift[i]), 1e-300)) spread[i] = 1;
    }
  }
  return kind.from(values, (value, place) => (value / white - shift[place % size]) / spread[place % size]);
}
