"""What is known of a code."""

from __future__ import annotations

from circuitdsl.frozen import frozen


@frozen(kw_only=True)
class Code:
    """`title` is a line, `explanation` a paragraph. `wrong` is a circuit (example.circ) whose check gives the
    code, `right` the same without the mistake; both are empty for a code that only a run can give."""

    title: str
    explanation: str
    wrong: str = ""
    right: str = ""
