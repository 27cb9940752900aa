// The state a circuit starts from: circuitdsl/graph/initial.py in JavaScript. Everything is drawn in double precision
// and then rounded to that of the run.

import { stream } from "./draws.js";
import { arrayOf, fansOf, rounded } from "./engine.js";

// Everything that survives an example, before the first one, and what the states of an example start from.
export function initialState(circuit, seed) {
  const start = new Start(circuit, seed);
  const state = { weights: {}, masks: {}, synapseStates: {}, kept: {}, coefficients: {}, resets: {} };
  for (const [name, synapse] of Object.entries(circuit.synapses)) {
    state.weights[name] = start.weights(name);
    state.masks[name] = start.mask(name);
    for (const [key, { fresh, init }] of Object.entries(synapse.states)) {
      (fresh ? state.resets : state.synapseStates)[key] = start.perWeight(name, key, init);
    }
  }
  for (const [name, { owner, size, init }] of Object.entries(circuit.coefficients)) {
    state.coefficients[name] = owner === null ? start.vector(name, size, init) : start.perWeight(owner, name, init);
  }
  for (const [name, { keep, size, init }] of Object.entries(circuit.states)) {
    (keep ? state.kept : state.resets)[name] = start.vector(name, size, init);
  }
  return state;
}

class Start {
  constructor(circuit, seed) {
    this.circuit = circuit;
    this.seed = seed;
    this.array = arrayOf(circuit.dtype);
    this.drawnWeights = new Map();
    this.drawnMasks = new Map();
  }

  mask(name) {
    if (!this.drawnMasks.has(name)) {
      this.drawnMasks.set(name, drawnMask(this.circuit.synapses[name], stream(this.seed, `${name} connect`)));
    }
    return this.drawnMasks.get(name);
  }

  // The initial weights; those that they are a copy of come first.
  weights(name) {
    if (!this.drawnWeights.has(name)) {
      const synapse = this.circuit.synapses[name];
      this.drawnWeights.set(name, this.constrained(synapse, this.mask(name), this.perWeight(name, name, synapse.init)));
    }
    return this.drawnWeights.get(name);
  }

  // Within `sign` and `bounds`; 0 where there is no connection.
  constrained(synapse, mask, weights) {
    const fans = fansOf(synapse, mask);
    let [low, high] = { free: [-Infinity, Infinity], excitatory: [0, Infinity], inhibitory: [-Infinity, 0] }[synapse.sign];
    const bounds = synapse.bounds?.(...fans).map((bound) => rounded(bound, this.circuit.dtype));
    return weights.map((w, i) => {
      if (mask !== null && !mask[i]) return 0;
      w = Math.min(Math.max(w, low), high);
      return bounds === undefined ? w : Math.min(Math.max(w, bounds[0]), bounds[1]);
    });
  }

  // An initial value for each weight of a synapse, 0 where there is none.
  perWeight(synapse, key, init) {
    const { post, pre } = this.circuit.synapses[synapse];
    const mask = this.mask(synapse);
    const values = this.values(key, [post, pre], init, fansOf(this.circuit.synapses[synapse], mask));
    return mask === null ? values : values.map((value, i) => (mask[i] ? value : 0));
  }

  vector(key, size, init) {
    return this.values(key, [size], init, []);
  }

  values(key, shape, init, fans) {
    const draw = new Draw(key, shape, stream(this.seed, key), (name) => this.weights(name), this.circuit);
    const drawn = init(draw, ...fans);
    const length = shape.reduce((a, b) => a * b, 1);
    return typeof drawn === "number" ? new this.array(length).fill(drawn) : this.array.from(drawn);
  }
}

// What the initial value of one entity is made of: numbers, and arrays in C order.
class Draw {
  constructor(key, shape, stream, weights, circuit) {
    Object.assign(this, { key, shape, stream, weights, circuit });
    this.length = shape.reduce((a, b) => a * b, 1);
  }

  normal(mean, deviation) {
    return Float64Array.from({ length: this.length }, () => mean + deviation * this.stream.normal());
  }

  uniform(low, high) {
    return Float64Array.from({ length: this.length }, () => low + (high - low) * this.stream.uniform());
  }

  identity() {
    const [, columns] = this.matrix("identity");
    return Float64Array.from({ length: this.length }, (_, i) => Number(Math.floor(i / columns) === i % columns));
  }

  copy(other) {
    return this.taken(other, this.circuit.synapses[other], (w) => Float64Array.from(w));
  }

  transpose(other) {
    const { post, pre } = this.circuit.synapses[other];
    return this.taken(other, { post: pre, pre: post }, (w) =>
      Float64Array.from({ length: this.length }, (_, i) => w[(i % post) * pre + Math.floor(i / post)]),
    );
  }

  taken(other, { post, pre }, made) {
    const shape = this.shape.join(" x ");
    if (shape !== `${post} x ${pre}`) throw new Error(`\`${this.key}\` is ${shape}, but \`${other}\` is ${post} x ${pre}`);
    return made(this.weights(other));
  }

  // A function of numbers on arrays and numbers, which broadcast.
  apply(f, ...parts) {
    if (parts.every((part) => typeof part === "number")) return f(...parts);
    return Float64Array.from({ length: this.length }, (_, i) => f(...parts.map((p) => (typeof p === "number" ? p : p[i]))));
  }

  matrix(what) {
    if (this.shape.length !== 2) throw new Error(`\`${this.key}\` is not a matrix: \`${what}\` has no meaning for it`);
    return this.shape;
  }

  refuse(reason) {
    throw new Error(`\`${this.key}\` ${reason}`);
  }
}

// ---------------------------------------------------------------- masks

// Which weights are present; null if all are.
function drawnMask({ post, pre, connect }, stream) {
  const mask = new Uint8Array(post * pre).fill(1);
  for (const [which, argument] of connect) {
    const present = oneMask(which, argument, { post, pre, allowed: mask, stream });
    present.forEach((is, i) => (mask[i] &= is));
  }
  return mask.every(Boolean) ? null : mask;
}

function oneMask(which, argument, { post, pre, allowed, stream }) {
  const each = (present) => Uint8Array.from({ length: post * pre }, (_, i) => present(Math.floor(i / pre), i % pre));
  switch (which) {
    case "dense":
      return each(() => 1);
    case "one_to_one":
      return each((j, i) => i === j);
    case "no_self":
      return each((j, i) => i !== j);
    case "sparse":
      return each(() => stream.uniform() < argument);
    case "fan_in": {
      const keys = Float64Array.from(allowed, (is) => (is ? stream.uniform() : (stream.uniform(), 2)));
      const mask = new Uint8Array(post * pre);
      for (let j = 0; j < post; j++) {
        const units = Array.from({ length: pre }, (_, i) => j * pre + i).sort((a, b) => keys[a] - keys[b]);
        for (const chosen of units.slice(0, argument)) mask[chosen] = 1;
      }
      return mask;
    }
    default:
      throw new Error(`a mask of \`${which}\` cannot be made here: ${argument}`);
  }
}
