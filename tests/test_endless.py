"""Texts that would never end: each stops with its place, however the growth is written; and thousands of errors are
told in few. Nothing here looks at a clock: work is counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from circuitdsl import diagnostics
from circuitdsl.cli import main as front_door
from circuitdsl.diagnostics import MOST_SHOWN, CircuitError, Diagnostic, Severity, first_of
from circuitdsl.graph import expressions, scope, structure
from circuitdsl.graph.resolve import load_text

REST = "neuron h: 4 { rate = x } loss = mean(h)"


def doubling(what: str, depth: int) -> str:
    """Rules or motifs each of which uses the one before twice."""
    if what == "rule":
        first, each = "rule r0(a) = a + a", "rule r{n}(a) = r{m}(a) + r{m}(a)"
    else:
        first, each = "motif r0() { }", "motif r{n}() {{ use r{m} as a() use r{m} as b() }}"
    return "\n".join([first, *(each.format(n=n, m=n - 1) for n in range(1, depth))])


def circuit(items: str, before: str = "") -> str:
    return f"{before}\ncircuit c {{ input x: 4 {items} }}"


ENDLESS = {
    "empty loops": circuit(f"{REST} for i in 1..30000 {{ for j in 1..30000 {{ }} }}"),
    "loops of three": circuit(f"{REST} for i in 1..999 {{ for j in 1..999 {{ for k in 1..999 {{ }} }} }}"),
    "one loop": circuit(f"{REST} for i in 1..10^15 {{ }}"),
    "records in loops": circuit(f"{REST} for i in 1..999 {{ for j in 1..999 {{ record h }} }}"),
    "populations": circuit(f"{REST} for i in 1..999 {{ for j in 1..999 {{ neuron g[i][j]: 1 {{ rate = x }} }} }}"),
    "aliases": circuit(f"{REST} for i in 1..999 {{ for j in 1..999 {{ alias g[i][j] = h }} }}"),
    "loops in motifs": circuit(f"{REST} for i in 1..999 {{ use m as u[i]() }}", "motif m() { for j in 1..999 { } }"),
    "rules": circuit("neuron h: 4 { rate = r23(x) } loss = mean(h)", doubling("rule", 24)),
    "rules of two arguments": circuit(
        "neuron h: 4 { rate = q40(x, x) } loss = mean(h)",
        "\n".join(["rule q0(a, b) = a", *(f"rule q{n}(a, b) = q{n - 1}(a + b, b + a)" for n in range(1, 41))]),
    ),
    "a rule within itself": circuit(f"neuron h: 4 {{ rate = {'r(' * 40}x{')' * 40} }} loss = mean(h)", "rule r(a)=a*a"),
    "rules in a loop": circuit(
        f"{REST} for i in 1..2000 {{ neuron g[i]: 4 {{ rate = r9(x) }} }}", doubling("rule", 10)
    ),
    "rules of synapses": circuit(
        "neuron h: 4 { dendrite d rate = d } loss = mean(h)"
        " for i in 1..2000 { synapse W[i]: x -> h { dw = r9(pre) } }",
        doubling("rule", 10),
    ),
    "motifs": circuit(f"{REST} use r30 as z()", doubling("motif", 31)),
}  # fmt: skip


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fiftieth of the limits, for a fiftieth of the time."""
    for module, name in ((structure, "MAX_ITEMS"), (structure, "MAX_DECLARATIONS"), (expressions, "MAX_TERMS")):
        monkeypatch.setattr(module, name, getattr(module, name) // 50)
    monkeypatch.setattr(expressions, "MAX_NODES", 2000)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS.keys())
def test_growth_is_stopped_at_its_place(text: str) -> None:
    with pytest.raises(CircuitError) as caught:
        load_text(text)
    (found,) = caught.value.diagnostics
    assert found.code == "C026"
    assert found.span is not None
    assert found.hint
    limits = (structure.MAX_ITEMS, structure.MAX_DECLARATIONS, expressions.MAX_NODES, expressions.MAX_TERMS)
    assert any(f"{most:,}" in found.title for most in limits) or "too many turns" in found.title


def test_the_limits_are_far_off() -> None:
    """And near enough: what reaches them is found in seconds."""
    assert 50_000 <= structure.MAX_DECLARATIONS <= structure.MAX_ITEMS <= 200_000
    assert 20_000 <= expressions.MAX_NODES <= expressions.MAX_TERMS <= 200_000


