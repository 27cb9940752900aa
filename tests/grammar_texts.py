"""Random `.circ` texts for property tests, derived from the rules of the grammar itself."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from random import Random

from circuitdsl.syntax.grammar import parser, spellings

REPOSITORY = Path(__file__).resolve().parent.parent

FIRST = '''circuit kolen_pollack {
  """Feedback weights that learn to carry the gradient (Kolen & Pollack 1994)."""

  param eta   = 0.1
  param gamma = 0.002

  input  x: 64
  target y: 10

  neuron h: 64 {
    dendrite basal, apical
    rate = relu(basal)
  }
  neuron out: 10 { dendrite basal   rate = softmax(basal) }
  neuron err: 10 { rate = y - out }                       # one-to-one wiring: the teaching pathway

  rule hetero(signal, eta, gamma) = eta * signal * pre - eta * gamma * w

  synapse W1: x   -> h.basal   { init = normal(0, 1/sqrt(fan_in))   dw = hetero(post.apical, eta, gamma) }
  synapse W2: h   -> out.basal { init = normal(0, 1/sqrt(fan_in))   dw = eta * err * pre - eta * gamma * w }
  synapse V2: err -> h.apical  { init = normal(0, 1/sqrt(fan_in))   dw = hetero(post, eta, gamma) }

  loss = cross_entropy(out, y)

  expect W1: gradient
  expect W2: exact
  expect attractor V2 ~ transpose(W2)

  task digits {
    data = digits     epochs = 40     batch = 16     seed = 0
    metric = accuracy(out, y)
  }
}
'''
"""The first circuit of the language's page."""

EVERYTHING = '''import "rules/heterosynaptic.circ"     # rule hetero(signal, eta, gamma)

motif sal_pair(below, above, n) {
  """Ascending neuron a and descending neuron d."""
  neuron a: n { dendrite basal, apical    rate = relu(basal) }
  synapse B: d -> a.apical { bounds = [-0.5, 0.5]   dw = hetero(post, eta, gamma) }
}

circuit everything {
  param eta = 0.05   param depth = 2   param sizes = [64, 64, 10]
  param c per W = 0.1;
  input x: 40 each tick   target y: 10
  for l in 1..depth {
    use sal_pair as L[l](below = L[l-1].a, above = L[l+1].d, n = n)
  }
  alias L[0].a = x   alias a[0] = x
  pair h ~ err
  neuron v: [6, 6, 16] {
    dendrite a
    state v = 0 keep
    state u = 0
    dv/dt = -v / tau + a * rate
    let g = -a^2 + randn()
    rate = where(v >= 1, 1, 0)
    spike when v > th { v = 0 } refractory 3
  }
  synapse W: prev(v) -> v.a {
    connect = sparse(0.1) & no_self   sign = excitatory
    state e = 0 fresh
    de = pre - e
    drive g = e * r
    tie = transpose(W)
    dw = eta * g * (train - free)
  }
  modulator r = loss { state b = 0 keep   db = 0.1 * (loss - b) }
  schedule { dt = 0.1   phase free: 20   phase clamped: 20 train   update = tick }
  loss = cross_entropy(out, y) at free
  expect L[1].W, W2: gradient
  expect metric >= 0.98 * backprop
  record v, norm(W), cos(V2, transpose(W2)) every 100
  task digits { data = digits   scale = none }
  stage pretrain { epochs = 3 }
}
'''
"""Every construct of the language at least once."""


def circuit_files() -> list[Path]:
    return sorted((REPOSITORY / "circuits").rglob("*.circ"))


_TEXTS = {
    "NAME": ("a", "eta", "W1", "h", "_x", "dw", "free", "at", "ratex"),
    "NUMBER": ("0", "1", "0.5", ".5", "2.", "1e-3", "64"),
    "STRING": ('"w.npy"', '""', '"a # b"'),
    "DOCSTRING": ('"""One line."""', '"""Two\n      lines\n    here."""', '"""\n  Below.\n"""', '"""  """'),
    "SUM": ("+", "-"),
    "COMPARISON": ("<", "<=", "=="),
}
# The words that only one spelling can stand for, by rule and position in it.
_WORDS = {("input", 5): "tick", ("assign", 2): "dt", ("loss", 3): "over"}

_EXPRESSIONS = frozenset("expr intersection sum product unary power postfix".split())


@cache
def _rules() -> dict[str, list[list[str]]]:
    """Each nonterminal and its expansions."""
    found: dict[str, list[list[str]]] = {}
    for rule in parser().rules:
        found.setdefault(rule.origin.name, []).append([symbol.name for symbol in rule.expansion])
    return found


@cache
def _height(symbol: str, seen: frozenset[str] = frozenset()) -> int:
    """How deep the smallest derivation of a symbol is."""
    if symbol not in _rules():
        return 0
    if symbol in seen:
        return 1000
    below = seen | {symbol}
    return 1 + min(max((_height(s, below) for s in e), default=0) for e in _rules()[symbol])


def random_words(random: Random, symbol: str = "start", size: int = 120) -> list[str]:
    """The words of a random sentence of the grammar; after `size` words it comes to its end soon."""
    found: list[str] = []
    _derive(random, symbol, size, found)
    return found


def _derive(random: Random, symbol: str, size: int, found: list[str]) -> None:
    if symbol not in _rules():
        found.append(random.choice(_TEXTS.get(symbol) or (spellings()[symbol],)))
        return
    expansions = _rules()[symbol]
    heights = [max((_height(s) for s in e), default=0) for e in expansions]
    if len(found) >= size or (symbol in _EXPRESSIONS and random.random() < 0.6):
        expansions = [e for e, h in zip(expansions, heights, strict=True) if h == min(heights)]
    elif symbol == "start":
        expansions = [max(expansions, key=len)]
    for at, part in enumerate(random.choice(expansions)):
        word = _WORDS.get((symbol, at)) if part == "plain_name" else None
        if word:
            found.append(word)
        else:
            _derive(random, part, size, found)


def laid_out(random: Random, words: list[str]) -> str:
    """The words with random spaces, line ends and comments between them, or nothing where signs part them."""
    text = ""
    for n, (word, after) in enumerate(zip(words, [*words[1:], ""], strict=True)):
        if random.random() < 0.3 and not {word, after}.isdisjoint("()[]{}*/^,"):
            text += word
            continue
        between = random.choice([" "] * 8 + ["\n", "\n", "\n\n\n", "\t\n  ", f"  # c{n} \n", f"\n #{n}\n\n\n"])
        text += word + between
    return text


def comments(text: str) -> list[str]:
    """The comments of a text in their order, strings and docstrings left out."""
    bare = re.compile(r'"""[\s\S]*?"""|"[^"\n]*"|(#[^\n]*)')
    return [found.rstrip() for found in bare.findall(text) if found]
