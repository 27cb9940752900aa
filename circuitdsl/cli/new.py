"""`circuitdsl new`: a circuit to start from."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from circuitdsl.cli.common import OK, add_json, fail_usage, print_json, reporting
from circuitdsl.cli.show import unknown, write_new

ABOUT = """Write a circuit to start from, NAME.circ: two layers that learn digits with feedback weights of their own,
and a word on each part. It checks, derives and runs as it is. --like starts from a shipped circuit instead.

Exit codes: 0 ok, 2 the name cannot be, or there is a file already."""

EXAMPLES = """\
  circuitdsl new mine
  circuitdsl new mine --like oja
  circuitdsl new folder/mine.circ"""

TEMPLATE = '''circuit NAME {
  """Two layers that learn digits by feedback weights of their own.

  Say here what the circuit is for, and where its equations come from.
  """

  param eta = 0.1  # learning rate; `--set eta=0.05` changes it for a run
  param gamma = 0.002  # decay of all weights

  input x: 64
  target y: 10

  neuron h: 64 {
    dendrite basal, apical
    rate = relu(basal)
  }
  neuron out: 10 {
    dendrite basal
    rate = softmax(basal)
  }
  # No synapse leads here: reading `y` and `out` wires it to them, neuron by neuron.
  neuron err: 10 {
    rate = y - out
  }

  # A rule reads only what is present at its synapse: `pre`, `post`, dendrites of `post`, the weight `w`.
  synapse W1: x -> h.basal {
    dw = eta * post.apical * step(post.basal) * pre - eta * gamma * w
  }
  synapse W2: h -> out.basal {
    dw = eta * err * pre - eta * gamma * w
  }
  synapse V2: err -> h.apical {
    dw = eta * post * pre - eta * gamma * w
  }

  # What is to be minimised. No neuron sees it: `derive` and `certify` judge the rules by it.
  loss = cross_entropy(out, y)

  # What you claim: `derive` judges verdicts and attractors, `run` the metric.
  expect W1: gradient
  expect W2: exact
  expect attractor V2 ~ transpose(W2)
  expect metric >= 0.95

  record cos(V2, transpose(W2))

  task digits {
    data = digits
    epochs = 20
    batch = 16
    seed = 0
    metric = accuracy(out, y)
  }
}
'''


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the circuit, or of its file")
    parser.add_argument("--like", metavar="SHIPPED", help="start from this circuit of the library")
    add_json(parser)


def command(options: Namespace) -> int:
    path = Path(options.name if options.name.endswith(".circ") else f"{options.name}.circ")
    check_name(path.stem)
    with reporting(options.name, json=options.json):
        text = TEMPLATE.replace("NAME", path.stem, 1) if options.like is None else renamed(options.like, path.stem)
        write_new(path, text)
    if options.json:
        print_json({"circuit": path.stem, "written": path})
    else:
        print(f"written: {path}")
        print("\n".join(f"  circuitdsl {command} {path}" for command in ("check", "derive", "run")))
    return OK


def check_name(name: str) -> None:
    """Whether a circuit can be called so. Raises Stop."""
    from circuitdsl.syntax.grammar import keywords

    if name in keywords():
        fail_usage(f"a circuit cannot be called `{name}`: it is a word of the language")
    if not (name.isascii() and name.isidentifier()):
        fail_usage(f"a circuit cannot be called `{name}`: a name has letters, digits and `_`, and starts with no digit")


def renamed(like: str, name: str) -> str:
    """The text of a shipped circuit under another name. Raises Stop, OSError, CircuitError."""
    from circuitdsl.shipped import find_circuit
    from circuitdsl.syntax import ast
    from circuitdsl.syntax.parse import parse, read_source

    path = find_circuit(like)
    if not path.is_file():
        fail_usage(unknown(like))
    source = read_source(path)
    circuits = [item for item in parse(source).items if isinstance(item, ast.Circuit)]
    if not circuits:
        fail_usage(f"`{like}` holds rules and motifs, but no circuit")
    span = circuits[0].name.span
    return source.text[: span.start] + name + source.text[span.end :]
