"""A certificate as rows of words, for pages and notebooks; certify/table.py has it as text for terminals."""

from __future__ import annotations

from collections.abc import Sequence

from circuitdsl.certify.certificate import Certificate, SynapseCertificate
from circuitdsl.certify.table import chosen, figure, headline, interval_text, score_text, sentence
from circuitdsl.markup.html import AT_LEFT, Content, Html, coded, joined, table, tag

SUMMARY = ("synapse", "derived", "tested", "measured", "descent", "control", "φ", "cos at the end", "why")
COURSE = ("updates", "cos", "control", "φ", "|drive| / |∇|", "met in")
#: Cells up to so many characters are set in one line; how longer ones are.
UNBROKEN = 24
SENTENCE = "min-width: 16em"


def about(found: Certificate) -> str:
    """How it was measured."""
    return headline(found).partition("      ")[2]


def conclusion(found: Certificate) -> str:
    return sentence(found)


def summary_of(synapse: SynapseCertificate) -> tuple[str, ...]:
    """One learning synapse, by the columns of `SUMMARY`."""
    return (
        synapse.name,
        synapse.derived or "nothing",
        f"{synapse.mark} {synapse.status}" if synapse.status else "",
        synapse.verdict or "undecided",
        interval_text(synapse.descent),
        figure(synapse.control),
        score_text(synapse.phi),
        figure(synapse.cos),
        "" if synapse.outcome is None else synapse.outcome.why,
    )


def course_of(found: Certificate, synapse: SynapseCertificate) -> list[tuple[str, ...]]:
    """A synapse over training, by the columns of `COURSE`."""
    return [
        (
            f"{moment.update:,}",
            interval_text(moment.cos),
            figure(moment.control),
            score_text(moment.phi),
            figure(moment.norm_ratio),
            f"{moment.met} of {found.seeds}" if synapse.assumes else "",
        )
        for moment in chosen(synapse.course)
    ]


def unbroken(cells: Sequence[str]) -> list[Content]:
    """Cells in which figures with their intervals stay in a line; a sentence may break, in a column that is wide."""
    return [tag("div", c, style=SENTENCE) if len(c) > UNBROKEN else c.replace(" ", "\u00a0") for c in cells]


def as_html(found: Certificate) -> str:
    """What a notebook shows: the answer, a row for each synapse, and each over training behind a click."""
    rows = [unbroken(summary_of(s)) for s in found.synapses.values()]
    courses: list[Html] = [
        tag(
            "details",
            tag("summary", f"{s.name} over training"),
            table(COURSE, map(unbroken, course_of(found, s)), style=AT_LEFT),
        )
        for s in found.synapses.values()
        if s.course
    ]
    head = tag("p", tag("b", found.circuit), f" {about(found)}")
    return str(joined([head, tag("p", coded(conclusion(found))), table(SUMMARY, rows, style=AT_LEFT), *courses]))
