// Trains a circuit: circuitdsl/runtime/simulate.py in JavaScript.

import { shuffled } from "./data.js";
import { Engine } from "./engine.js";
import { initialState } from "./start.js";

// Epochs of training, one at a time: yields the loss and the probes on the test set before the first and after each
// epoch, with the examples trained on so far and the seconds that took. Ends after a value that is not finite, which
// has `diverged`.
export function* training(made, dataset, { epochs, batch, seed }) {
  const engine = new Engine(made);
  const state = initialState(made.circuit, seed);
  const { arrays, train, test } = dataset;
  let [examples, seconds] = [0, 0];
  for (let epoch = 0; ; epoch++) {
    const { loss, probes } = engine.evaluate(state, arrays, test, { seed, epoch });
    const diverged = !isFinite(state) || (loss !== null && !Number.isFinite(loss));
    yield { epoch, loss, probes, examples, seconds, state, diverged };
    if (epoch === epochs || diverged) return;
    const order = shuffled(train, seed, epoch);
    const started = performance.now();
    engine.train(state, arrays, order, { seed, epoch, batch });
    seconds += (performance.now() - started) / 1000;
    examples += order.length;
  }
}

// Whether every number that training changes is one.
function isFinite({ weights, synapseStates, kept }) {
  const arrays = [weights, synapseStates, kept].flatMap((held) => Object.values(held));
  return arrays.every((array) => array.every(Number.isFinite));
}
