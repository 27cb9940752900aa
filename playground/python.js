// Python in the page, as pack.mjs packs it and analysis.js unpacks it.

// Where everything lies, and where Python keeps the tables of the grammar.
export const ENVIRONMENT = { HOME: "/playground", CIRCUITDSL_CACHE: "/playground/cache" };

// What is read from the cache has to be the user's own: nobody else may be able to write it. The file system of the page
// knows no umask.
const GUARD = `
import os, sys
for folder in ("/", "/playground", *(f for f, _, _ in os.walk("/playground/cache"))):
    os.chmod(folder, 0o755)
    for name in os.listdir(folder) if "cache" in folder else ():
        os.chmod(os.path.join(folder, name), 0o755)
sys.path.insert(0, "/playground")
`;

// Makes what lies in /playground Python's own.
export function settled(python) {
  python.runPython(GUARD);
}
