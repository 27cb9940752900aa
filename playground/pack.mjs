// Makes the archive that the page unpacks into Pyodide: the packages below a folder, compiled by the Python that will
// run them, with the tables of the grammar. Called by build.py: node pack.mjs FOLDER ARCHIVE

import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadPyodide } from "pyodide";
import { ENVIRONMENT, settled } from "./python.js";

const [, , folder, archive] = process.argv;

function put(FS, from, to) {
  FS.mkdirTree(to);
  for (const name of readdirSync(from)) {
    const [source, target] = [join(from, name), `${to}/${name}`];
    if (statSync(source).isDirectory()) put(FS, source, target);
    else FS.writeFile(target, readFileSync(source));
  }
}

const PACK = `
import compileall, json, pathlib, shutil
root = pathlib.Path("/playground")
import answers
circuit = root / "circuits/heterosynaptic/kolen_pollack.circ"
assert json.loads(answers.answer(json.dumps({"text": circuit.read_text()})))["circuit"] is not None
assert list(root.glob("cache/**/grammar/*")), "the tables of the grammar were not kept"
compileall.compile_dir(root, legacy=True, quiet=2, optimize=1)
for each in root.rglob("*.py"):
    if each.with_suffix(".pyc").exists():
        each.unlink()
for each in list(root.rglob("__pycache__")):
    shutil.rmtree(each)
shutil.make_archive("/packed", "zip", root)
`;

try {
  const python = await loadPyodide({ env: ENVIRONMENT });
  put(python.FS, folder, "/playground");
  settled(python);
  python.runPython(PACK);
  writeFileSync(archive, python.FS.readFile("/packed.zip"));
} catch (problem) {
  process.stderr.write(`pack.mjs: ${problem.message}\n`);
  process.exit(1);
}
