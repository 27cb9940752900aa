"""`docs/verdicts.md`: every circuit of the library with what is derived of it and what is measured.

python -m circuitdsl.report.verdicts                 derives and certifies (minutes), writes docs/verdicts.md
python -m circuitdsl.report.verdicts --no-measure    derives only (seconds)
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from circuitdsl.api import Circuit, load
from circuitdsl.derive.prove.findings import with_measured
from circuitdsl.derive.tell.derivation import Derivation, Told
from circuitdsl.derive.tell.hypotheses import in_a_line
from circuitdsl.derive.tell.layers import alike
from circuitdsl.derive.tell.outline import together
from circuitdsl.derive.tell.wording import Wording, neglected_by
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.state import write_atomically
from circuitdsl.shipped import library_path

if TYPE_CHECKING:
    from circuitdsl.certify.assumptions import Assumption
    from circuitdsl.certify.certificate import Certificate, SynapseCertificate

HEADING = """# Verdicts

Every circuit of the library: what its own plasticity amounts to for every learning synapse, on what evidence, with
which H between credit and gradient, and what that rests on. `circuitdsl derive` shows the derivation, `circuitdsl
certify` the whole measurement. Made by `python -m circuitdsl.report.verdicts`; not to be edited.
"""
MEASURED = """
Measured, over {seeds} seeds of each circuit's own task: the cosine of drive and steepest descent at the end; that of
the credit s and Hδ, over the neurons that have credit (H as derived, else the identity); the rate of descent, E⟨drive,
−gradient⟩ / (|drive| |gradient|), late in training, with its 95 % interval, and beside it the same with the error
vectors permuted (control; for a bias it is the same); the part of checkpoints and seeds with φ > 0. A derived verdict
holds once the relations that it rests on have come about: *reached* tells whether they came under a residual of 0.1 in
all seeds. ✓: the measurement agrees with what is derived, ✗: it contradicts it; ·: it tests nothing, because a
hypothesis of the verdict was not met at the end (of the first seed), which is named with its residual.
"""
DERIVED_HEAD = ("synapse", "verdict", "evidence", "H", "rests on", "if")
MEASURED_HEAD = ("cos", "cos(s, Hδ)", "descent", "control", "φ > 0", "reached", "agrees")


@dataclass(frozen=True, slots=True)
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
    """Derives one circuit and, with `seeds`, certifies it; what algebra leaves open is then measured."""
    derivation = circuit.derive(measure=False)
    if not seeds or not circuit.ir.tasks:
        return Entry(path, derivation, None)
    from circuitdsl.certify.certify import measured_of

    certificate = circuit.certify(seeds=seeds)
    measured = {n: m for n, s in certificate.synapses.items() if (m := measured_of(s)) is not None}
    return Entry(path, with_measured(derivation, measured), certificate)


def document(entries: Sequence[Entry], seeds: int | None) -> str:
    """The whole page."""
    parts = [HEADING + (MEASURED.format(seeds=seeds) if seeds else "")]
    folder = ""
    for one in entries:
        if one.path.split("/")[0] != folder:
            folder = one.path.split("/")[0]
            parts.append(f"## {folder}")
        parts.append("\n".join(_section(one)))
    parts.append(_summary(entries, measured=bool(seeds)))
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
    verdict = f"**{found.verdict}**" if found.verdict else "open"
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
        {True: "yes", False: "no", None: ""}[measured.reached],
        _agreement(measured),
    ]


def _agreement(measured: SynapseCertificate) -> str:
    unmet = unmet_in(measured)
    if measured.agrees and unmet:
        return f"· {unmet[0].name}: {unmet[0].residual:.2g}"
    return {True: "✓", False: "✗", None: ""}[measured.agrees]


def unmet_in(measured: SynapseCertificate) -> list[Assumption]:
    """The hypotheses of a verdict that its run had not come to meet, the worst first."""
    found = [a for a in measured.assumes if a.met is False]
    return sorted(found, key=lambda a: -a.residual)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _summary(entries: Sequence[Entry], *, measured: bool) -> str:
    findings = [f for e in entries for f in e.derivation.findings.values() if f.role == "learning"]
    decided = [f for f in findings if f.evidence in ("proved", "derived")]
    text = (
        f"## Together\n\n{len(entries)} circuits, {len(findings)} learning synapses; "
        f"{len(decided)} of them decided by algebra."
    )
    if not measured:
        return text
    against = [s for e in entries if e.certificate is not None for s in e.certificate.contradictions]
    found = [s for e in entries if e.certificate is not None for s in e.certificate.synapses.values()]
    conditional = [s for s in found if s.assumes and s.agrees is not None]
    tested = sum(not unmet_in(s) for s in conditional)
    return (
        f"{text} Of {len(conditional)} that assume anything {tested} were tested, {len(conditional) - tested} not, "
        f"for a hypothesis that was not met. Contradicted by measurement: {'; '.join(against) if against else 'none'}."
    )


def main() -> None:
    parser = ArgumentParser(prog="python -m circuitdsl.report.verdicts", description=__doc__.splitlines()[0])
    parser.add_argument("--no-measure", action="store_true", help="derive only")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each certificate (3)")
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
