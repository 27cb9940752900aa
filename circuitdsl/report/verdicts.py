"""`docs/verdicts.md`: every circuit of the library with what is derived of it and what is measured.

python -m circuitdsl.report.verdicts                 derives and certifies (minutes), writes docs/verdicts.md
python -m circuitdsl.report.verdicts --no-measure    derives only (seconds)
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from circuitdsl.api import Circuit, load
from circuitdsl.derive.tell.brief import OPEN
from circuitdsl.derive.tell.derivation import Derivation, Told
from circuitdsl.derive.tell.hypotheses import in_a_line
from circuitdsl.derive.tell.layers import alike
from circuitdsl.derive.tell.outline import together
from circuitdsl.derive.tell.wording import Wording, neglected_by
from circuitdsl.frozen import frozen
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.state import write_atomically
from circuitdsl.shipped import library_path

if TYPE_CHECKING:
    from circuitdsl.certify.certificate import Certificate, SynapseCertificate

HEADING = """# Verdicts

Every circuit of the library: what its own plasticity amounts to for every learning synapse, on what evidence, with
which H between credit and gradient, and what that rests on. `circuitdsl derive` shows the derivation, `circuitdsl
certify` the whole measurement. Made by `python -m circuitdsl.report.verdicts`; not to be edited.
"""
MEASURED = """
Measured, over {seeds} seeds of each circuit's own task, trained until all that its verdicts assume could have come
about where that takes no more than {most} times its epochs: the cosine of drive and steepest descent at the end; that
of the credit s and Hδ, over the neurons that have credit (H as derived, else the identity); the rate of descent,
E⟨drive, −gradient⟩ / (|drive| |gradient|), late in training, with its 95 % interval over seeds (Student's t), and
beside it the same with the error vectors permuted (control; for a bias it is the same); the part of checkpoints and
seeds with φ > 0; the verdict that the seeds decide by themselves. What became of the derived verdict, at the states
that met all that it assumes: ✓ confirmed; ✗ contradicted; · untested, because something was not met, which is named
with its residual.
"""
DERIVED_HEAD = ("synapse", "verdict", "evidence", "H", "rests on", "if")
MEASURED_HEAD = ("cos", "cos(s, Hδ)", "descent", "control", "φ > 0", "measured", "tested")
#: A certificate is prolonged to no more than so many times the epochs of its task.
MOST = 250


@frozen
class Entry:
    """One circuit of the library, with its certificate if it was measured."""

    path: str
    derivation: Derivation
    certificate: Certificate | None


def library() -> Iterator[tuple[str, Circuit]]:
    """Every shipped circuit that declares a loss, by its path in the library."""
    root = library_path()
    for path in sorted(root.rglob("*.circ")):
        try:
            circuit = load(path)
        except UsageError:  # rules and motifs only
            continue
        if circuit.ir.loss is not None:
            yield path.relative_to(root).as_posix(), circuit


def entry(path: str, circuit: Circuit, seeds: int | None) -> Entry:
    """Derives one circuit and, with `seeds`, certifies it."""
    derivation = circuit.derive(measure=False)
    if not seeds or not circuit.ir.tasks:
        return Entry(path, derivation, None)
    certificate = circuit.certify(seeds=seeds, long=_is_affordable(circuit, derivation))
    return Entry(path, derivation, certificate)


def _is_affordable(circuit: Circuit, derivation: Derivation) -> bool:
    """Whether what is assumed comes about within not too many times the epochs of the first task."""
    from circuitdsl.certify.plan import lasting, plan_of

    learning = [f.synapse for f in derivation.findings.values() if f.role == "learning"]
    plan = plan_of(circuit.ir, derivation=derivation, folder=circuit.folder)
    updates = lasting(derivation, learning)
    return updates is not None and updates <= MOST * plan.course.updates


def document(entries: Sequence[Entry], seeds: int | None) -> str:
    """The whole page."""
    parts = [HEADING + (MEASURED.format(seeds=seeds, most=MOST) if seeds else "")]
    parts.append(_summary(entries, measured=bool(seeds)))
    folder = ""
    for one in entries:
        if one.path.split("/")[0] != folder:
            folder = one.path.split("/")[0]
            parts.append(f"## {folder}")
        parts.append("\n".join(_section(one)))
    return "\n\n".join(parts) + "\n"


def _section(one: Entry) -> Iterator[str]:
    dc = {True: "dynamically consistent", False: "not dynamically consistent", None: "consistency not known"}
    yield f"### {one.path}\n"
    objective = next((row.text for row in together(one.derivation) if row.label == "objective"), None)
    yield "; ".join(filter(None, (dc[one.derivation.dc], objective)))
    yield ""
    head = DERIVED_HEAD + (MEASURED_HEAD if one.certificate is not None else ())
    yield _row(head)
    yield _row(["---"] * len(head))
    yield from _rows(one)


def _rows(one: Entry) -> Iterator[str]:
    """One row for each learning synapse; without figures, one for layers that are alike."""
    learning = [f for f in one.derivation.findings.values() if f.role == "learning"]
    if one.certificate is not None:
        yield from (_row([*_derived(one.derivation, f), *_figures(one.certificate.synapses, f)]) for f in learning)
    else:
        yield from alike(_row(_derived(one.derivation, f)) for f in learning)


def _derived(derivation: Derivation, found: Told) -> list[str]:
    words = Wording(derivation.symbols.constants)
    relations = found.grounds.relations if found.grounds is not None else ()
    rests = [f"{words.equation(r)} ({', '.join(neglected_by(r)) or r.holds})" for r in relations]
    if found.grounds is not None:
        rests += [words.lemma(lemma) for lemma in found.grounds.lemmas if lemma.rests]
    if found.balance is not None:
        rests = [found.because[-1]]
    elif not rests and found.form is None and found.because:
        rests = [found.because[0]]
    verdict = f"**{found.verdict}**" if found.verdict else OPEN
    assumed = in_a_line(found.assumed.nearest(), derivation.symbols.constants, str)
    return [f"`{found.synapse}`", verdict, found.evidence or "", found.H or "", "; ".join(rests), assumed]


def _figures(synapses: Mapping[str, SynapseCertificate], found: Told) -> list[str]:
    measured = synapses.get(found.synapse)
    if measured is None:
        return [""] * len(MEASURED_HEAD)
    low, mean, high = measured.descent
    return [
        f"{measured.cos:.2f}",
        f"{measured.aligned:.2f}",
        f"{mean:.2f} [{low:.2f}, {high:.2f}]",
        f"{measured.control:.2f}",
        f"{measured.phi_positive:.0%}",
        (measured.verdict or "undecided") + (f"; {measured.phases}" if measured.phases else ""),
        _tested(measured),
    ]


def _tested(measured: SynapseCertificate) -> str:
    untested = measured.outcome is not None and measured.outcome.status == "untested"
    return f"{measured.mark} {measured.outcome.why}" if measured.outcome is not None and untested else measured.mark


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _summary(entries: Sequence[Entry], *, measured: bool) -> str:
    """What stands at the head: how much is decided, and how much of that was tested."""
    findings = [f for e in entries for f in e.derivation.findings.values() if f.role == "learning"]
    decided = [f for f in findings if f.evidence in ("proved", "derived")]
    text = f"{len(entries)} circuits, {len(findings)} learning synapses; {len(decided)} of them decided by algebra."
    if not measured:
        return text
    against = [s for e in entries if e.certificate is not None for s in e.certificate.contradictions]
    found = [s for e in entries if e.certificate is not None for s in e.certificate.synapses.values()]
    return "\n".join([text, "", *_counts(found), "", f"Contradicted: {'; '.join(against) if against else 'none'}."])


def _counts(found: Sequence[SynapseCertificate]) -> Iterator[str]:
    """How many verdicts were tested: those that assume nothing, or only what data have from the start, and others."""
    yield _row(("verdicts", "confirmed", "contradicted", "untested"))
    yield _row(["---"] * 4)
    groups = {
        "that assume something that has to come about": [s for s in found if any(a.pace for a in s.assumes)],
        "that assume something else": [s for s in found if s.assumes and not any(a.pace for a in s.assumes)],
        "that assume nothing": [s for s in found if s.derived is not None and not s.assumes],
    }
    for name, group in groups.items():
        counts = (sum(s.status == status for s in group) for status in ("confirmed", "contradicted", "untested"))
        yield _row((name, *map(str, counts)))


def main() -> None:
    parser = ArgumentParser(prog="python -m circuitdsl.report.verdicts", description=__doc__.splitlines()[0])
    parser.add_argument("--no-measure", action="store_true", help="derive only")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of each certificate (5)")
    parser.add_argument("--out", type=Path, default=Path("docs/verdicts.md"), help="where to write it")
    options = parser.parse_args()
    seeds = None if options.no_measure else options.seeds
    entries = []
    for path, circuit in library():
        print(path, file=sys.stderr)
        entries.append(entry(path, circuit, seeds))
    write_atomically(options.out, document(entries, seeds).encode())


if __name__ == "__main__":
    main()
