"""The place of a syntax error: the word that cannot stand there, and everything around it.

A `Trouble` answers the questions that the rules of mistakes.py ask; it decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from circuitdsl.diagnostics import Source, Span
from circuitdsl.frozen import frozen
from circuitdsl.syntax.errors.machine import Entry, Machine
from circuitdsl.syntax.grammar import keywords, spellings
from circuitdsl.syntax.words import END, Word, shortened

ITEMS = frozenset(
    "PARAM INPUT TARGET NEURON SYNAPSE MODULATOR RULE MOTIF USE FOR ALIAS PAIR IMPORT LOSS EXPECT"
    " RECORD SCHEDULE TASK STAGE CIRCUIT".split()
)
"""The keywords that begin an item."""

HOMES = {
    "DENDRITE": "a neuron", "RATE": "a neuron", "LET": "a neuron", "SPIKE": "a neuron",
    "STATE": "a neuron, a synapse or a modulator", "DRIVE": "a synapse", "PHASE": "the schedule",
    "TIE": "a synapse", "SHARE": "a synapse", "DELAY": "a synapse", "EFFICACY": "a synapse",
}  # fmt: skip
"""The keywords that begin a member, and what it is a member of."""

BODIES = frozenset("CIRCUIT MOTIF FOR NEURON SYNAPSE MODULATOR SCHEDULE TASK STAGE WHEN".split())
"""The keywords whose construct has a body in braces."""

NAMED = frozenset(
    "CIRCUIT MOTIF RULE PARAM INPUT TARGET NEURON SYNAPSE MODULATOR USE FOR ALIAS PAIR TASK STAGE"
    " STATE LET DRIVE PHASE DENDRITE".split()
)
"""The keywords after which a name must follow."""


@frozen
class Closed:
    """A body that was closed: the machine before its `}`, and which word that is."""

    before: Machine
    brace: int


@frozen(kw_only=True)
class Trouble:
    """`words[at]` cannot stand where `machine` is.

    `forgiven` holds the opening braces that were put or opened again by an earlier repair, so that
    nobody is told to close them; `suspects` those whose body holds, or is closed by, a word that stands
    further left than the layout of the text would have it.
    """

    source: Source
    machine: Machine
    words: Sequence[Word]
    at: int
    closed: Closed | None = None
    forgiven: frozenset[int] = frozenset()
    suspects: dict[int, int] = field(default_factory=dict)

    # ------------------------------------------------------------ words

    @property
    def word(self) -> Word:
        return self.words[self.at]

    @property
    def previous(self) -> Word | None:
        return self.words[self.at - 1] if self.at else None

    @property
    def next(self) -> Word:
        return self.words[min(self.at + 1, len(self.words) - 1)]

    def span(self, first: int, last: int | None = None) -> Span:
        return Span(self.source, self.words[first].start, self.words[first if last is None else last].end)

    def text(self, first: int, last: int) -> str:
        """The source from word `first` to word `last`, on one line and short."""
        return shortened(self.span(first, last).text)

    def quoted(self, at: int | None = None) -> str:
        word = self.words[self.at if at is None else at]
        return "the end of the text" if word.kind == END else f"`{shortened(word.text)}`"

    def first_on_line(self, at: int) -> bool:
        return first_on_line(self.source, self.words, at)

    def begins_assignment(self, at: int) -> bool:
        """Whether `name =` or `name/dt =` stands there."""
        kinds = [w.kind for w in self.words[at : at + 4]]
        return kinds[:2] == ["NAME", "EQUAL"] or kinds == ["NAME", "SLASH", "NAME", "EQUAL"]

    def begins_something(self, at: int) -> bool:
        """Whether an item or a member seems to begin there."""
        kind = self.words[at].kind
        return kind in ITEMS or kind in HOMES or (self.begins_assignment(at) and self.first_on_line(at))

    def is_keyword(self) -> bool:
        return self.word.text in keywords()

    # ------------------------------------------------------------ surroundings

    def expected(self) -> set[str]:
        return self.machine.expected()

    def expression_complete(self) -> bool:
        """Whether an operator could stand here."""
        return self.machine.accepts("STAR")

    def bracket(self) -> Entry | None:
        """The innermost open bracket."""
        brackets = self.machine.open_brackets()
        return brackets[-1] if brackets else None

    def inside(self) -> str | None:
        """The body that the word stands in, for messages: "neuron `h`"."""
        braces = [b for b in self.machine.open_brackets() if b.symbol == "LBRACE"]
        return described(self.words, braces[-1].first) if braces else None

    def reach(self, machine: Machine, at: int, limit: int = 6) -> int:
        """How many words from `at` on the machine takes; `limit` if it comes to the end of the text."""
        trial = machine.copy()
        for taken in range(limit):
            word = self.words[at + taken]
            if not trial.feed(word.kind, at + taken):
                return taken
            if word.kind == END:
                return limit
        return limit


def first_on_line(source: Source, words: Sequence[Word], at: int) -> bool:
    if at == 0:
        return True
    return "\n" in source.text[words[at - 1].end : words[at].start]


def indentation(source: Source, word: Word) -> int:
    """How far the line is indented on which the word stands."""
    line = source.line_text(source.position(word.start)[0])
    return len(line) - len(line.lstrip())


def described(words: Sequence[Word], brace: int) -> str:
    """What an opening brace belongs to: "neuron `h`", "the schedule", "the loop over `l`"."""
    head = brace
    while head > 0 and words[head].kind not in BODIES:
        head -= 1
    kind = words[head].kind
    match kind:
        case "SCHEDULE":
            return "the schedule"
        case "WHEN":
            return "`spike when`"
        case "FOR":
            return f"the loop over `{words[head + 1].text}`"
        case _ if kind in BODIES and head < brace:
            return f"{spellings()[kind]} `{_name_at(words, head + 1)}`"
        case _:
            return "the circuit"


def _name_at(words: Sequence[Word], at: int) -> str:
    """The name that begins there, with its indices."""
    text, depth = words[at].text, 0
    for word in words[at + 1 : at + 20]:
        if depth == 0 and word.kind != "LSQB":
            break
        depth += {"LSQB": 1, "RSQB": -1}.get(word.kind, 0)
        text += word.text
    return text
