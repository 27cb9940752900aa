"""Circuits of many ticks: which rule is judged in which tick, and what holds of weights whatever the ticks.

theory.md, section 3, "Multi-tick circuits, phases, noise and spikes". Every rule is read at every moment of an example
(derive/read/ticks.py). From that:

- Where the loss is read, a rule that moves its weight then and at no other time is judged as in a circuit of one tick,
  if its current reaches the loss through no later tick: its gradient is that of this tick. Other ticks drop out.
- Relations are found moment by moment. Of rules that move their weights in one moment only everything holds that
  holds then; of others pairs, where their drives are transposes in each moment: then so are the sums.
- Rules that run on noise correlate it: of white noise, E[ξ ξᵀ] = 1, so that a rest of `ξ (W ξ)ᵀ` is Wᵀ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace

from circuitdsl.derive.algebra.arithmetic import NotLinear
from circuitdsl.derive.algebra.obstacles import (
    DecayDiffers,
    Gathered,
    InTicks,
    NeverDriven,
    Obstacle,
    Pulling,
    RunsIn,
    Uneven,
)
from circuitdsl.derive.algebra.words import (
    Coefficient,
    Column,
    Matrix,
    Row,
    Sum,
    Term,
    Word,
    expect,
    make_sum,
    names,
    outer,
    scaled,
)
from circuitdsl.derive.prove.hypotheses import ManyDraws
from circuitdsl.derive.prove.motifs import Motifs
from circuitdsl.derive.prove.pairs import all_relations, find_pairs
from circuitdsl.derive.prove.relations import Relation
from circuitdsl.derive.read.constraints import is_dense, is_free
from circuitdsl.derive.read.drives import Drive, Pulls, Unread, read_pull, read_rule
from circuitdsl.derive.read.judged import Judge, stretches
from circuitdsl.derive.read.symbols import Symbols, symbols_of
from circuitdsl.derive.read.ticks import (
    Moment,
    is_zero,
    moments_of,
    moments_of_loss,
    noise_of,
    one_tick,
    view,
)
from circuitdsl.frozen import frozen, mutable
from circuitdsl.graph import ir
from circuitdsl.graph.ranges import Ranges
from circuitdsl.twin.paths import learning_synapses

Rule = Drive | Unread


@frozen(kw_only=True)
class Reading:
    """A circuit as its verdicts are found. `circuit`: the one tick in which its loss is read (the circuit itself, if
    that is all it has), and `symbols` its words. `rules`: each rule as it is there; one that moves its weight at
    another time is not read. `shown`: each rule at the time at which it does. `obstacles`: what keeps a learning
    synapse from being judged there; `drifting`: the synapses and `keep` states that change in the ticks before, which
    its verdict leaves out (they count to second order)."""

    circuit: ir.Circuit
    symbols: Symbols
    learning: frozenset[str]
    rules: Mapping[str, Rule]
    shown: Mapping[str, Rule]
    relations: Sequence[Relation]
    motifs: Motifs
    obstacles: Mapping[str, Obstacle]
    drifting: Mapping[str, tuple[str, ...]]


def reading_of(circuit: ir.Circuit, ranges: Ranges | None = None) -> Reading:
    """Every rule of a circuit, read at the ticks at which it moves its weight, and the relations between weights.
    `ranges`: those of the circuit, if they are known."""
    if one_tick(circuit):
        return _of_one_tick(circuit, ranges)
    return _Course(circuit).reading()


def _of_one_tick(circuit: ir.Circuit, ranges: Ranges | None) -> Reading:
    symbols, learning = symbols_of(circuit, ranges), frozenset(learning_synapses(circuit))
    rules = {s.name: read_rule(symbols, s) for s in circuit.synapses.values() if s.dw is not None}
    drives = [d for d in rules.values() if isinstance(d, Drive)]
    return Reading(
        circuit=circuit, symbols=symbols, learning=learning, rules=rules, shown=rules,
        relations=all_relations(symbols, drives, learning), motifs=Motifs(symbols, drives),
        obstacles=Judge(circuit).steps(), drifting={},
    )  # fmt: skip


# ---------------------------------------------------------------- moment by moment


@frozen
class _Part:
    """What a rule does at one moment: what drives the weight (None: nothing), and what pulls at it: a linear decay,
    and anything else."""

    drive: Rule | None
    decay: Coefficient | None = None
    uneven: Pulls | None = None


@frozen
class _Scene:
    """One moment, with every plastic rule as it is then."""

    moment: Moment
    circuit: ir.Circuit
    symbols: Symbols
    parts: Mapping[str, _Part]


@mutable
class _Course:
    """The moments of one circuit while it is read."""

    circuit: ir.Circuit
    learning: frozenset[str] = field(init=False)
    scenes: tuple[_Scene, ...] = field(init=False)
    judged: tuple[_Scene, ...] = field(init=False)  # where the loss is read
    driven: dict[str, tuple[_Scene, ...]] = field(init=False)  # where a rule moves its weight by a drive
    plain: Symbols = field(init=False)  # of the circuit with its flags, for showing

    def __post_init__(self) -> None:
        moments = moments_of(self.circuit)
        self.learning = frozenset(learning_synapses(self.circuit))
        self.scenes = tuple(self._scene(m, moments) for m in moments)
        self.plain = symbols_of(self.circuit)
        for other in self.scenes:  # numbers that get a name in one are known in all
            self.plain.constants.derived.update(other.symbols.constants.derived)
            other.symbols.constants.derived = self.plain.constants.derived
        read = moments_of_loss(self.circuit, moments)
        self.judged = tuple(s for s in self.scenes if s.moment in read)
        self.driven = {
            synapse.name: tuple(s for s in self.scenes if s.parts[synapse.name].drive is not None)
            for synapse in self._plastic()
        }

    def _plastic(self) -> Iterator[ir.Synapse]:
        return (s for s in self.circuit.synapses.values() if s.dw is not None)

    def _scene(self, moment: Moment, moments: tuple[Moment, ...]) -> _Scene:
        there = view(self.circuit, moment, moments)
        symbols = symbols_of(there)
        parts = {s.name: self._part(symbols, there.synapses[s.name]) for s in self._plastic()}
        return _Scene(moment, there, symbols, parts)

    def _part(self, symbols: Symbols, synapse: ir.Synapse) -> _Part:
        if self._once(synapse) and all(is_zero(d.expr) for d in synapse.drives) and not _advances(synapse, slow=False):
            return _Part(None)
        if is_zero(synapse.dw) and not _advances(synapse, slow=True):
            return _Part(None)
        found = read_rule(symbols, synapse)
        if isinstance(found, Drive):
            return _Part(found, found.decay, _in_a_tick(found.uneven))
        if found.idle and not synapse.states and not synapse.drives:
            try:
                return _Part(None, *read_pull(symbols, synapse))
            except NotLinear as reason:
                return _Part(Unread(synapse.name, reason.obstacle))
        return _Part(found)

    def _once(self, synapse: ir.Synapse) -> bool:
        """Whether a rule is evaluated once after all ticks, with what its drives have gathered."""
        return self.circuit.schedule.update == "example" and ir.is_slow(synapse.dw)

    # ------------------------------------------------------------ decay over ticks

    def whole(self, scene: _Scene, drive: Drive) -> Drive:
        """A drive of one moment as one update has it: that of an example, with the sum over its ticks and the decay of
        all; else that of a tick, with the decay of any, if it is the same in all that have one."""
        synapse, constants = self.circuit.synapses[drive.synapse], self.plain.constants
        parts = [(s.moment, s.parts[drive.synapse]) for s in self.scenes]
        found = [(m.ticks, p.decay) for m, p in parts if p.decay is not None]
        decay = found[0][1] if found else None
        odd: list[InTicks | Gathered | DecayDiffers] = [
            InTicks(p.uneven, m.tick, m.tick + m.ticks - 1) for m, p in parts if p.uneven is not None
        ]
        if self._once(synapse) and any(isinstance(e, ir.Weight) for d in synapse.drives for e in ir.walk(d.expr)):
            odd.append(Gathered())
        if self.circuit.schedule.update == "tick" or self._once(synapse):
            if any(not constants.equal(d, decay) for _, d in found):
                odd.append(DecayDiffers())
        elif found:
            decay = constants.total([replace(d, number=d.number * n) for n, d in found])
        ticks = scene.moment.ticks if self.circuit.schedule.update == "example" else 1
        rate = replace(drive.rate, number=drive.rate.number * ticks)
        return replace(drive, rate=rate, decay=None if odd else decay, uneven=tuple(odd) or None)

    def pulled_alike(self, x: str, y: str) -> bool:
        """Whether both weights decay alike in every tick, or in sum, if that is when they change."""
        if self.circuit.schedule.update == "example":
            return True  # their sums are compared
        for scene in self.scenes:
            one, two = scene.parts[x], scene.parts[y]
            if not scene.symbols.constants.equal(one.decay, two.decay) or one.uneven != two.uneven:
                return False
        return True

    def _rests(self, synapse: str) -> bool:
        """Whether the rest of a weight is that of the ticks in which it is driven: it decays in all of these, and in
        no others, or in sum, if that is when it changes."""
        if self.circuit.schedule.update == "example":
            return True
        parts = [s.parts[synapse] for s in self.scenes]
        return all((p.drive is None) == (p.decay is None) and p.uneven is None for p in parts)

    # ------------------------------------------------------------ relations

    def relations(self) -> list[Relation]:
        """Those of single moments, pairs over several, and what rules that run on noise come to."""
        found: list[Relation] = []
        pairs: list[dict[tuple[Sum, Sum], Relation]] = []
        fixed_in = (self.judged or self.scenes)[-1:]
        for scene in self.scenes:
            drives = [self.whole(scene, p.drive) for p in scene.parts.values() if isinstance(p.drive, Drive)]
            alone = [d for d in drives if self.driven[d.synapse] == (scene,)]
            here = all_relations(scene.symbols, alone, self.learning)
            found += [r for r in here if (scene in fixed_in if self._is_fixed(r) else self._holds(r))]
            if scene not in self.judged:
                found += [r for d in alone if (r := self._mirror(scene, d)) is not None]
            # Auxiliaries first, then by name: that is how a pair is oriented, in whatever order the text has them.
            turned = sorted(drives, key=lambda d: (d.synapse in self.learning, d.synapse))
            several = find_pairs(scene.symbols, turned, frozenset())
            pairs.append({(r.left, r.right): r for r in several if r.kind == "pair" and not self._is_fixed(r)})
        return [*found, *self._over_several(pairs)]

    def _is_fixed(self, relation: Relation) -> bool:
        return all(self.circuit.synapses[s].dw is None for s in relation.synapses)

    def _holds(self, relation: Relation) -> bool:
        """Whether a relation of one moment survives the others, in which its weights may decay."""
        x, y = relation.synapses
        if relation.kind == "pair" and relation.holds in ("tied", "exact"):
            return self.pulled_alike(x, y)
        return self._rests(x) and self._rests(y)

    def _over_several(self, pairs: Sequence[Mapping[tuple[Sum, Sum], Relation]]) -> Iterator[Relation]:
        """The pairs that hold in every moment in which either member is driven, with one factor. Those of one moment
        have been found already, but for two learning weights."""
        constants = self.plain.constants
        seen: set[tuple[Sum, Sum]] = set()
        for sides, relation in ((k, r) for here in pairs for k, r in here.items()):
            x, y = relation.synapses
            needed = [i for i, s in enumerate(self.scenes) if s in self.driven[x] or s in self.driven[y]]
            known = len(needed) < 2 and not {x, y} <= self.learning
            if sides in seen or known:
                continue
            seen.add(sides)
            others = [pairs[i].get(sides) for i in needed]
            alike = all(
                o is not None and o.holds == relation.holds and constants.equal(o.factor, relation.factor)
                for o in others
            )
            if alike and self._holds(relation):
                yield relation

    def _mirror(self, scene: _Scene, drive: Drive) -> Relation | None:
        """What a weight comes to that follows white noise and what weights make of it: `X = c A Bᵀ` at rest of X."""
        synapse, constants = self.circuit.synapses[drive.synapse], scene.symbols.constants
        noise = noise_of(scene.circuit)
        if not (noise and drive.passage.is_open and drive.uneven is None and drive.decay is not None):
            return None
        if not (
            0 < constants.value(drive.decay) < 2
            and is_dense(synapse)
            and is_free(synapse)
            and self._rests(synapse.name)
        ):
            return None
        mean = _over_noise(drive.matrix, noise)
        if mean is None or not mean.terms or synapse.name in names(mean):
            return None
        first = mean.terms[0].coefficient
        rest = drive.decay.inverse()
        driven = scaled(expect(outer(*drive.shown)), drive.rate * rest)
        return Relation(
            kind="intertwiner", left=scene.symbols.letter(synapse),
            right=scaled(mean, first.inverse()), factor=first * rest, holds="rest", rate=None,
            synapses=(synapse.name, synapse.name), common=driven,
            assumes=tuple(map(ManyDraws, sorted({scene.circuit.values[n].population or n for n in noise}))),
        )  # fmt: skip

    # ------------------------------------------------------------ all of it

    def reading(self) -> Reading:
        main = self.judged[-1] if self.judged else None
        circuit, symbols = (main.circuit, main.symbols) if main is not None else (self.circuit, self.plain)
        relations = self.relations()
        rules = {s.name: self._rule(s.name, main) for s in self._plastic()}
        judge = Judge(self.circuit)
        obstacles: dict[str, Obstacle] = dict(judge.steps())
        for name in sorted(self.learning - obstacles.keys()):
            why = judge.obstacle(name, [s.moment for s in self.driven[name]], circuit)
            obstacles |= {} if why is None else {name: why}
        drives = [d for d in rules.values() if isinstance(d, Drive)]
        plain = main is not None and main.moment.single and not obstacles and len(drives) == len(rules)
        return Reading(
            circuit=circuit, symbols=symbols, learning=self.learning, rules=rules,
            shown={n: self._shown(n, r) for n, r in rules.items()}, relations=relations,
            motifs=Motifs(symbols, drives if plain else ()), obstacles=obstacles,
            drifting={n: judge.drifting(n, circuit) for n in sorted(self.learning - obstacles.keys())},
        )  # fmt: skip

    def _rule(self, name: str, main: _Scene | None) -> Rule:
        """A rule where the loss is read."""
        where = self.driven[name]
        if not where:
            found = read_rule(self.plain, self.circuit.synapses[name])
            idle = Unread(name, NeverDriven(), idle=True)
            return found if isinstance(found, Unread) else idle
        if main is None or where != (main,):
            return Unread(name, RunsIn(stretches(s.moment for s in where)))
        drive = main.parts[name].drive
        assert drive is not None
        return self.whole(main, drive) if isinstance(drive, Drive) else drive

    def _shown(self, name: str, rule: Rule) -> Rule:
        """A rule at the one moment at which it moves its weight; if there are several, with its flags."""
        where = self.driven[name]
        if len(where) > 1:
            return read_rule(self.plain, self.circuit.synapses[name])
        return (where[0].parts[name].drive if where else None) or rule


def _in_a_tick(uneven: Uneven | None) -> Pulls | None:
    """What pulls at a weight at one moment."""
    return None if uneven is None else tuple(part for part in uneven if isinstance(part, Pulling))


def _advances(synapse: ir.Synapse, *, slow: bool) -> bool:
    """Whether any state of a synapse moves; with `slow` also by drives."""
    return any(not is_zero(s.update) and (slow or not ir.is_slow(s.update)) for s in synapse.states)


# ---------------------------------------------------------------- noise


def _over_noise(a: Sum, noise: frozenset[str]) -> Sum | None:
    """The mean over white noise of products of weights and two noises; None if there is anything else in it."""
    raw: list[tuple[Coefficient, tuple[Word, ...], Word]] = []
    for term in a.terms:
        found = _noisy_pair(term, noise)
        if found is None:
            return None
        at, same = found
        if same:
            raw.append((term.coefficient, (), (*term.word[:at], *term.word[at + 2 :])))
    return make_sum(a.rows, a.cols, raw)


def _noisy_pair(term: Term, noise: frozenset[str]) -> tuple[int, bool] | None:
    """Where the two noises of a term stand, beside each other and between weights only, and whether they are one."""
    signals = [(i, x) for i, x in enumerate(term.word) if not isinstance(x, Matrix)]
    match signals:
        case [(at, Column(one)), (_, Row(two))] if not term.scalars and {one.value, two.value} <= noise:
            return at, one == two
        case _:
            return None
