// Starts `circuitdsl lsp` for the .circ files of a window, and stops it with the window.

const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

async function activate() {
  const [command, ...before] = vscode.workspace.getConfiguration("circuitdsl").get("command");
  const server = { command, args: [...before, "lsp"] };
  const texts = {
    documentSelector: [{ language: "circ" }],
    synchronize: { fileEvents: vscode.workspace.createFileSystemWatcher("**/*.circ") },
  };
  client = new LanguageClient("circuitdsl", "circuitdsl", server, texts);
  try {
    await client.start();
  } catch (problem) {
    const way = "pip install 'circuitdsl[editor]', or set circuitdsl.command to where it is installed";
    vscode.window.showErrorMessage(`\`${command} lsp\` does not start (${problem.message ?? problem}): ${way}`);
  }
}

async function deactivate() {
  await client?.stop();
}

module.exports = { activate, deactivate };
