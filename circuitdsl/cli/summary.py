"""What `run` says at the end: the JSON object, or a few lines."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.cli.common import color

if TYPE_CHECKING:
    from circuitdsl.api import Circuit, Outcome, Simulation
    from circuitdsl.runtime.expects import Judged


def json_object(
    circuit: Circuit, simulation: Simulation, outcomes: Sequence[Outcome], judged: Sequence[Judged]
) -> dict[str, Any]:
    """The object of `run --json`: of several seeds the means, and each under `runs`."""
    runs = [_one_object(circuit, simulation, outcome) for outcome in outcomes]
    expects = [j.as_json() for j in judged]
    if len(runs) == 1:
        return {**runs[0], "expects": expects}
    seconds, examples = sum(o.run.seconds for o in outcomes), sum(o.run.examples for o in outcomes)
    return {
        **runs[0],
        "examples": examples,
        "seconds": seconds,
        "examples_per_second": rate(examples, seconds),
        "metric": mean([o.metric for o in outcomes]),
        "loss": mean([o.loss for o in outcomes]),
        "compile_seconds": sum(o.run.compile_seconds for o in outcomes),
        "diverged": any(o.run.diverged is not None for o in outcomes),
        "expects": expects,
        "runs": runs,
    }


def _one_object(circuit: Circuit, simulation: Simulation, outcome: Outcome) -> dict[str, Any]:
    run = outcome.run
    return {
        "circuit": circuit.name,
        "target": simulation.target,
        "seed": outcome.settings.seed,
        "examples": run.examples,
        "seconds": run.seconds,
        "examples_per_second": rate(run.examples, run.seconds),
        "compile_seconds": outcome.run.compile_seconds,
        "metric": outcome.metric,
        "loss": outcome.loss,
        "diverged": run.diverged is not None,
    }


def rate(examples: int, seconds: float) -> float:
    return examples / seconds if seconds > 0 else math.nan


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


# ---------------------------------------------------------------- lines


def print_one(outcome: Outcome) -> None:
    """One seed of several."""
    twin = "" if outcome.twin is None else f"   twin {number(outcome.twin.metric)}"
    ended = "   diverged" if outcome.run.diverged else ""
    print(
        f"seed {outcome.settings.seed:<4} {_metric_name(outcome)} {number(outcome.metric)}{twin}"
        f"   loss {number(outcome.loss)}{ended}"
    )


def print_summary(
    simulation: Simulation, outcomes: Sequence[Outcome], judged: Sequence[Judged], written: Sequence[Path]
) -> None:
    """The metric, the twin's, every expectation, where results went, and what deserves a warning."""
    first = outcomes[0]
    settings = first.settings
    data = settings.attributes()["data"]
    seeds = f"seed {settings.seed}" if len(outcomes) == 1 else f"{len(outcomes)} seeds"
    print(
        f"{simulation.circuit.name} on {data}: {_epochs(settings.epochs)}, batch {settings.batch}, {seeds}, "
        f"{simulation.target}, {simulation.dtype}" + (", backprop" if settings.learn == "backprop" else "")
    )
    print(f"  {_results(outcomes)}")
    print(f"  {_times(outcomes)}")
    for judgement in judged:
        print(f"  {_mark(judgement)} {judgement.text}{_value(judgement)}")
    for warning in _warnings(first):
        print(f"  ! {warning}")
    for path in written:
        print(f"  written: {path}")


def _metric_name(outcome: Outcome) -> str:
    task = outcome.settings.task
    return "metric" if task is None or task.metric is None else task.metric.span.text


def _results(outcomes: Sequence[Outcome]) -> str:
    first = outcomes[0]
    parts = []
    gone = [o for o in outcomes if o.run.diverged]
    if gone:
        seeds = "" if len(outcomes) == 1 else f" ({len(gone)} of {len(outcomes)} seeds)"
        return f"diverged in epoch {len(gone[0].run.metric) - 1}{seeds}"
    if first.loop.plan.has_metric:
        parts.append(f"{_metric_name(first)} {_spread([o.metric for o in outcomes])}")
    twins = [o.twin.metric for o in outcomes if o.twin is not None]
    if twins:
        parts.append(f"backprop {_spread(twins)}")
    if first.run.circuit.loss is not None:
        parts.append(f"loss {_spread([o.loss for o in outcomes])}")
    parts.append(f"on {len(first.loop.dataset.test):,} test examples")
    return "   ".join(parts)


def _spread(values: Sequence[float]) -> str:
    """The mean, and the standard deviation over seeds."""
    centre = mean(values)
    if len(values) == 1:
        return number(centre)
    deviation = math.sqrt(sum((v - centre) * (v - centre) for v in values) / (len(values) - 1))
    return f"{number(centre)} ± {deviation:.2g}"


def _times(outcomes: Sequence[Outcome]) -> str:
    seconds, examples = sum(o.run.seconds for o in outcomes), sum(o.run.examples for o in outcomes)
    said = f"{examples:,} examples in {seconds:.3g} s"
    if seconds > 0:
        said += f" ({examples / seconds:,.0f}/s)"
    compiled = sum(o.run.compile_seconds for o in outcomes)
    return said + (f", compiled in {compiled:.2g} s" if compiled else "")


def _mark(judgement: Judged) -> str:
    sign = {True: "✓", False: "✗", None: "·"}[judgement.ok]
    if not color(sys.stdout) or judgement.ok is None:
        return sign
    return f"\x1b[{32 if judgement.ok else 31}m{sign}\x1b[0m"


def _value(judgement: Judged) -> str:
    if judgement.ok is None:
        return "   (not judged: these are not the task's own settings)"
    if judgement.value is None:
        return ""
    ratio = "backprop" in judgement.text
    return f"   {'ratio ' if ratio else ''}{number(judgement.value)}"


def _warnings(outcome: Outcome) -> list[str]:
    from circuitdsl.runtime.health import warnings_of

    return [] if outcome.run.diverged else warnings_of(outcome.loop, outcome.run)


def number(value: float) -> str:
    """A number with the digits that it deserves."""
    if not math.isfinite(value):
        return "none"
    return f"{value:.4f}" if value == 0 or 0.001 <= abs(value) < 1000 else f"{value:.4g}"


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"
