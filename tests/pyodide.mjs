// Python as a page has it, given the command lines of circuitdsl: node pyodide.mjs PYODIDE ROOT LIBRARIES LINE...
// PYODIDE: the folder of the package; ROOT: the checkout; LIBRARIES: a folder that lark lies in; each LINE: arguments, as
// JSON. Prints the version of Python and the exit codes, as JSON.

import { pathToFileURL } from "node:url";
import { join } from "node:path";

const [, , folder, root, libraries, ...lines] = process.argv;
const { loadPyodide } = await import(pathToFileURL(join(folder, "pyodide.mjs")));
const pyodide = await loadPyodide({ stdout: (text) => console.error(text), stderr: (text) => console.error(text) });
for (const [place, path] of Object.entries({ "/checkout": root, "/libraries": libraries })) {
  pyodide.FS.mkdirTree(place);
  pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root: path }, place);
}
pyodide.globals.set("lines", lines.join("\n"));
console.log(
  pyodide.runPython(`
import json, os, sys
sys.path[:0] = ["/checkout", "/libraries"]
sys.dont_write_bytecode = True
os.environ["CIRCUITDSL_CACHE"] = "/cache"
os.chdir("/checkout")
from circuitdsl.cli.main import run
json.dumps({"version": sys.version.split()[0], "codes": [run(json.loads(line)) for line in lines.splitlines()]})
`),
);
