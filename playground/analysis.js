// A worker that asks Python: messages { id, call, given } are answered by { id, found }, or { id, failed }. The first
// message that it sends is { ready } or { failed }.

import { loadPyodide } from "./pyodide/pyodide.mjs";
import { ENVIRONMENT, settled } from "./python.js";

const starting = start();

async function start() {
  const packed = fetch("./python.zip").then((response) => {
    if (!response.ok) throw new Error(`python.zip: ${response.status}`);
    return response.arrayBuffer();
  });
  const python = await loadPyodide({ env: ENVIRONMENT });
  python.unpackArchive(new Uint8Array(await packed), "zip", { extractDir: "/playground" });
  settled(python);
  return python.pyimport("answers");
}

starting.then(() => postMessage({ ready: true }), (problem) => postMessage({ failed: problem.message }));

onmessage = async ({ data: { id, call, given } }) => {
  const answers = await starting;
  try {
    postMessage({ id, found: JSON.parse(answers[call](JSON.stringify(given))) });
  } catch (problem) {
    postMessage({ id, failed: problem.message });
  }
};
