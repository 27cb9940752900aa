"""Code for GPUs made without one, and held to what it may take: `make verify-cuda`.

    python tests/cubins.py [--arch sm_90 ...] [--circuit heterosynaptic/kolen_pollack.circ ...] [--shape block ...]
                           [--write]

compiles training (online and in batches) and evaluation of circuits of the library, in all shapes and for all
architectures, and prints a line for each kernel and what is wrong with it. Exit 1 where something spills, computes in
64 bits or takes more than 128 registers, or where it takes other than the table in tests/cubins.csv says, which
`--write` brings up to date.

What is made is kept on disk, so it may be stopped at any time and goes on where it was. Seconds are those of the
processor to make code for one architecture from nothing, divided by how many phases differ, the entry point being one;
on a busy machine they are half as many again, so that they are told and not judged.
"""

from __future__ import annotations

import csv
import sys
from argparse import ArgumentParser
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from agreement import CIRCUITS
from bench import library

from circuitdsl.emit.cuda import Kernel, print_kernel
from circuitdsl.emit.teams import SHARED, Shape, form_of
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.lower.loop_ir import for_teams
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.schedule import lower_all
from circuitdsl.runtime.cubin import ARCHITECTURES, MOST_REGISTERS, Facts, made_for
from circuitdsl.runtime.extents import bytes_of

TABLE = Path(__file__).with_name("cubins.csv")
SHAPES: tuple[Shape, ...] = ("block", "thread", "grid")
MOST_SECONDS = 0.4
#: Three small circuits of different kinds.
FEW = ("classic/delta_rule.circ", "classic/oja.circ", "heterosynaptic/kolen_pollack.circ")
HEAD = ("circuit", "program", "shape", "phases", "shared", *ARCHITECTURES)

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Made:
    """A kernel of the library: how many of its `phases` differ, the bytes of `shared` memory that a block asks for, and
    the text."""

    key: Key
    phases: int
    shared: int
    kernel: Kernel
    shape: Shape

    def facts(self, arch: str) -> Facts:
        return made_for(arch, self.key[1], self.kernel, self.shape).facts

    def seconds(self, facts: Facts) -> float:
        """Of a processor, for each phase that differs and the entry point."""
        return facts.seconds / (self.phases + 1)


def kernels(name: str, shapes: Collection[Shape] = SHAPES, programs: int = 3) -> Iterator[Made]:
    """The kernels of a circuit of the library, of so many of its programs."""
    circuit = library(name)
    for lowered in lower_all(circuit, aim=for_teams("float32"))[:programs]:
        program = passed(lowered)
        sizes = bytes_of(circuit, program, numbers_of(circuit, {}), 256 if program.name == "evaluate" else 16)
        for shape in shapes:
            form = form_of(program, sizes, 1, room=SHARED, shape=shape)
            kernel = print_kernel(program, "float32", form, "cuda", comments=False)
            yield Made((name, program.name, shape), len(kernel.functions), form.held, kernel, shape)


def wrong(facts: Facts) -> str:
    """What it may not do, in words; empty if all is well."""
    found = []
    if facts.spills:
        found.append(f"{facts.spills} bytes spilled")
    if facts.stack:
        found.append(f"a stack of {facts.stack} bytes")
    if facts.doubles:
        found.append("64-bit arithmetic")
    if facts.registers > MOST_REGISTERS:
        found.append(f"{facts.registers} registers")
    return ", ".join(found)


# ---------------------------------------------------------------- the table


def told(facts: Facts) -> str:
    """A cell of the table: the registers, and what a kernel should not take."""
    more = f"+{facts.spills}" if facts.spills else ""
    return f"{facts.registers}{more}{' f64' if facts.doubles else ''}"


def known() -> dict[Key, dict[str, str]]:
    """The table, by kernel and column."""
    if not TABLE.is_file():
        return {}
    with TABLE.open(newline="") as file:
        return {(row["circuit"], row["program"], row["shape"]): row for row in csv.DictReader(file)}


def write(table: dict[Key, dict[str, str]]) -> None:
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, HEAD, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(table[key] for key in sorted(table))


def row_of(made: Made) -> dict[str, str]:
    """A row before its registers."""
    circuit, program, shape = made.key
    return {
        "circuit": circuit, "program": program, "shape": shape, "phases": str(made.phases), "shared": str(made.shared),
    }  # fmt: skip


def main(line: list[str]) -> int:
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--arch", action="append", choices=ARCHITECTURES)
    parser.add_argument("--circuit", action="append", choices=CIRCUITS)
    parser.add_argument("--shape", action="append", choices=SHAPES)
    parser.add_argument("--write", action="store_true", help="bring the table up to date")
    options = parser.parse_args(line)
    table, failed, took = known(), 0, []
    for name in options.circuit or CIRCUITS:
        for made in kernels(name, options.shape or SHAPES):
            before = table.get(made.key, {})
            row, said = before | row_of(made), []
            for arch in options.arch or ARCHITECTURES:
                facts = made.facts(arch)
                row[arch] = told(facts)
                took.append(made.seconds(facts))
                said += [f"{arch}: {found}" for found in [wrong(facts)] if found]
            if not options.write:
                said += [f"{c} was {before[c]}" for c in HEAD if before.get(c) and before[c] != row[c]]
            failed += bool(said)
            table[made.key] = row
            if options.write:
                write(table)
            cells = (row.get(column) or "-" for column in HEAD[3:])
            print(*made.key, *cells, f"{took[-1]:.2f}s", *said, flush=True)
    slow = sum(seconds > MOST_SECONDS for seconds in took)
    print(f"{len(took)} cubins; kernels with something wrong: {failed}")
    print(f"{median(took):.2f} s of a processor a phase; of more than {MOST_SECONDS} s: {slow} cubins")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
