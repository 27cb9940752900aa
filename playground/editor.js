// The editor: text, squiggles, verdicts above synapses, and what is derived of a synapse where the pointer rests on it.

import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { bracketMatching, indentUnit } from "@codemirror/language";
import { setDiagnostics } from "@codemirror/lint";
import { searchKeymap } from "@codemirror/search";
import { EditorState, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration, EditorView, WidgetType, drawSelection, highlightActiveLine, highlightActiveLineGutter, hoverTooltip, keymap,
  lineNumbers,
} from "@codemirror/view";
import { circ } from "./language.js";

// ---------------------------------------------------------------- verdicts above synapses

class Verdict extends WidgetType {
  constructor(text, colour) {
    super();
    Object.assign(this, { text, colour });
  }

  eq(other) {
    return other.text === this.text && other.colour === this.colour;
  }

  toDOM() {
    const line = document.createElement("div");
    line.className = `cm-verdict ${this.colour}`;
    line.textContent = this.text;
    return line;
  }
}

const setVerdicts = StateEffect.define();

const verdicts = StateField.define({
  create: () => Decoration.none,
  update(shown, transaction) {
    shown = shown.map(transaction.changes);
    for (const effect of transaction.effects) if (effect.is(setVerdicts)) shown = effect.value;
    return shown;
  },
  provide: (field) => EditorView.decorations.from(field),
});

// ---------------------------------------------------------------- the derivation of a synapse, where the pointer rests

const setBlocks = StateEffect.define();

const blocks = StateField.define({
  create: () => [],
  update: (held, { effects }) => effects.reduce((value, effect) => (effect.is(setBlocks) ? effect.value : value), held),
});

const hover = hoverTooltip((view, position) => {
  const word = view.state.wordAt(position);
  if (word === null) return null;
  const name = view.state.sliceDoc(word.from, word.to);
  const found = view.state.field(blocks).filter((block) => block.name.split(".").pop() === name);
  if (found.length === 0) return null;
  return {
    pos: word.from,
    end: word.to,
    above: true,
    create: () => {
      const dom = document.createElement("div");
      dom.className = "cm-hover";
      dom.textContent = found.map(told).join("\n\n");
      return { dom };
    },
  };
});

function told({ name, route, kind, rows, verdict }) {
  const lines = rows.map(({ label, text }) => `${label.padEnd(10)}${text}`);
  return [`${name}   ${route}   ${kind}`, ...lines, ...(verdict ? [`⇒ ${verdict}`] : [])].join("\n");
}

// ---------------------------------------------------------------- the editor

export class Editor {
  // `changed` is called with the text after each change of it, `run` on Ctrl+Enter.
  constructor(parent, { text, changed, run }) {
    const runs = { key: "Mod-Enter", run: () => (run(), true), preventDefault: true };
    this.view = new EditorView({
      parent,
      state: EditorState.create({
        doc: text,
        extensions: [
          lineNumbers(), history(), drawSelection(), highlightActiveLine(), highlightActiveLineGutter(), bracketMatching(),
          EditorState.tabSize.of(2), indentUnit.of("  "), EditorView.lineWrapping, circ, verdicts, blocks, hover,
          keymap.of([runs, ...defaultKeymap, ...historyKeymap, ...searchKeymap]),
          EditorView.contentAttributes.of({ "aria-label": "Circuit", "aria-describedby": "editor-help", spellcheck: "false" }),
          EditorView.updateListener.of((update) => update.docChanged && changed(this.text)),
        ],
      }),
    });
  }

  get text() {
    return this.view.state.doc.toString();
  }

  set text(text) {
    const { length } = this.view.state.doc;
    this.view.dispatch({ changes: { from: 0, to: length, insert: text }, selection: { anchor: 0 }, scrollIntoView: true });
  }

  // Shows what was found of the text as it stands.
  show(problems, circuit) {
    const { length } = this.view.state.doc;
    const at = (offset) => Math.min(offset, length);
    const marks = problems.map((p) => ({
      from: at(p.from),
      to: at(Math.max(p.to, p.from + 1)),
      severity: p.severity === "note" ? "info" : p.severity,
      message: message(p),
    }));
    this.view.dispatch(setDiagnostics(this.view.state, marks));
    if (circuit === null) {
      this.view.dispatch({ effects: [setVerdicts.of(Decoration.none), setBlocks.of([])] });
      return;
    }
    const colour = (synapses) => circuit.blocks.find((b) => synapses.includes(b.name))?.colour ?? "";
    const shown = circuit.verdicts.map(({ at: place, text, synapses }) => {
      const names = synapses.length > 1 ? ` (${synapses.length} synapses)` : "";
      const widget = new Verdict(`${text}${names}`, colour(synapses));
      return Decoration.widget({ widget, block: true, side: -1 }).range(at(place));
    });
    this.view.dispatch({ effects: [setVerdicts.of(Decoration.set(shown, true)), setBlocks.of(circuit.blocks)] });
  }

  // Puts the cursor at a place, and shows it.
  go(offset) {
    this.view.dispatch({ selection: { anchor: Math.min(offset, this.view.state.doc.length) }, scrollIntoView: true });
    this.view.focus();
  }
}

function message({ code, title, label, notes, hint }) {
  return [`${code}: ${title}`, label, ...notes, hint && `hint: ${hint}`].filter(Boolean).join("\n");
}
