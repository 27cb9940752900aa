"""Code for GPUs made without one, and held to what it may take: `make verify-cuda`.

    python tests/cubins.py [--arch sm_90 ...] [--circuit heterosynaptic/kolen_pollack.circ ...] [--write]

compiles training (online and in batches) and evaluation of circuits of the library, in all shapes, and prints a line
for each: registers, seconds of processor time, phases that differ, and what is wrong. Exit 1 where something spills,
computes in 64 bits or takes more than 128 registers, or where the registers are not those of the table in
tests/cubins.csv, which `--write` brings up to date.
"""

from __future__ import annotations

import csv
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import process_time

from agreement import CIRCUITS
from bench import library

from circuitdsl.emit.cuda import print_kernel
from circuitdsl.emit.teams import SHARED, Shape, form_of
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.lower.loop_ir import for_teams
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.schedule import lower_all
from circuitdsl.runtime.cubin import ARCHITECTURES, made_for
from circuitdsl.runtime.extents import bytes_of

TABLE = Path(__file__).with_name("cubins.csv")
SHAPES: tuple[Shape, ...] = ("block", "thread", "grid")
MOST_REGISTERS = 128


@dataclass(frozen=True)
class Row:
    """One kernel on one architecture. `seconds` of processor time to make it, and how many `phases` differ."""

    circuit: str
    program: str
    shape: str
    arch: str
    registers: int
    spills: int
    stack: int
    doubles: bool
    phases: int
    seconds: float

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.circuit, self.program, self.shape, self.arch

    @property
    def wrong(self) -> str:
        """What it may not do, in words; empty if all is well."""
        found = []
        if self.spills:
            found.append(f"{self.spills} bytes spilled")
        if self.doubles:
            found.append("64-bit arithmetic")
        if self.registers > MOST_REGISTERS:
            found.append(f"{self.registers} registers")
        return ", ".join(found)


def rows(name: str, arch: str, shapes: tuple[Shape, ...] = SHAPES, programs: int = 3) -> Iterator[Row]:
    """The kernels of a circuit of the library, of so many of its programs."""
    circuit = library(name)
    for lowered in lower_all(circuit, aim=for_teams("float32"))[:programs]:
        program = passed(lowered)
        sizes = bytes_of(circuit, program, numbers_of(circuit, {}), 256 if program.name == "evaluate" else 16)
        for shape in shapes:
            form = form_of(program, sizes, 1, room=SHARED, shape=shape)
            kernel = print_kernel(program, "float32", form, "cuda", comments=False)
            begin = process_time()
            made = made_for(arch, program.name, kernel, shape)
            seconds = process_time() - begin
            facts = made.registers, made.spills, made.stack, made.doubles
            yield Row(name, program.name, shape, arch, *facts, len(kernel.functions), round(seconds, 2))


def known() -> dict[tuple[str, ...], int]:
    """The registers of the table."""
    if not TABLE.is_file():
        return {}
    with TABLE.open(newline="") as file:
        return {tuple(line[:4]): int(line[4]) for line in csv.reader(file)}


def write(found: dict[tuple[str, ...], int]) -> None:
    with TABLE.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([*key, value] for key, value in sorted(found.items()))


def main(line: list[str]) -> int:
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--arch", action="append", choices=ARCHITECTURES)
    parser.add_argument("--circuit", action="append", choices=CIRCUITS)
    parser.add_argument("--shape", action="append", choices=SHAPES)
    parser.add_argument("--write", action="store_true", help="bring the table up to date")
    options = parser.parse_args(line)
    table, wrong = known(), 0
    for name in options.circuit or CIRCUITS:
        for arch in options.arch or ARCHITECTURES:
            for row in rows(name, arch, tuple(options.shape or SHAPES)):
                before = table.get(row.key, row.registers)
                said = row.wrong or ("" if options.write or before == row.registers else f"was {before} registers")
                wrong += bool(said)
                table[row.key] = row.registers
                if options.write:
                    write(table)
                print(*row.key, row.registers, f"{row.seconds}s/{row.phases}", said, flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
