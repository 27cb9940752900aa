"""What a long test has been through so far, kept on disk after each stretch: stopped, it is taken up where it was, and
tells at which states of the code."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PATH = Path(__file__).with_name("trust.json")


@dataclass
class Stretch:
    """Cases `first` to `last - 1`: at which commit, how many came to what, the peak of memory, what was wrong, and what
    was and is no longer, each with the commit at which it was looked at again."""

    commit: str
    first: int
    last: int
    counts: dict[str, int] = field(default_factory=dict)
    megabytes: float = 0.0
    faults: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)

    def joined(self, later: Stretch) -> Stretch:
        """This stretch and the one that begins where it ends, at the same commit."""
        counts = dict(sorted((Counter(self.counts) + Counter(later.counts)).items()))
        megabytes = max(self.megabytes, later.megabytes)
        faults, mended = self.faults + later.faults, self.mended + later.mended
        return Stretch(self.commit, self.first, later.last, counts, megabytes, faults, mended)


@dataclass(frozen=True)
class Ledger:
    """The stretches of one test, in their order and without gaps."""

    name: str
    path: Path = PATH

    def stretches(self) -> list[Stretch]:
        return [Stretch(**one) for one in self._read().get(self.name, [])]

    def run(self, count: int, size: int, examine: Callable[[range], Stretch]) -> list[Stretch]:
        """Examines what is missing of the first `count` cases, `size` at a time; all stretches."""
        done = self.stretches()
        while (first := done[-1].last if done else 0) < count:
            found = examine(range(first, min(first + size, count)))
            same = bool(done) and done[-1].commit == found.commit
            done = [*done[:-1], done[-1].joined(found)] if same else [*done, found]
            self._write(done)
        return done

    def look_again(self, holds: Callable[[str], bool]) -> list[Stretch]:
        """Looks again at what was wrong; all stretches, with what is no longer as mended."""
        done = self.stretches()
        for stretch in done:
            right = [fault for fault in stretch.faults if holds(fault)]
            stretch.faults = [fault for fault in stretch.faults if fault not in right]
            stretch.mended += [f"{fault} (not at `{commit()}`)" for fault in right]
        self._write(done)
        return done

    def forget(self) -> None:
        self._write([])

    def _read(self) -> dict[str, list[dict[str, object]]]:
        return json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}

    def _write(self, stretches: list[Stretch]) -> None:
        everything = self._read() | {self.name: [asdict(s) for s in stretches]}
        scratch = self.path.with_suffix(".new")
        scratch.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
        scratch.replace(self.path)


def commit() -> str:
    """The state of the code: its commit, with a `+` if files differ from it."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"], cwd=ROOT, capture_output=True, text=True
    )
    return said.stdout.strip() or "no commit"
