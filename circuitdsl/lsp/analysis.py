"""One text as it stands in an editor, right or broken, with all that is known of it.

Each part is computed when it is first asked for: the check and what it finds, the names, the derivation. Nothing is
measured.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from circuitdsl.derive.tell.derivation import Derivation, derive
from circuitdsl.derive.tell.expects import Judgement, judge
from circuitdsl.derive.tell.outline import Block, blocks
from circuitdsl.diagnostics import CircuitError, Diagnostic, Report, Source
from circuitdsl.graph import ir
from circuitdsl.graph.files import FileScope, Reader, load_files
from circuitdsl.graph.resolve import Loaded, load_source
from circuitdsl.graph.symbols import Symbols, symbols_of
from circuitdsl.syntax.errors.salvage import salvage
from circuitdsl.syntax.parse import parse, read_source


@dataclass(eq=False)
class Analysis:
    """`folder` is where the text lies, None for one that lies nowhere; `read` gives the texts of its imports."""

    source: Source
    folder: Path | None = None
    read: Reader = field(default=read_source, repr=False)

    @cached_property
    def _checked(self) -> tuple[Loaded | None, tuple[Diagnostic, ...]]:
        try:
            loaded = load_source(self.source, self.folder, read=self.read)
        except CircuitError as error:
            return None, error.diagnostics
        return loaded, loaded.warnings

    @property
    def loaded(self) -> Loaded | None:
        """The checked text; None if it is wrong."""
        return self._checked[0]

    @property
    def found(self) -> tuple[Diagnostic, ...]:
        """What the check has found: errors, warnings and notes."""
        return self._checked[1]

    @property
    def circuit(self) -> ir.Circuit | None:
        """The checked circuit; None if the text is wrong or holds none."""
        return None if self.loaded is None else self.loaded.circuit

    @cached_property
    def files(self) -> FileScope:
        """The text and what it imports, without the parts of it that make no sense."""
        if self.loaded is not None:
            return self.loaded.files
        return load_files(salvage(self.source), self.folder, Report(), self.read)

    @cached_property
    def is_broken(self) -> bool:
        """Whether the text is not even grammatical: then parts of it are not read."""
        if self.loaded is not None:
            return False
        try:
            parse(self.source)
        except CircuitError:
            return True
        return False

    @cached_property
    def symbols(self) -> Symbols:
        return symbols_of(self.files)

    @cached_property
    def derivation(self) -> Derivation | None:
        """What the plasticity of the circuit amounts to; None without a circuit."""
        return None if self.circuit is None else derive(self.circuit)

    @cached_property
    def judgements(self) -> list[Judgement]:
        """What the circuit expects of its derivation, in the order of the text."""
        return [] if self.derivation is None else judge(self.derivation)

    @cached_property
    def blocks(self) -> list[Block]:
        """The derivation as it is told."""
        return [] if self.derivation is None else blocks(self.derivation)


def analyse(text: str, name: str = "<text>", folder: Path | None = None) -> Analysis:
    """A text, as if it lay in a folder under a name."""
    return Analysis(Source(name, text), folder)
