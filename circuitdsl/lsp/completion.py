"""What may be written at a place: keywords, names, functions, words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from circuitdsl.diagnostics import Report, Source, Span
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.calls import CALLS
from circuitdsl.graph.files import FileScope, library_texts, load_files
from circuitdsl.graph.findings import BUILTIN_NAMES, INSTEAD
from circuitdsl.graph.functions import CALLED
from circuitdsl.graph.judging import SCHEDULE_SETTINGS, TASK_SETTINGS, UPDATES
from circuitdsl.graph.occurrences import POPULATIONS, seen_at
from circuitdsl.graph.populations import POPULATION_FUNCTIONS, REDUCTIONS
from circuitdsl.graph.settings import CONNECT_ARITY, INIT_FORMS, SCALES, VERDICTS
from circuitdsl.graph.synapses import SETTINGS
from circuitdsl.graph.written import Kind, Named
from circuitdsl.lsp.analysis import Analysis
from circuitdsl.lsp.place import Place, Where, where
from circuitdsl.syntax.errors.salvage import Standing, standing
from circuitdsl.syntax.grammar import spellings
from circuitdsl.syntax.words import words


@frozen
class Completion:
    """A word that may be written. `kind`: what it is, such as "keyword", "function" or "neuron"; `detail`: how it is
    called, or what it means."""

    label: str
    kind: str
    detail: str = ""


@frozen
class Completions:
    """The words that may stand in place of `span`, the part of a word that is there already."""

    span: Span
    words: tuple[Completion, ...]


#: A name that nobody writes: it stands where the word would.
_HERE = "_here_and_now_"

_EVERYWHERE = frozenset({Kind.PARAM, Kind.ARGUMENT, Kind.LOOP})
_VALUES = _EVERYWHERE | POPULATIONS | {
    Kind.DENDRITE, Kind.STATE, Kind.LET, Kind.DRIVE, Kind.MODULATOR, Kind.INSTANCE, Kind.ALIAS, Kind.PHASE,
}  # fmt: skip
_REFERENCES = frozenset({Kind.INSTANCE, Kind.ALIAS, Kind.ARGUMENT})

#: Which names may stand at a place; after a dot all that have a meaning there.
_NAMES: dict[Place, frozenset[Kind]] = {
    Place.NUMBER: _EVERYWHERE,
    Place.INIT: _EVERYWHERE | {Kind.SYNAPSE, Kind.INSTANCE, Kind.ALIAS},
    Place.CONNECT: _EVERYWHERE,
    Place.DATA: frozenset(),
    Place.NEURON: _VALUES,
    Place.SYNAPSE: _VALUES,
    Place.SCALAR: _VALUES,
    Place.RECORD: _VALUES | {Kind.SYNAPSE},
    Place.SOURCE: POPULATIONS | _REFERENCES,
    Place.TARGET: _REFERENCES | {Kind.NEURON},
    Place.POPULATION: POPULATIONS | _REFERENCES,
    Place.OWNER: POPULATIONS | _REFERENCES | {Kind.SYNAPSE},
    Place.MATRIX: _REFERENCES | {Kind.SYNAPSE},
    Place.EXPECTED: _REFERENCES | {Kind.SYNAPSE},
    Place.PHASE: frozenset({Kind.PHASE}),
    Place.ANY: _VALUES | {Kind.SYNAPSE},
    Place.MEMBER: frozenset(Kind),
}

_TIMED = ("prev", "first", "last", "rand", "randn")
_FUNCTIONS: dict[Place, Iterable[str]] = {
    Place.NUMBER: CALLED,
    Place.INIT: CALLED,
    Place.NEURON: (*CALLED, *POPULATION_FUNCTIONS, *_TIMED),
    Place.SYNAPSE: (*CALLED, *_TIMED),
    Place.SCALAR: (*CALLED, *REDUCTIONS, *_TIMED),
    Place.RECORD: (*CALLED, *REDUCTIONS, "transpose"),
    Place.SOURCE: ("prev",),
    Place.MATRIX: ("transpose",),
}

_BUILTINS: dict[Place, tuple[str, ...]] = {
    Place.NEURON: ("bias", "tick", "dt"),
    Place.SYNAPSE: ("w", "pre", "post", "fan_in", "fan_out", "bias", "tick", "dt"),
    Place.SCALAR: ("bias", "tick", "dt"),
    Place.INIT: ("fan_in", "fan_out"),
    Place.SOURCE: ("bias",),
    Place.EXPECTED: ("metric",),
}

_WORDS: dict[Place, Iterable[str]] = {
    Place.CONNECT: CONNECT_ARITY,
    Place.SIGN: tuple(ir.Sign),
    Place.SCALE: SCALES,
    Place.UPDATE: UPDATES,
    Place.VERDICT: VERDICTS,
    Place.INIT: INIT_FORMS,
}

#: Keywords that are values, and where; those of constructs that are not yet available; what may call a rule.
_AS_VALUES = {
    "LOSS": (Place.SCALAR, Place.RECORD), "RATE": (Place.NEURON,),
    "TRAIN": (Place.NEURON, Place.SYNAPSE, Place.SCALAR),
}  # fmt: skip
_FURTHER = {construct.upper().removesuffix(" WHEN") for construct in INSTEAD}
_WITH_RULES = frozenset({Place.NUMBER, Place.NEURON, Place.SYNAPSE, Place.SCALAR, Place.INIT})


def completions(analysis: Analysis, offset: int, known: ir.Circuit | None = None) -> Completions:
    """What may be written at an offset. `known`: the circuit as it was last right, by which a synapse's equations are
    offered only what is present at it."""
    source = analysis.source
    path = re.search(r'\bimport\s+"([^"\n]*)$', source.text[:offset])
    if path is not None:
        span = Span(source, offset - len(path[1]), offset)
        return Completions(span, tuple(Completion(name, "file") for name in _imports(analysis.folder)))
    written = re.search(r"[A-Za-z_]\w*$", source.text[:offset])
    start = written.start() if written else offset
    if _is_prose(source, start):
        return Completions(Span(source, start, offset), ())
    end = offset + len(re.match(r"\w*", source.text[offset:])[0])  # type: ignore[index]
    here = standing(source, start, end, _HERE)
    found = {c.label: c for c in reversed(list(_found(analysis, here, where(here), known)))}
    return Completions(Span(source, start, offset), tuple(sorted(found.values(), key=_order)))


def _imports(folder: Path | None) -> list[str]:
    """The files with rules or motifs beside the text, and those of the library."""
    beside = sorted(folder.glob("*.circ")) if folder is not None else []
    return [p.name for p in beside if _defines(p)] + [path for path, _ in library_texts()]


def _defines(path: Path) -> bool:
    try:
        return re.search(r"^\s*(rule|motif)\s", path.read_text("utf-8"), re.MULTILINE) is not None
    except (OSError, UnicodeDecodeError):
        return False


def _is_prose(source: Source, offset: int) -> bool:
    """Whether a place is within a comment, a text or a docstring."""
    quiet = [w for w in words(source, layout=True)[0] if w.kind in ("COMMENT", "STRING", "DOCSTRING")]
    return any(w.start < offset < w.end or (w.kind == "COMMENT" and offset == w.end) for w in quiet)


def _order(completion: Completion) -> tuple[bool, bool, str]:
    """Names first, keywords last."""
    return completion.kind == "keyword", completion.kind == "function", completion.label


def _found(analysis: Analysis, here: Standing, at: Where, known: ir.Circuit | None) -> Iterator[Completion]:
    place = at.place
    if place is Place.NAME:
        return
    values = set() if place is Place.START else {k for k, places in _AS_VALUES.items() if place not in places}
    keywords = {spellings()[k] for k in (here.expected & spellings().keys()) - values - _FURTHER}
    body = (at.body or "").lower()
    keywords = {k for k in keywords if k.isidentifier() and f"{k} in a {body}" not in INSTEAD}
    yield from (Completion(k, "keyword") for k in keywords)
    if place is Place.START:
        yield from _settings(analysis, here, at)
        return
    yield from (Completion(word, "word", INIT_FORMS.get(word, "")) for word in _WORDS.get(place, ()))
    yield from (Completion(name, "data set") for name in (_data_sets() if place is Place.DATA else ()))
    yield from (Completion(name, "function", CALLS[name]) for name in _FUNCTIONS.get(place, ()))
    yield from (Completion(name, "built in", BUILTIN_NAMES[name]) for name in _BUILTINS.get(place, ()))
    if place in (Place.MOTIF, *_WITH_RULES):
        yield from _definitions(analysis.files, motifs=place is Place.MOTIF)
    yield from _arguments(analysis.files, at.call, here)
    yield from _names(analysis, here, at, known)


def _settings(analysis: Analysis, here: Standing, at: Where) -> Iterator[Completion]:
    """What a member may set, where one begins."""
    match at.body:
        case "SYNAPSE":
            yield from (Completion(name, "setting") for name in (*SETTINGS, "dw"))
        case "TASK" | "STAGE":
            yield from (Completion(name, "setting") for name in TASK_SETTINGS)
        case "SCHEDULE":
            yield from (Completion(name, "setting") for name in SCHEDULE_SETTINGS)
        case _:
            pass
    if at.body in ("SYNAPSE", "NEURON", "MODULATOR"):
        states = [s.name for s in analysis.symbols.all if s.kind is Kind.STATE and f"{at.owner}." in f".{s.path}"]
        yield from (Completion(f"d{state}", "setting", f"the increment of `{state}`") for state in states)
    if here.item and here.item[0].kind == "LOSS":
        yield from (Completion(word, "word") for word in ("at", "over"))


def _data_sets() -> list[str]:
    """The data sets that are known by name, where what brings them is installed."""
    with suppress(ImportError):
        from circuitdsl.data.named import NAMED

        return sorted(NAMED)
    return []


def _definitions(files: FileScope, *, motifs: bool) -> Iterator[Completion]:
    """The rules or motifs that the file sees."""
    table = files.motifs if motifs else files.rules
    for name, (item, _) in table.items():
        call = f"{name}({', '.join(p.name for p in item.parameters)})"
        yield Completion(name, "motif" if motifs else "rule", call)


def _arguments(files: FileScope, call: str | None, here: Standing) -> Iterator[Completion]:
    """The names of the arguments of a rule or motif, where an argument begins."""
    if call is None or here.item[-1].kind not in ("LPAR", "COMMA"):
        return
    table = files.motifs if here.item[0].kind == "USE" and here.item[1].text == call else files.rules
    if call in table:
        yield from (Completion(f"{p.name} =", "argument", f"of `{call}`") for p in table[call][0].parameters)


def _names(analysis: Analysis, here: Standing, at: Where, known: ir.Circuit | None) -> Iterator[Completion]:
    if here.tree is None:
        return
    files = load_files(here.tree, analysis.folder, Report(), analysis.read)
    wanted = _NAMES.get(at.place, frozenset())
    near = _near(known, at) if at.place is Place.SYNAPSE else None
    for name, named in seen_at(files, _HERE).items():
        if name == _HERE or not named.kinds & wanted:
            continue
        if near is not None and named.kinds <= POPULATIONS and name not in near:
            continue
        yield Completion(name, _kind_of(named))


def _kind_of(named: Named) -> str:
    return min(named.kinds, key=lambda kind: (kind is Kind.ALIAS, kind)).value


def _near(known: ir.Circuit | None, at: Where) -> set[str] | None:
    """The names of the populations that are partners of those on which the synapses of a name end."""
    if known is None or at.body != "SYNAPSE":
        return None
    posts = [s.post for s in known.synapses.values() if _own_name(s.name) == at.owner]
    if not posts:
        return None
    partners = {p for pair in known.partners for post in posts if post in pair for p in pair - {post}}
    return {_own_name(p) for p in partners} | {p.partition("[")[0].partition(".")[0] for p in partners}


def _own_name(path: str) -> str:
    """`W` of `L[1].W`, `a` of `a[2]`."""
    return path.rpartition(".")[2].partition("[")[0]
