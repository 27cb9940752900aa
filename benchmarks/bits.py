"""Which bits of the library a change of the compiler moves: run it before and after, and compare.

    python benchmarks/bits.py before.json
    python benchmarks/bits.py after.json --compare before.json

For every circuit, and its gradient twin where it has a loss, a hash of the code of each program. Equal code gives equal
bits, so that only what differs needs to be run: `--run` trains those circuits (all of them without `--compare`), online
and in batches of 16, and hashes weights, states and what an evaluation finds. Exit 1 if bits have moved.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from agreement import CIRCUITS, parts
from bench import Bench

from circuitdsl.api import load
from circuitdsl.emit.cpu import print_program
from circuitdsl.graph.ir import Circuit
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.schedule import lower_all
from circuitdsl.runtime.engine import Compiled
from circuitdsl.twin.gradient import twin

EXAMPLES = 64


def graphs() -> Iterator[tuple[str, Circuit]]:
    for name in CIRCUITS:
        graph = load(name).ir
        yield name, graph
        if graph.loss is not None:
            yield f"{name} twin", twin(graph)


def code(graph: Circuit) -> dict[str, str]:
    """A hash of every program of a circuit, by its name."""
    programs = {p.name: print_program(passed(p), "float32", comments=False) for p in lower_all(graph)}
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in programs.items()}


def bits(graph: Circuit) -> dict[str, str]:
    """A hash of all that a circuit learns and then computes, for batches of 1 and of 16."""
    found = {}
    for batch in (1, 16):
        bench = Bench(graph, examples=EXAMPLES, dtype="float32")
        engine = Compiled(graph, bench.engine.probes, "float32")
        named = {"data": bench.data, "order": bench.order, "numbers": bench.numbers, "seed": 1, "epoch": 0}
        engine.train(bench.state, batch=batch, **named)
        evaluation = engine.evaluate(bench.state, **named)
        held = hashlib.sha256(repr((evaluation.loss, evaluation.probes)).encode())
        for name, array in parts(bench.state):
            held.update(name.encode() + array.tobytes())
        found[str(batch)] = held.hexdigest()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="hashes of the library's code and of what it computes")
    parser.add_argument("save", type=Path)
    parser.add_argument("--compare", type=Path)
    parser.add_argument("--run", action="store_true", help="train as well, where code differs")
    parser.add_argument("--only", default="", help="circuits whose name has this in it")
    options = parser.parse_args()
    before = json.loads(options.compare.read_text()) if options.compare else {}
    found, moved = {}, False
    for name, graph in graphs():
        if options.only not in name:
            continue
        found[name] = {"code": code(graph)}
        known = before.get(name, {})
        differs = differing(found[name]["code"], known.get("code", {}))
        if options.run and differs:
            found[name]["bits"] = bits(graph)
        line = f"{name}: other code of {', '.join(differs)}" if before and differs else ""
        if "bits" in known and "bits" in found[name]:
            changed = differing(found[name]["bits"], known["bits"])
            moved |= bool(changed)
            line += f"; other bits in batches of {', '.join(changed)}" if changed else "; the same bits"
        if line:
            print(line, flush=True)
    options.save.write_text(json.dumps(found, indent=1))
    return int(moved)


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    return [key for key, value in one.items() if other.get(key) != value]


if __name__ == "__main__":
    raise SystemExit(main())
