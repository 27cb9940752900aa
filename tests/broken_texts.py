"""Broken `.circ` texts: each holds one mistake and must give one message."""

from __future__ import annotations

from grammar_texts import FIRST


def changed(old: str, new: str) -> str:
    """The first circuit with one mistake."""
    assert FIRST.count(old) == 1, old
    return FIRST.replace(old, new)


MISTAKES: dict[str, tuple[str, str, str, int]] = {
    # the text, the code, a part of the title, the line
    "no-brace-neuron": (changed("relu(basal)\n  }", "relu(basal)\n"), "C002", "`}` is missing before `neuron out`", 14),
    "no-brace-one-line": (
        changed("softmax(basal) }", "softmax(basal)"), "C002", "`}` is missing before `neuron err`", 15,
    ),
    "no-brace-synapse": (changed("hetero(post, eta, gamma) }", "hetero(post, eta, gamma)"), "C002", "before `los", 23),
    "no-brace-circuit": (FIRST[:-2], "C002", "the `{` of circuit `kolen_pollack` is never closed", 1),
    "no-brace-task": (changed("(out, y)\n  }", "(out, y)\n"), "C002", "the `{` of task `digits` is never closed", 29),
    "no-brace-for": (
        changed("  loss = cross", "  for l in 1..2 {\n    alias a[l] = b[l]\n  loss = cross"),
        "C002", "`}` is missing before `loss`", 25,
    ),
    "one-brace-more": (changed("softmax(basal) }", "softmax(basal) } }"), "C001", "`}` closes circuit `kolen_pol", 14),
    "brace-too-early": (changed("basal, apical", "basal, apical }"), "C001", "`}` closes neuron `h` before `rate`", 11),
    "brace-at-the-end": (FIRST + "}", "C001", "`}` closes nothing", 34),
    "no-opening-brace": (changed("neuron h: 64 {", "neuron h: 64"), "C001", "expected `{` after `64`", 10),
    "no-body": (changed("10 { rate = y - out }", "10"), "C001", "expected `{` after `10`, found `rule`", 15),
    "open-parenthesis": (changed("relu(basal)", "relu(basal"), "C001", "`(` is not closed: `)` is missing", 12),
    "open-parenthesis-in-line": (
        changed("0, 1/sqrt(fan_in))   dw = eta", "0, 1/sqrt(fan_in)   dw = eta"), "C001", "before `dw`", 20,
    ),
    "parenthesis-too-many": (changed("relu(basal)", "relu(basal))"), "C001", "`)` closes nothing", 12),
    "no-colon": (changed("neuron h: 64", "neuron h 64"), "C001", "expected `:` after `h`, found `64`", 10),
    "equals-for-colon": (changed("neuron h: 64", "neuron h = 64"), "C001", "expected `:` after `h`, found `=`", 10),
    "colon-for-equals": (changed("param eta   =", "param eta:"), "C001", "expected `=` after `eta`, found `:`", 4),
    "no-arrow": (changed("x   ->", "x "), "C001", "expected `->` after `x`, found `h`", 19),
    "greater-for-arrow": (changed("x   ->", "x >"), "C001", "expected `->` after `x`, found `>`", 19),
    "misspelt-item": (changed("neuron h", "neruon h"), "C001", "`neruon` does not begin an item", 10),
    "misspelt-member": (changed("dendrite basal, apical", "dendrit basal"), "C001", "`dendrit` does not begin", 11),
    "misspelt-in-line": (changed("64\n  target y", "64 traget y"), "C001", "`traget` does not begin an item", 7),
    "no-item": (changed("synapse W1", "weights W1"), "C001", "`weights` does not begin an item", 19),
    "keyword-neuron": (changed("neuron h:", "neuron rate:"), "C003", "`rate` is a keyword and cannot name a", 10),
    "keyword-after-dot": (changed("post.apical", "post.loss"), "C003", "`loss` is a keyword and cannot stand", 19),
    "keyword-argument": (changed("relu(basal)", "relu(rule)"), "C003", "`rule` is a keyword and cannot be a name", 12),
    "keyword-setting": (changed("seed = 0", "record = 0"), "C003", "`record` is a keyword", 30),
    "keyword-param": (changed("param eta", "param loss"), "C003", "`loss` is a keyword and cannot name a param", 4),
    "keyword-value": (changed("y - out", "target - out"), "C003", "`target` is a keyword", 15),
    "chained": (changed("relu(basal)", "0 < basal < 1"), "C001", "`<` after `0 < basal`: comparisons do not chain", 12),
    "number-name": (changed("eta * err", "2eta * err"), "C001", "`2eta` is neither a number nor a name", 20),
    "two-operands": (changed("eta * err", "eta err"), "C001", "`err` follows `eta` without an operator", 20),
    "two-arguments": (changed("entropy(out, y)", "entropy(out y)"), "C001", "`y` follows `out` without", 23),
    "version": (changed("0.002", "0.0.2"), "C001", "`0.0.2` is neither a number nor a name", 5),
    "decimal-comma": (changed("0.002", "0,002"), "C001", "after `0`, found `,`", 5),
    "name-with-digit": (changed("neuron h:", "neuron 3h:"), "C001", "`3h` is not a name", 10),
    "python-power": (changed("relu(basal)", "basal**2"), "C001", "`**` is not an operator", 12),
    "python-and": (changed("relu(basal)", "a && b"), "C001", "`&&` is not an operator", 12),
    "python-if": (changed("relu(basal)", "a if b else c"), "C001", "`if` follows `a` without an operator", 12),
    "increment": (changed("dw = eta", "w += eta"), "C001", "there is no `+=`", 20),
    "line-comment": (changed("relu(basal)", "relu(basal) // neuron"), "C001", "`//` does not begin a comment", 12),
    "block-comment": (changed("  loss", "  /* a neuron\n h */\n  loss"), "C001", "`/*` does not begin a comment", 23),
    "comma-between": (
        changed("0, 1/sqrt(fan_in))   dw = eta", "0, 1), dw = eta"), "C001", "`,` does not separate items", 20,
    ),
    "rate-in-synapse": (changed("dw = eta", "rate = eta"), "C001", "`rate` cannot stand in synapse `W2`", 20),
    "drive-in-neuron": (changed("rate = relu", "drive g = relu"), "C001", "`drive` cannot stand in neuron `h`", 12),
    "no-param": (changed("param eta  ", "eta"), "C001", "`eta = …` cannot stand directly in circuit", 4),
    "outside": ("param eta = 1\nneuron h: 3 { rate = eta }\n", "C001", "`param` stands outside a circuit", 1),
    "after-circuit": (FIRST + "task t { data = digits }", "C001", "`}` closes circuit `kolen_pollack`", 33),
    "no-expression": (changed("relu(basal)", ""), "C001", "expected an expression after `=`, found `}`", 12),
    "half-expression": (changed("gamma * w }", "gamma * }"), "C001", "expected an expression after `*`, found `}`", 20),
    "half-text": ("circuit a { param b = 3 *", "C001", "expected an expression after `*`, found the end", 1),
    "no-name": ("circuit { param b = 3 }", "C001", "expected a name after `circuit`, found `{`", 1),
    "range": ("circuit a { for l in 1:3 { } }", "C001", "expected an operator or `..` after `1`, found `:`", 1),
    "trailing-comma": (changed("basal, apical", "basal, apical,"), "C001", "expected a name after `,`, found", 11),
    "late-docstring": (changed("= relu(basal)", '= 1 """Late."""'), "C001", 'the docstring `"""Late."""` cannot', 12),
    "poor-docstring": (changed('"""Feed', '"Feed').replace('1994)."""', '1994)."'), "C001", "is not a docstring", 2),
    "each": (changed("x: 64", "x: 64 each step"), "C001", "`step` cannot follow `each`", 7),
    "per-dt": (changed("dw = eta", "dw/dx = eta"), "C001", "`dx` cannot follow `dw/`", 20),
    "loss-when": (changed("(out, y)\n\n", "(out, y) on free\n\n"), "C001", "`on` cannot follow the expression", 23),
    "two-circuits": ("circuit a {\ncircuit b { }\n", "C002", "`}` is missing before `circuit b`", 2),
    "too-large": (changed("0.002", "1e999"), "C001", "`1e999` is too large a number", 5),
    "prose": ("Dear reader, this is a letter.\nIt is no circuit.", "C001", "`Dear` does not begin an item", 1),
    "json": ('{"a": [1, 2, {"b": null}]}', "C001", "expected `circuit`, `import`, `motif` or `rule`, found `{`", 1),
    "python": ("import numpy as np\n", "C001", "expected a path in double quotes after `import`, found `numpy`", 1),
    "percent": (changed("eta * err", "eta % err"), "C005", "`%` does not belong to the language", 20),
    "greek": (changed("param eta  ", "param η"), "C005", "`η` is not a name", 4),
    "accent": (changed("neuron h:", "neuron caché:"), "C005", "`caché` is not a name", 10),
    "minus-sign": (changed("y - out", "y − out"), "C005", "`−` is not a character of the language", 15),
    "arrow-sign": (changed("x   ->", "x →"), "C005", "`→` is not a character of the language", 19),
    "single-quotes": (changed("data = digits", "data = 'digits'"), "C005", "`'digits'` is not a string", 30),
    "curly-quotes": (changed("data = digits", "data = “digits”"), "C005", "`“digits”` is not a string", 30),
    "open-string": (changed("eta * err * pre", 'file("w.npy)'), "C005", 'the string `"w.npy` is never closed', 20),
    "open-docstring": (changed('1994)."""', "1994)."), "C005", 'the docstring `"""Feedback weights that', 2),
    "control": (changed("0.002", "0.002\0"), "C005", "`\\x00` does not belong to the language", 5),
}  # fmt: skip
