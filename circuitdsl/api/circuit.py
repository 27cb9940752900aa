"""A circuit as users hold it: `load` reads and checks it, the rest asks of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.diagnostics import Diagnostic
from circuitdsl.emit.target import DType
from circuitdsl.extras import named
from circuitdsl.graph import ir
from circuitdsl.graph.resolve import Loaded, load_file, load_text
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.request import DEFAULT_TARGET, Override, task_of

if TYPE_CHECKING:
    import xarray as xr

    from circuitdsl.api.simulation import Simulation
    from circuitdsl.certify.certificate import Certificate
    from circuitdsl.derive.prove.findings import Finding
    from circuitdsl.derive.tell.derivation import Derivation
    from circuitdsl.draw.drawing import Drawing
    from circuitdsl.graph.symbols import Symbols


def load(path: str | Path) -> Circuit:
    """Reads, elaborates and checks a `.circ` file; a file that is not there is looked for in the
    shipped library.

    Raises CircuitError, which carries all diagnostics, and OSError."""
    from circuitdsl.shipped import find_circuit

    place = find_circuit(path)
    return Circuit(lambda overrides: load_file(place, overrides=overrides), place)


def loads(text: str, name: str = "<text>") -> Circuit:
    """Like `load`, for a text."""
    return Circuit(lambda overrides: load_text(text, name, overrides=overrides), None)


class Circuit:
    """A checked circuit. `ir` is its graph, `warnings` what its check found short of an error."""

    def __init__(self, load: Callable[[Mapping[str, Override] | None], Loaded], path: Path | None):
        self._load = load
        self.path = path
        loaded = load(None)
        self.warnings: tuple[Diagnostic, ...] = tuple(loaded.warnings)
        self._files = loaded.files
        self.ir = _the_circuit(loaded, path)
        self._elaborated: dict[str, ir.Circuit] = {}

    @property
    def name(self) -> str:
        return self.ir.name

    @property
    def folder(self) -> Path | None:
        """Beside what its data and weight files are looked for."""
        return None if self.path is None else self.path.parent

    @cached_property
    def symbols(self) -> Symbols:
        """The names of the text and of its imports, each with the places of its declarations and uses, by path:
        `circuit.symbols["h.basal"].uses`."""
        from circuitdsl.graph.symbols import symbols_of

        return symbols_of(self._files)

    def __repr__(self) -> str:
        graph = self.ir
        plastic = sum(s.dw is not None for s in graph.synapses.values())
        return (
            f"<circuit {self.name}: {len(graph.of_kind(ir.Kind.RATE))} neuron populations, "
            f"{plastic} plastic of {len(graph.synapses)} synapses>"
        )

    def with_params(self, params: Mapping[str, Override]) -> tuple[ir.Circuit, dict[str, float]]:
        """The graph and its numbers under other params; structural ones elaborate it anew.

        Raises UsageError for a param that is not there or cannot have that value, CircuitError if
        the circuit is wrong with it."""
        from circuitdsl.graph.numbers import check_kind, numbers_of

        structural: dict[str, Override] = {}
        try:
            for name, value in params.items():
                param = self.ir.params.get(name) or self.ir.params.get(name.partition("[")[0])
                if param is not None and param.structural:
                    check_kind(param, name, value)
                    structural[name] = value
            graph = self._with_structure(structural) if structural else self.ir
            numbers = numbers_of(graph, {k: v for k, v in params.items() if k not in structural})
        except ValueError as problem:
            raise UsageError(str(problem)) from None
        if params:
            _check_ranges(graph, numbers)
        return graph, numbers

    def _with_structure(self, params: Mapping[str, Override]) -> ir.Circuit:
        """The graph elaborated with other structural params; kept, because a sweep asks for the same ones again."""
        key = repr(sorted(params.items()))
        if key not in self._elaborated:
            self._elaborated[key] = _the_circuit(self._load(params), self.path)
        return self._elaborated[key]

    def derive(
        self,
        *,
        params: Mapping[str, Override] | None = None,
        measure: bool = True,
        task: str | None = None,
        data: Any = None,
    ) -> Derivation:
        """What the circuit's own plasticity amounts to (theory.md, sections 3 and 4).

        Where algebra does not decide, or decides what holds only where something is met, and there is a task or data, a
        short certificate measures, unless `measure` is False: it decides, tells what it found beside `aligned`, and
        takes back the verdicts whose hypotheses were not met. Raises UsageError for a param or task that is not there,
        CircuitError if the circuit is wrong with it."""
        from circuitdsl.derive.tell.derivation import derive

        graph, _ = self.with_params(params or {})
        task_of(graph, task)
        if params:
            graph = _the_circuit(self._load(params), self.path)
        found = derive(graph)
        asked = [f.synapse for f in found.findings.values() if f.role == "learning" and not _is_settled(f)]
        if not measure or not asked:
            return found
        with named():
            from circuitdsl.certify.certify import measure as measured
            from circuitdsl.derive.prove.findings import with_measured

            return with_measured(found, measured(found, asked, task=task, data=data, folder=self.folder))

    def draw(
        self, *, verdicts: bool = True, measure: bool = False, params: Mapping[str, Override] | None = None
    ) -> Drawing:
        """The circuit as a drawing, which shows itself in a notebook and writes itself as SVG, PNG or PDF (`save`).

        With `verdicts` each learning synapse has the verdict of `derive`, measured too if `measure`. Raises UsageError
        for a param that is not there, CircuitError if the circuit is wrong with it."""
        from circuitdsl.draw.drawing import drawing
        from circuitdsl.draw.told import Told

        graph, _ = self.with_params(params or {})
        if not verdicts:
            return drawing(graph)
        from circuitdsl.derive.tell.brief import attracted, brief

        found = self.derive(params=params, measure=measure)
        comes_to = attracted(found)
        told = {f.synapse: Told(role=f.role, note=brief(f) or comes_to.get(f.synapse)) for f in found.findings.values()}
        return drawing(graph, told)

    def to_nir(
        self,
        run: xr.Dataset | None = None,
        *,
        outputs: Sequence[str] = (),
        params: Mapping[str, Override] | None = None,
    ) -> Any:
        """What `outputs` depend on (without them, what the loss reads) as a `nir.NIRGraph`, which `nir.write` writes:
        with the weights at the end of a run of one seed, or those that the first task starts from. Plasticity is not
        carried.

        Raises UsageError for what NIR cannot say, Missing without the extra `nir`."""
        from circuitdsl.exchange.nir import nir_graph
        from circuitdsl.extras import named

        graph, numbers = self.with_params(params or {})
        if run is None:
            run = self.compile("reference").run(epochs=0, params=params)
        weights = _weights_of(run, graph)
        with named():
            return nir_graph(graph, numbers, weights, outputs)

    def save_weights(self, run: xr.Dataset, path: str | Path, names: Mapping[str, str] | None = None) -> None:
        """Writes the weights at the end of a run of one seed as a safetensors file, [post, pre]. `names`: what the file
        is to call some of them, theirs -> ours. Raises UsageError, OSError."""
        from circuitdsl.runtime.state import write_weights

        weights = _weights_of(run, self.ir)
        theirs = {ours: name for name, ours in (names or {}).items()}
        unknown = theirs.keys() - weights.keys()
        if unknown:
            raise UsageError(f"the run has no weights of `{min(unknown)}`; it has {', '.join(weights)}")
        called = {theirs.get(name, name): array for name, array in weights.items()}
        if len(called) < len(weights):
            raise UsageError("two synapses would have one name in the file")
        write_weights(Path(path), self.ir, called)

    def _repr_svg_(self) -> str:
        return self.draw().svg()

    def certify(
        self,
        *,
        data: Any = None,
        seeds: int = 5,
        params: Mapping[str, Override] | None = None,
        **request: Any,
    ) -> Certificate:
        """The measured certificate, held against the derivation; `request`: task, epochs, batch, seed, scale,
        dtype, examples, long, jobs, cluster."""
        graph, numbers = self.with_params(params or {})
        with named():
            from circuitdsl.certify.certify import certify

            return certify(graph, numbers=numbers, data=data, seeds=seeds, folder=self.folder, **request)

    def compile(
        self, target: str = DEFAULT_TARGET, *, dtype: DType = "float32", without: Collection[str] = (),
        threads: int | None = None,
    ) -> Simulation:  # fmt: skip
        """The circuit made ready to run on one of `runtime.backends.BACK_ENDS`, or on what suits it (`auto`), `without`
        the passes of these names (lower/pipeline.py). `threads`: how many processors a run may use if the circuit is
        large (all); no number depends on it. The code is generated at the first run, when it is known what to
        measure, and cached on disk by content. Raises UsageError."""
        from circuitdsl.api.simulation import Simulation

        return Simulation(self, target=target, dtype=dtype, without=without, threads=threads)

    def run(self, *, target: str = DEFAULT_TARGET, dtype: DType = "float32", **request: Any) -> xr.Dataset:
        """`compile(target, dtype=dtype).run(...)`."""
        return self.compile(target, dtype=dtype).run(**request)


def _is_settled(finding: Finding) -> bool:
    """Whether a measurement has nothing to say of a verdict: it assumes nothing, and is about more than examples."""
    return finding.verdict not in (None, "aligned") and finding.assumed.empty


def _weights_of(run: xr.Dataset, graph: ir.Circuit) -> dict[str, Any]:
    """The weights that a run of one seed ends with, as matrices. Raises UsageError."""
    if run.sizes.get("seed", 1) != 1:
        raise UsageError("the run has several seeds: choose one, such as `run.sel(seed=0)`")
    found = {}
    for name, synapse in graph.synapses.items():
        if f"{name}.final" not in run:
            raise UsageError(f"the run holds no weights of `{name}`: it is a run of another circuit")
        values = run[f"{name}.final"].values
        if values.size != synapse.post_size * synapse.pre_size:
            raise UsageError(f"`{name}` is held sparse: `circuitdsl run --weights FILE` writes it as it is")
        found[name] = values.reshape(synapse.post_size, synapse.pre_size)
    return found


def _check_ranges(graph: ir.Circuit, numbers: dict[str, float]) -> None:
    """What the check of the text has found of the params as written. Raises UsageError."""
    from circuitdsl.graph.checks.settings import dynamic_ranges

    for finding in dynamic_ranges(graph, numbers):
        raise UsageError(f"with these params {finding.title}" + (f": {finding.label}" if finding.label else ""))


def _the_circuit(loaded: Loaded, path: Path | None) -> ir.Circuit:
    if loaded.circuit is None:
        raise UsageError(f"`{path or 'the text'}` holds rules and motifs, but no circuit to run")
    return loaded.circuit
