// The editor: colours, squiggles with ways out, verdicts behind synapses, what a word means, what may be written.

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { bracketMatching, indentUnit } from "@codemirror/language";
import { lintKeymap, setDiagnostics } from "@codemirror/lint";
import { searchKeymap } from "@codemirror/search";
import { EditorState, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration, EditorView, WidgetType, drawSelection, highlightActiveLine, highlightActiveLineGutter, hoverTooltip, keymap,
  lineNumbers,
} from "@codemirror/view";
import { circ } from "./language.js";
import { element, markdown } from "./page.js";

// ---------------------------------------------------------------- verdicts behind the lines of synapses

class Inlay extends WidgetType {
  constructor(label, colour) {
    super();
    Object.assign(this, { label, colour });
  }

  eq(other) {
    return other.label === this.label && other.colour === this.colour;
  }

  toDOM() {
    return element("span", { class: `cm-verdict ${this.colour}` }, this.label);
  }
}

const setInlays = StateEffect.define();

const inlays = StateField.define({
  create: () => Decoration.none,
  update(shown, transaction) {
    shown = shown.map(transaction.changes);
    for (const effect of transaction.effects) if (effect.is(setInlays)) shown = effect.value;
    return shown;
  },
  provide: (field) => EditorView.decorations.from(field),
});

// ---------------------------------------------------------------- the editor

export class Editor {
  // `changed` is called after each change of the text, `run` on Ctrl+Enter; `ask(call, given)` asks Python.
  constructor(parent, { text, changed, run, ask }) {
    const runs = { key: "Mod-Enter", run: () => (run(), true), preventDefault: true };
    const keys = [runs, ...closeBracketsKeymap, ...completionKeymap, ...lintKeymap, ...defaultKeymap, ...historyKeymap, ...searchKeymap];
    this.view = new EditorView({
      parent,
      state: EditorState.create({
        doc: text,
        extensions: [
          lineNumbers(), history(), drawSelection(), highlightActiveLine(), highlightActiveLineGutter(), bracketMatching(),
          closeBrackets(), EditorState.tabSize.of(2), indentUnit.of("  "), EditorView.lineWrapping, circ, inlays,
          hoverTooltip((view, at) => meaning(ask, view.state.doc.toString(), at)),
          autocompletion({ override: [(context) => completions(ask, context)], icons: false }),
          keymap.of(keys),
          EditorView.contentAttributes.of({ "aria-label": "Circuit", "aria-describedby": "editor-help", spellcheck: "false" }),
          EditorView.updateListener.of((update) => update.docChanged && changed()),
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

  // Shows what was found of the text as it stands; `fixes`: for each problem the ways out.
  show(problems, circuit, fixes = []) {
    const marks = problems.map((problem, i) => ({
      from: this.within(problem.from),
      to: this.within(Math.max(problem.to, problem.from + 1)),
      severity: problem.severity === "note" ? "info" : problem.severity,
      message: `${problem.code}: ${problem.message}`,
      actions: (fixes[i] ?? []).map((fix) => ({ name: fix.title, apply: () => this.take(fix) })),
    }));
    const shown = (circuit?.inlays ?? []).map(({ at, label, colour }) =>
      Decoration.widget({ widget: new Inlay(label, colour), side: 1 }).range(this.within(at)),
    );
    this.view.dispatch(setDiagnostics(this.view.state, marks), { effects: setInlays.of(Decoration.set(shown, true)) });
  }

  // Takes a way out.
  take({ from, to, insert }) {
    this.view.dispatch({ changes: { from, to, insert }, selection: { anchor: from + insert.length }, scrollIntoView: true });
    this.view.focus();
  }

  // Puts the cursor at a place, and shows it.
  go(offset) {
    this.view.dispatch({ selection: { anchor: this.within(offset) }, scrollIntoView: true });
    this.view.focus();
  }

  within(offset) {
    return Math.min(offset, this.view.state.doc.length);
  }
}

async function meaning(ask, text, at) {
  const found = await ask("hover", { text, at }).catch(() => null);
  if (found === null) return null;
  const create = () => ({ dom: element("div", { class: "cm-hover" }, ...markdown(found.text)) });
  return { pos: found.from, end: found.to, above: true, create };
}

async function completions(ask, context) {
  const before = context.matchBefore(/[\w."/]+/);
  if (before === null && !context.explicit) return null;
  const { words, from } = await ask("complete", { text: context.state.doc.toString(), at: context.pos });
  return words.length ? { from, options: words, validFor: /^\w*$/ } : null;
}
