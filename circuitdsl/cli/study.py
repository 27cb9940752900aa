"""`circuitdsl study`: what the papers claim, put to the test."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from circuitdsl.cli.common import (
    OK,
    WRONG,
    add_json,
    check_results,
    check_writable,
    fail_usage,
    print_json,
    reporting,
    say,
    whole_number,
)
from circuitdsl.cli.exploring import add_place, cluster_of, going_on
from circuitdsl.studies.registry import STUDIES

if TYPE_CHECKING:
    import xarray as xr

    from circuitdsl.explore.journal import Journal
    from circuitdsl.report.study import Page
    from circuitdsl.studies.protocol import Sentence, Study, Tell

ABOUT = """Put a claim of the papers to the test, and say what holds and what does not.

Without a name: the studies there are. Each runs circuits of the library over several seeds and writes into --out its
data set (netCDF), its figure (SVG, PNG), a page (HTML) and the circuits as they ran. What is finished is kept there
meanwhile: after an interruption or a kill the same command goes on with what is left.

Exit codes: 0 what was claimed holds, 1 something of it does not, 2 usage or missing data,
3 it could not finish, 130 interrupted (the same command goes on)."""

EXAMPLES = """\
  circuitdsl study
  circuitdsl study emergent_hebbian --quick
  circuitdsl study self_assembly --seeds 10 --out results
  circuitdsl study all --docs docs               # write the sections of docs/studies.md anew"""


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="the study, or `all`; without it they are listed")
    parser.add_argument("--quick", action="store_true", help="a small version, in seconds")
    parser.add_argument(
        "--seeds", metavar="N", type=whole_number(1), help="random starts of each setting (the study's)"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("study"), help="where results go (study)")
    parser.add_argument("--docs", metavar="DIR", type=Path, help="write the section of DIR/studies.md too")
    add_place(parser)
    add_json(parser)


def command(options: Namespace) -> int:
    if options.name is None:
        return _list(options)
    if options.name != "all" and options.name not in STUDIES:
        _unknown(options.name)
    names = list(STUDIES) if options.name == "all" else [options.name]
    check_results(options.out / f"{names[0]}.nc")
    if options.docs is not None:
        check_writable(options.docs / "studies.md")
    told, worst = [], OK
    for name in names:
        if len(names) > 1 and not options.json:
            print(f"# {name}", flush=True)
        page, written, code = _study(name, options)
        worst = max(worst, code)
        told.append(_json_object(page, written))
    if options.json:
        print_json(told[0] if len(told) == 1 else {"studies": told})
    return worst


def _list(options: Namespace) -> int:
    from circuitdsl.studies.registry import all_studies

    studies = all_studies()
    if options.json:
        print_json({"studies": [{"name": s.name, "claim": s.claim, "source": s.source} for s in studies]})
        return OK
    width = max(len(s.name) for s in studies) + 2
    for study in studies:
        print(f"{study.name:<{width}}{study.claim}")
        print(f"{'':<{width}}{study.source}")
    print("\ncircuitdsl study NAME --quick runs one in seconds; without --quick it takes minutes.")
    return OK


def _unknown(name: str) -> None:
    from circuitdsl.diagnostics import did_you_mean

    hint = did_you_mean(name, STUDIES) or "the studies are: " + ", ".join(STUDIES)
    fail_usage(f"no study `{name}`; {hint}")


def _study(name: str, options: Namespace) -> tuple[Page, list[Path], int]:
    from circuitdsl.explore.journal import Journal
    from circuitdsl.report.study import Page, save_section, save_study
    from circuitdsl.studies.protocol import judged
    from circuitdsl.studies.registry import find_study

    study = find_study(name)
    journal = Journal(options.out / f"{study.name}.nc", "study", {})
    with reporting(name, json=options.json), going_on(options.out):
        data = _run(study, options, journal)
        found = judged(study.finding(data), options.seeds or study.seeds[options.quick])
        page = Page(
            name=study.name,
            claim=study.claim,
            source=study.source,
            found=[(s.mark, s.text) for s in found],
            data=data,
        )
        written = save_study(page, study.figure(data), options.out)
        if options.docs is not None:
            written += save_section(page, study.figure(data), options.docs)
        journal.clear()
    if not options.json:
        _print(study, found, options.out)
    return page, written, WRONG if any(s.holds is False for s in found) else OK


def _run(study: Study, options: Namespace, journal: Journal) -> xr.Dataset:
    """The study's data set, with what is needed to make it again."""
    from circuitdsl.runtime.population import cores
    from circuitdsl.runtime.where import place
    from circuitdsl.studies.protocol import Plan

    count = options.seeds or study.seeds[options.quick]
    with _bar(study.name) as tell, place(options.jobs or cores(), cluster_of(options)) as where:
        plan = Plan(quick=options.quick, seeds=range(count), where=where, tell=tell, journal=journal)
        data = study.run(plan)
    quick = " --quick" if options.quick else ""
    return data.assign_attrs(
        study=study.name,
        command=f"circuitdsl study {study.name}{quick} --seeds {count}",
        versions=_versions(),
    )


def _versions() -> str:
    import json
    import platform
    from importlib.metadata import version

    packages = ("circuitdsl", "numpy", "numba")
    return json.dumps({"python": platform.python_version(), **{name: version(name) for name in packages}})


@contextmanager
def _bar(name: str) -> Iterator[Tell]:
    """A progress bar on a terminal; a line at every quarter elsewhere."""
    if not sys.stderr.isatty():
        yield _quarters(name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn(name), BarColumn(bar_width=None), MofNCompleteColumn(), TimeRemainingColumn(compact=True)]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield tell


def _quarters(name: str) -> Tell:
    def tell(done: int, total: int) -> None:
        if 4 * done // total > 4 * (done - 1) // total:
            say(f"{name}: {done} of {total} runs")

    return tell


def _print(study: Study, found: list[Sentence], out: Path) -> None:
    print(study.claim)
    for sentence in found:
        print(f"  {sentence.mark} {sentence.text}")
    print(f"written: {out / study.name}.html, .nc, .svg, .png; the circuits in {out / 'circuits'}")


def _json_object(page: Page, written: list[Path]) -> dict[str, object]:
    holds = {"✓": True, "✗": False, "·": None}
    return {
        "study": page.name,
        "claim": page.claim,
        "command": page.data.attrs["command"],
        "finding": [{"text": text, "holds": holds[mark]} for mark, text in page.found],
        "written": written,
    }
