// Printed against hand-written: the Kolen-Pollack circuit, one example at a time, in float32. benchmarks/browser.py runs
// it in a page.

import { Engine } from "../circuitdsl/emit/host/engine.js";
import { initialState } from "../circuitdsl/emit/host/start.js";

// An epoch by hand: as one writes such a loop who knows typed arrays and the sizes.
const inputs = 64;
const hidden = 64;
const outputs = 10;

function byHand({ W1, W2, V2 }, x, y, order, eta, gamma) {
  const basal = new Float32Array(hidden);
  const h = new Float32Array(hidden);
  const out = new Float32Array(outputs);
  const err = new Float32Array(outputs);
  for (let n = 0; n < order.length; n++) {
    const atX = order[n] * inputs;
    const atY = order[n] * outputs;
    for (let j = 0; j < hidden; j++) {
      const row = j * inputs;
      let sum = 0;
      for (let i = 0; i < inputs; i++) sum += W1[row + i] * x[atX + i];
      basal[j] = sum;
      h[j] = sum > 0 ? sum : 0;
    }
    let top = -Infinity;
    for (let k = 0; k < outputs; k++) {
      const row = k * hidden;
      let sum = 0;
      for (let j = 0; j < hidden; j++) sum += W2[row + j] * h[j];
      out[k] = sum;
      if (sum > top) top = sum;
    }
    let total = 0;
    for (let k = 0; k < outputs; k++) total += out[k] = Math.exp(out[k] - top);
    for (let k = 0; k < outputs; k++) {
      out[k] /= total;
      err[k] = y[atY + k] - out[k];
    }
    const decay = eta * gamma;
    for (let j = 0; j < hidden; j++) {
      const row = j * outputs;
      let apical = 0;
      for (let k = 0; k < outputs; k++) apical += V2[row + k] * err[k];
      const driven = eta * h[j];
      for (let k = 0; k < outputs; k++) V2[row + k] += driven * err[k] - decay * V2[row + k];
      const credit = basal[j] > 0 ? eta * apical : 0;
      const atW1 = j * inputs;
      for (let i = 0; i < inputs; i++) W1[atW1 + i] += credit * x[atX + i] - decay * W1[atW1 + i];
    }
    for (let k = 0; k < outputs; k++) {
      const row = k * hidden;
      const driven = eta * err[k];
      for (let j = 0; j < hidden; j++) W2[row + j] += driven * h[j] - decay * W2[row + j];
    }
  }
}

// Examples per second of both, in rounds that take turns, after weights that are equal: { rounds, apart }, the largest
// difference between weights after one epoch.
export async function race(source, x, y, rounds) {
  const made = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  const { eta, gamma } = made.circuit.numbers;
  const [inputs, targets] = [Float32Array.from(x), Float32Array.from(y)];
  const order = Int32Array.from({ length: y.length / 10 }, (_, i) => (i * 7919) % (y.length / 10));
  const engine = new Engine(made);
  const start = () => initialState(made.circuit, 0);
  const printed = (state) => engine.train(state, { x: inputs, y: targets }, order, { seed: 0, epoch: 0, batch: 1 });
  const hand = (state) => byHand(state.weights, inputs, targets, order, Math.fround(eta), Math.fround(gamma));
  const [one, other] = [start(), start()];
  printed(one);
  hand(other);
  const apart = Math.max(...["W1", "W2", "V2"].map((name) => Math.max(...one.weights[name].map((w, i) => Math.abs(w - other.weights[name][i])))));
  const speed = (train, state) => {
    const started = performance.now();
    for (let i = 0; i < 5; i++) train(state);
    return (5 * order.length * 1000) / (performance.now() - started);
  };
  const found = [];
  for (let i = 0; i < rounds; i++) found.push({ printed: speed(printed, one), hand: speed(hand, other) });
  return { apart, rounds: found };
}
