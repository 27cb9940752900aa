"""What is done so far of something long, beside the file that it will end in: `sweep.nc.parts/`.

A journal belongs to one identity (circuit, settings, grid...), which stands in it and, at the end, in the file. The
same command goes on where it stopped, even after a kill; another one is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.frozen import frozen
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.state import write_atomically

if TYPE_CHECKING:
    import xarray as xr

Identity = Mapping[str, Any]

_MANIFEST = "manifest.json"


@frozen
class Journal:
    """`kind` is "sweep" or "evolve", and the attribute of the finished file that holds the identity as JSON; a "study"
    needs no identity, since the name of an entry says all that it depends on."""

    out: Path
    kind: str
    identity: Identity

    @staticmethod
    def at(out: Path, kind: str, identity: Identity) -> Journal:
        """Raises UsageError if the file or the journal beside it belongs to something else, or its name says that it is
        something else; OSError."""
        from circuitdsl.runtime.results import other_ending

        if (why := other_ending(out)) is not None:
            raise UsageError(why)
        plain = json.loads(json.dumps(identity))
        journal = Journal(out, kind, plain)
        if out.exists():
            journal._refuse_other(out, _identity_of(out, kind))
            return journal
        manifest = journal.folder / _MANIFEST
        if manifest.exists():
            try:
                theirs = json.loads(manifest.read_text())
            except ValueError:
                theirs = None
            journal._refuse_other(journal.folder, theirs)
        else:
            write_atomically(manifest, json.dumps({"kind": kind, **plain}, indent=1).encode())
        return journal

    @property
    def folder(self) -> Path:
        return self.out.with_name(f"{self.out.name}.parts")

    @property
    def noun(self) -> str:
        return {"evolve": "evolution"}.get(self.kind, self.kind)

    def finished(self) -> xr.Dataset | None:
        """The dataset, if all was done before."""
        from circuitdsl.runtime.results import read

        if not self.out.exists():
            return None
        self.clear()
        return read(self.out)

    def finish(self, dataset: xr.Dataset) -> None:
        """Writes the file, then removes the parts."""
        from circuitdsl.runtime.results import keep_long_text_aside, write

        dataset.attrs[self.kind] = json.dumps(self.identity)
        write(self.out, keep_long_text_aside(dataset))
        self.clear()

    def clear(self) -> None:
        """Forgets the parts."""
        import shutil

        shutil.rmtree(self.folder, ignore_errors=True)

    # ------------------------------------------------------------ entries

    def keep(self, name: str, content: bytes) -> None:
        """One entry, whole or not at all."""
        write_atomically(self.folder / name, content)

    def entry(self, name: str) -> bytes | None:
        path = self.folder / name
        return path.read_bytes() if path.exists() else None

    def append(self, name: str, record: Mapping[str, Any]) -> None:
        """One more line of an entry."""
        with (self.folder / name).open("a") as file:
            file.write(json.dumps(record) + "\n")

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        """The lines of an entry up to the first that is not whole; what a kill left there is cut off, so that the next
        can follow."""
        path = self.folder / name
        if not path.exists():
            return
        content = path.read_bytes()
        found, whole = [], 0
        for line in content.splitlines(keepends=True):
            with suppress(ValueError):
                if line.endswith(b"\n") and isinstance(record := json.loads(line), dict):
                    found.append(record)
                    whole += len(line)
                    continue
            break
        if whole < len(content):
            write_atomically(path, content[:whole])
        yield from found

    # ------------------------------------------------------------ whose it is

    def _refuse_other(self, place: Path, theirs: Any) -> None:
        if not isinstance(theirs, dict):
            raise UsageError(f"`{place}` holds no {self.noun}: choose another --out")
        if theirs.get("kind", self.kind) != self.kind:
            raise UsageError(f"`{place}` is of another command, {theirs['kind']}: choose another --out")
        for key, mine in self.identity.items():
            if theirs.get(key) != mine:
                raise UsageError(
                    f"`{place}` holds another {self.noun}: {_difference(key, theirs.get(key), mine)}. "
                    "Choose another --out, or delete it to start anew"
                )


def _difference(key: str, theirs: Any, mine: Any) -> str:
    if key in ("hash", "content", "runs"):
        what = {"hash": "the circuit", "content": "the data", "runs": "a param or setting"}[key]
        return f"{what} has changed since"
    if isinstance(theirs, dict) and isinstance(mine, dict):
        name = next(k for k in (*mine, *theirs) if mine.get(k) != theirs.get(k))
        return f"{key} `{name}` {_short(theirs.get(name))} there, {_short(mine.get(name))} now"
    return f"{key} {_short(theirs)} there, {_short(mine)} now"


def _short(value: Any) -> str:
    text = "nothing" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _identity_of(path: Path, kind: str) -> Any:
    """The identity in a finished file; None if it is no such file."""
    from circuitdsl.runtime.results import read

    try:
        dataset = read(path)
    except (OSError, ValueError, KeyError):
        return None
    text = dataset.attrs.get(kind)
    if text is None and f"attribute_{kind}" in dataset:
        text = str(dataset[f"attribute_{kind}"].item())
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None
