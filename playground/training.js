// A worker that trains: a message { source, data, settings } is answered by one message for each row of `training`
// (circuitdsl/emit/host/run.js), at last by { done } or { failed }.

import { fitted } from "../circuitdsl/emit/host/data.js";
import { training } from "../circuitdsl/emit/host/run.js";

onmessage = async ({ data: { source, data, settings } }) => {
  try {
    const made = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
    const dataset = fitted(made.circuit, await tables(made.circuit, data), { ...data.how, scale: settings.scale || null, ...indices(data.how) });
    for (const row of training(made, dataset, settings)) {
      const { epoch, loss, probes, examples, seconds, diverged } = row;
      postMessage({ epoch, loss, metric: probes[0] ?? null, examples, seconds, diverged });
    }
    postMessage({ done: true });
  } catch (problem) {
    postMessage({ failed: problem.message });
  }
};

// The tables of a data set by the names that the circuit has for its input and its target.
async function tables(circuit, data) {
  const found = {};
  for (const [name, value] of Object.entries(circuit.values)) {
    if (value.kind !== "given") continue;
    const table = data.tables[value.role];
    if (table === undefined) throw new Error(`the data have no ${value.role}`);
    if (value.role in found) throw new Error(`the data have one ${value.role}, and the circuit has several`);
    const content = await (await fetch(`./data/${table.file}`)).arrayBuffer();
    const values = table.kind === "bytes" ? new Uint8Array(content) : new Float64Array(content);
    found[value.role] = [name, { values, size: table.size }];
  }
  return Object.fromEntries(Object.values(found));
}

function indices({ train, test }) {
  return train === undefined ? {} : { train: Int32Array.from(train), test: Int32Array.from(test) };
}
