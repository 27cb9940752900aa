// How the text is coloured: by the words and patterns of the grammar (circuitdsl/highlight/vocabulary.py).

import { HighlightStyle, StreamLanguage, syntaxHighlighting } from "@codemirror/language";
import { tags } from "@lezer/highlight";
import words from "vocabulary";

const sets = Object.fromEntries(
  ["items", "members", "others", "declaring", "functions", "builtins"].map((kind) => [kind, new Set(words[kind])]),
);
// A pattern of the grammar as it matches where a stream stands. Python and JavaScript read these patterns alike.
const pattern = (name) => new RegExp(`^(?:${words.patterns[name]})`);
const [COMMENT, STRING, NUMBER, NAME] = ["COMMENT", "STRING", "NUMBER", "NAME"].map(pattern);
const QUOTES = '"""';

function token(stream, state) {
  if (state.inDocstring || stream.match(QUOTES)) {
    state.inDocstring = !stream.match(/^.*?"""/);
    if (state.inDocstring) stream.skipToEnd();
    return "string";
  }
  if (stream.eatSpace()) return null;
  if (stream.match(COMMENT)) return "comment";
  if (stream.match(STRING)) return "string";
  if (stream.match(NUMBER)) return "number";
  const name = stream.match(NAME);
  if (!name) {
    stream.next();
    return null;
  }
  const [word] = name;
  const declared = state.declares;
  state.declares = sets.declaring.has(word);
  if (sets.items.has(word)) return "item";
  if (sets.members.has(word)) return "member";
  if (sets.others.has(word)) return "other";
  if (declared) return "declared";
  if (sets.builtins.has(word)) return "builtin";
  return sets.functions.has(word) && stream.match(/^\s*\(/, false) ? "function" : null;
}

const table = {
  item: tags.definitionKeyword,
  member: tags.keyword,
  other: tags.modifier,
  declared: tags.definition(tags.variableName),
  builtin: tags.standard(tags.variableName),
  function: tags.function(tags.variableName),
};

const style = HighlightStyle.define([
  { tag: tags.comment, class: "tok-comment" },
  { tag: tags.string, class: "tok-string" },
  { tag: tags.number, class: "tok-number" },
  ...Object.entries(table).map(([name, tag]) => ({ tag, class: `tok-${name}` })),
]);

const language = StreamLanguage.define({
  name: "circ",
  startState: () => ({ inDocstring: false, declares: false }),
  copyState: (state) => ({ ...state }),
  token,
  tokenTable: table,
  languageData: { commentTokens: { line: "#" }, closeBrackets: { brackets: ["(", "[", "{"] } },
});

export const circ = [language, syntaxHighlighting(style)];
