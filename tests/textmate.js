// Colours texts as VS Code does: the scopes of every stretch of every line, as JSON. node textmate.js GRAMMAR FILE…

const fs = require("fs");
const path = require("path");
const modules = path.join(__dirname, "..", "editors", "vscode", "node_modules");
const oniguruma = require(path.join(modules, "vscode-oniguruma"));
const textmate = require(path.join(modules, "vscode-textmate"));

async function main([grammarFile, ...files]) {
  const wasm = fs.readFileSync(path.join(modules, "vscode-oniguruma", "release", "onig.wasm"));
  await oniguruma.loadWASM(wasm.buffer.slice(wasm.byteOffset, wasm.byteOffset + wasm.byteLength));
  const registry = new textmate.Registry({
    onigLib: Promise.resolve({
      createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
      createOnigString: (text) => new oniguruma.OnigString(text),
    }),
    loadGrammar: async () => textmate.parseRawGrammar(fs.readFileSync(grammarFile, "utf8"), grammarFile),
  });
  const grammar = await registry.loadGrammar("source.circ");
  const found = {};
  for (const file of files) {
    let rules = textmate.INITIAL;
    found[file] = fs.readFileSync(file, "utf8").split("\n").map((line) => {
      const told = grammar.tokenizeLine(line, rules);
      rules = told.ruleStack;
      return told.tokens.map((t) => [t.startIndex, t.endIndex, t.scopes[t.scopes.length - 1]]);
    });
  }
  process.stdout.write(JSON.stringify(found));
}

main(process.argv.slice(2));
