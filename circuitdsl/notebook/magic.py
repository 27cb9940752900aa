"""`%%circ`: a circuit as a cell of a notebook.

%load_ext circuitdsl

%%circ feedback
circuit feedback { ... }

The cell is checked; if it is right the circuit is kept under the name that is given (else under its own), and drawn,
with its text in colours below; if not, its mistakes are told where they are.
"""

from __future__ import annotations

from typing import Any

from circuitdsl.api import Circuit, loads
from circuitdsl.diagnostics import CircuitError, Severity, render
from circuitdsl.extras import how_to_get
from circuitdsl.markup.html import Html, joined, tag


def load(shell: Any) -> None:
    """What `%load_ext circuitdsl` does: the magic, and runs that show their curves."""
    from circuitdsl.plot.curves import show_in_notebooks

    def circ(line: str, cell: str) -> Shown | None:
        """%%circ [NAME]: checks the circuit in the cell, keeps it as NAME and draws it."""
        return _circ(shell, line.strip(), cell)

    shell.register_magic_function(circ, magic_kind="cell", magic_name="circ")
    show_in_notebooks()


def _circ(shell: Any, name: str, cell: str) -> Shown | None:
    if name and not name.isidentifier():
        print(f"error: `%%circ {name}`: this is no name for a variable; write `%%circ mine`")
        return None
    try:
        circuit = loads(cell, name or "cell")
    except CircuitError as error:
        print("\n\n".join(error._render_traceback_()))
        return None
    for warning in circuit.warnings:
        if warning.severity is not Severity.NOTE:
            print(render(warning, color=True))
    shell.user_ns[name or circuit.name] = circuit
    return Shown(circuit, name or circuit.name, cell)


class Shown:
    """What the cell shows: what it is called, its drawing, and its text in colours."""

    def __init__(self, circuit: Circuit, name: str, text: str):
        self.circuit, self.name, self.text = circuit, name, text

    def __repr__(self) -> str:
        return f"{self.name} = {self.circuit!r}"

    def _repr_html_(self) -> str:
        text = tag("details", tag("summary", "text"), highlighted(self.text))
        return str(joined([tag("p", tag("code", repr(self))), Html(self.circuit._repr_svg_()), text]))


def highlighted(text: str) -> Html:
    """The text in colours, by Pygments (extra `notebook`); without it as it is."""
    try:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter

        from circuitdsl.highlight.lexer import CircLexer
    except ModuleNotFoundError as problem:
        if how_to_get(problem.name) is None:
            raise
        return tag("pre", text)
    return Html(highlight(text, CircLexer(), HtmlFormatter(noclasses=True, nobackground=True)))
