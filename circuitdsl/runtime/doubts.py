"""What is to be said of data before anything is measured on them: how they were read, and what makes a measurement
mean less than it seems to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from circuitdsl.data.dialect import is_plain
from circuitdsl.data.raw import counted
from circuitdsl.diagnostics import Diagnostic, Severity
from circuitdsl.runtime.data import Dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = NDArray[Any]

#: How many times as many examples the largest class has as the smallest, from where on it is told.
IMBALANCE = 10
#: Classes are listed up to so many.
LISTED = 5


def doubts_of(dataset: Dataset) -> list[Diagnostic]:
    """Notes on how data of the user's own were read (C065), and warnings of what is wrong with them as a test (C064);
    nothing of data sets known by name."""
    if not dataset.own:
        return []
    notes = [*dataset.notes, *_order_of_classes(dataset)]
    read = [Diagnostic(code="C065", title=note, span=None, severity=Severity.NOTE) for note in notes]
    found = [
        Diagnostic(
            code="C064", title=f"data set `{dataset.name}`: {title}", span=None, hint=hint, severity=Severity.WARNING
        )
        for title, hint in (*_seen_before(dataset), *_of_classes(dataset))
    ]
    return [*read, *found]


def _order_of_classes(dataset: Dataset) -> Iterator[str]:
    for target, names in dataset.labels.items():
        if all(map(is_plain, names)):
            continue
        listed = ", ".join(f"{i} = {name}" for i, name in enumerate(names[:LISTED]))
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        yield f"the classes of `{target}` are numbered in the order of their names: {listed}{more}"


# ---------------------------------------------------------------- what was seen before

Doubt = tuple[str, str | None]


def _seen_before(dataset: Dataset) -> Iterator[Doubt]:
    """Examples that are there to judge by and to learn from."""
    learnt = set(_fingerprints(dataset, dataset.train))
    for examples, what in ((dataset.test, "test"), (dataset.validation, "validation")):
        if not len(examples) or not dataset.arrays:
            continue
        prints = _fingerprints(dataset, examples)
        again = sum(one in learnt for one in prints)
        if again == len(prints) and set(prints) == learnt:
            one = len(dataset.train) == len(examples) == 1
            is_it = "its one example is for training and for testing" if one else f"the {what} set is the training set"
            yield f"{is_it}: what is measured says nothing of examples that were not learnt", "keep some apart"
        elif again:
            of = f"{again:,} of {counted(len(prints), f'{what} example')}"
            yield (
                f"{of} {'is' if again == 1 else 'are'} among the training examples too: what is measured is in part "
                "what was learnt",
                "leave out what is there twice, before the data are split",
            )


def _fingerprints(dataset: Dataset, examples: Table) -> list[bytes]:
    """One for each example: equal for equal ones."""
    from hashlib import blake2b

    import numpy as np

    tables = [np.ascontiguousarray(table) for table in dataset.arrays.values()]
    found = []
    for i in examples.tolist():
        one = blake2b(digest_size=12)
        for table in tables:
            one.update(table[i].tobytes())
        found.append(one.digest())
    return found


# ---------------------------------------------------------------- classes


def _of_classes(dataset: Dataset) -> Iterator[Doubt]:
    for target, table in dataset.arrays.items():
        classes = _classes(table) if target in dataset.targets else None
        if classes is not None:
            yield from _of_target(dataset, target, classes)


def _classes(table: Table) -> Table | None:
    """The class of each example, if the target is one-hot, or 0 or 1."""
    import numpy as np

    if not np.all((table == 0) | (table == 1)):
        return None
    if table.shape[1] == 1:
        return table[:, 0].astype(np.int64)
    return table.argmax(axis=1) if np.all(table.sum(axis=1) == 1) else None


def _of_target(dataset: Dataset, target: str, classes: Table) -> Iterator[Doubt]:
    import numpy as np

    size = max(2, dataset.arrays[target].shape[1])
    names = dataset.labels.get(target) or tuple(str(i) for i in range(size))
    counts = np.bincount(classes, minlength=size)
    there = np.flatnonzero(counts)
    if len(there) == 1:
        yield f"all examples are of one class of `{target}`, {names[there[0]]}: there is nothing to tell apart", None
        return
    largest, smallest = int(counts.argmax()), int(there[counts[there].argmin()])
    if counts[largest] >= IMBALANCE * counts[smallest]:
        yield (
            f"{counts[largest]:,} of {counted(len(classes), 'example')} are of class {names[largest]} of `{target}`, "
            f"{counts[smallest]:,} of class {names[smallest]}: to answer {names[largest]} always is right in "
            f"{counts[largest] / len(classes):.1%}",
            None,
        )
    if len(there) < size:
        yield f"{_listed(target, names, np.flatnonzero(counts == 0))} no example", None
    for examples, what in ((dataset.train, "training"), (dataset.test, "test")):
        here = np.bincount(classes[examples], minlength=size)
        if len(lacking := np.flatnonzero((here == 0) & (counts > 0))):
            yield f"{_listed(target, names, lacking)} no {what} example", None
    if names[0] == "-1" and len(names) > 2:
        yield f"the label -1 of `{target}` is taken for a class, not for one that is missing", None


def _listed(target: str, names: tuple[str, ...], classes: Table) -> str:
    shown = ", ".join(names[i] for i in classes[:LISTED].tolist())
    more = f" and {len(classes) - LISTED} more" if len(classes) > LISTED else ""
    one = len(classes) == 1
    return f"class{'' if one else 'es'} {shown}{more} of `{target}` {'has' if one else 'have'}"