ENDING = {
    "a large circuit": circuit(f"{REST} for i in 1..3000 {{ neuron g[i]: 4 {{ rate = x + h }} record g[i] }}"),
    "arguments that double": circuit(
        f"{REST} use m30 as z(n = 1)",
        "\n".join(
            [
                "motif m0(n) { neuron q: n / 2^30 { rate = 1 } record q }",
                *(f"motif m{n}(n) {{ use m{n - 1} as a(n = n + n) }}" for n in range(1, 31)),
            ]
        ),
    ),
    "params that double": circuit(
        "neuron h: p60 / 2^60 { rate = 1 } loss = mean(h) param p0 = 1 "
        + " ".join(f"param p{n} = p{n - 1} + p{n - 1}" for n in range(1, 61))
    ),
    "rules that are defined only": circuit(REST, doubling("rule", 40)),
    "motifs that are defined only": circuit(REST, doubling("motif", 40)),
}


@pytest.mark.parametrize("text", ENDING.values(), ids=ENDING.keys())
def test_what_only_looks_endless_is_read(text: str) -> None:
    assert load_text(text).circuit is not None


# ---------------------------------------------------------------- thousands of errors


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """How often a message is rendered, and the nearest of many names looked for."""
    counts = {"rendered": 0, "looked for": 0}
    render, near = diagnostics._Page.text, diagnostics.did_you_mean

    def page(self: diagnostics._Page) -> str:
        counts["rendered"] += 1
        return render(self)

    def hint(*arguments: object, **options: object) -> str | None:
        counts["looked for"] += 1
        return near(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(diagnostics._Page, "text", page)
    monkeypatch.setattr(scope, "did_you_mean", hint)
    yield counts


BROKEN = {
    "a word misspelt": "synapse W{n}: x -> h {{ dw = 0.1 * pree }}",
    "words misspelt": "synapse W{n}: x -> h {{ dw = 0.1 * pree{n} }}",
    "ends": "synapse W{n}: xx -> h.e",
    "functions": "neuron g{n}: 4 {{ rate = reluu(x) }}",
    "syntax": "neuron g{n} 4 {{ rate = x }}",
    "keywords": "neuron input: 4 {{ rate = x }}",
    "twice": "neuron h: 4 {{ rate = x }}",
}


@pytest.mark.parametrize("each", BROKEN.values(), ids=BROKEN.keys())
def test_of_hundreds_of_errors_twenty_are_told(each: str, monkeypatch: pytest.MonkeyPatch) -> None:
    items = "neuron h: 4 { dendrite d rate = d } loss = mean(h)\n" + "\n".join(each.format(n=n) for n in range(500))
    with counted(monkeypatch) as counts, pytest.raises(CircuitError) as caught:
        load_text(circuit(items))
    assert len(caught.value.diagnostics) >= 499
    assert counts["rendered"] == 0
    assert counts["looked for"] < 110
    text = str(caught.value)
    assert counts["rendered"] == MOST_SHOWN
    assert text.endswith(f"and {len(caught.value.diagnostics) - MOST_SHOWN:,} more errors")


def test_each_severity_has_its_share() -> None:
    def some(severity: Severity, count: int) -> list[Diagnostic]:
        return [Diagnostic(code="C001", title=f"`{n}`", span=None, severity=severity) for n in range(count)]

    shown, rest = first_of(some(Severity.WARNING, 2000) + some(Severity.NOTE, 21) + some(Severity.ERROR, 20))
    assert [sum(d.severity is s for d in shown) for s in Severity] == [20, 20, 20]
    assert rest == "and 1,980 more warnings and 1 more note"
    assert first_of([]) == ([], "")


def test_check_tells_twenty_and_lists_all(
    capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("big") / "bad.circ"
    file.write_text(circuit(REST + "\n" + "\n".join(f"neuron g{n}: 4 {{ rate = hh }}" for n in range(2000))))
    assert front_door.run(["check", str(file)]) == 1
    out, err = capsys.readouterr()
    assert out.count("error[C010]") == MOST_SHOWN
    assert "and 1,980 more errors" in out
    assert out.endswith(": 2,000 errors\n")
    assert err == ""
    assert front_door.run(["check", str(file), "--json"]) == 1
    out, err = capsys.readouterr()
    assert len(json.loads(out)["diagnostics"]) == 2000
    assert err.count("error[C010]") == MOST_SHOWN
