"""What things are called elsewhere, and how they are said here: hints for who comes from another language."""

from __future__ import annotations

_NO_GRADIENT = "a rule says what a synapse sees; `derive` compares it with the gradient, `--learn backprop` takes that"

#: Functions of other languages and of textbooks.
FUNCTIONS_ELSEWHERE = {
    "sigma": "the logistic function is `sigmoid(x)`",
    "logistic": "the logistic function is `sigmoid(x)`",
    "expit": "the logistic function is `sigmoid(x)`",
    "heaviside": "it is `step(x)`",
    "theta": "it is `step(x)`",
    "indicator": "a comparison is 0 or 1: `x > 0`",
    "ln": "the natural logarithm is `log(x)`",
    "pow": "a power is written `x^2`",
    "power": "a power is written `x^2`",
    "sqr": "it is `square(x)`",
    "ceil": "it is `-floor(-x)`",
    "round": "it is `floor(x + 0.5)`",
    "argmax": "`onehot_max(x)` is 1 for the largest unit and 0 for the others",
    "leaky_relu": "it is `max(x, 0.1 * x)`",
    "relu6": "it is `clip(x, 0, 6)`",
    "silu": "it is `x * sigmoid(x)`",
    "swish": "it is `x * sigmoid(x)`",
    "MSE": "it is `mse(p, y)`",
    "mean_squared_error": "it is `mse(p, y)`",
    "l2": "it is `norm(h)`",
    "rms": "it is `sqrt(mean(square(h)))`",
    "avg": "it is `mean(h)`",
    "average": "it is `mean(h)`",
    "total": "it is `sum(h)`",
    "noise": "noise is `randn()` (normal, deviation 1) or `rand()` (uniform, 0 to 1)",
    "random": "noise is `randn()` (normal, deviation 1) or `rand()` (uniform, 0 to 1)",
    "gauss": "normal noise is `randn()`",
    "normal": "initial weights are drawn by it, `init = normal(0, 1)`; noise in an equation is `randn()`",
    "uniform": "initial weights are drawn by it, `init = uniform(0, 1)`; noise in an equation is `rand()`",
    "outer": "a rule is written for one pair of neurons: `post * pre` is the outer product",
    "dot": "a dendrite is the product of weights and rates; in an equation write `*`",
    "matmul": "a dendrite is the product of weights and rates; in an equation write `*`",
    "grad": _NO_GRADIENT,
    "gradient": _NO_GRADIENT,
    "if": "`where(condition, a, b)` chooses between two values",
    "delayed": "the tick before is `prev(h)`",
    "len": "the number of units is the size that you wrote: keep it in a param",
}

#: Initial values of other libraries.
INITS_ELSEWHERE = {
    **dict.fromkeys(("xavier", "glorot", "lecun"), "write `normal(0, 1/sqrt(fan_in))`, which is also the default"),
    **dict.fromkeys(("he", "kaiming"), "write `normal(0, sqrt(2/fan_in))`"),
    **dict.fromkeys(("random", "rand", "gaussian", "gauss"), "write `normal(0, 1/sqrt(fan_in))` or `uniform(-1, 1)`"),
    **dict.fromkeys(("one", "ones"), "write `constant(1)`"),
    **dict.fromkeys(("zero", "none", "null"), "write `zeros`"),
    **dict.fromkeys(("eye", "diag", "identity_matrix"), "write `identity()`"),
    "const": "write `constant(c)`",
    "load": 'write `file("w.npy")`',
}  # fmt: skip

#: Words that may be chosen from, by what people write in their place.
WORDS_ELSEWHERE = {
    **dict.fromkeys(("positive", "exc", "plus", "E"), "excitatory"),
    **dict.fromkeys(("negative", "inh", "minus", "I"), "inhibitory"),
    **dict.fromkeys(("any", "both", "signed", "mixed"), "free"),
    **dict.fromkeys(("full", "all", "all_to_all", "fully"), "dense"),
    **dict.fromkeys(("one2one", "diagonal", "identity", "elementwise"), "one_to_one"),
    **dict.fromkeys(("random", "probability", "bernoulli", "dropout"), "sparse(0.1)"),
    **dict.fromkeys(("standard", "standardize", "normalize", "normal", "z"), "zscore"),
    **dict.fromkeys(("no", "off", "raw", "minmax"), "none"),
}

#: Settings of other libraries' training loops.
SETTINGS_ELSEWHERE = {
    **dict.fromkeys(
        ("lr", "eta", "rate", "learning_rate", "alpha", "momentum", "weight_decay", "decay", "optimizer"),
        "how fast weights learn stands in their rules: `param eta = 0.1`, and `dw = eta * …`",
    ),
    **dict.fromkeys(("steps", "iterations", "n_epochs", "num_epochs"), "`epochs` is how often through the data"),
    **dict.fromkeys(("loss", "objective", "criterion"), "the loss stands beside the task: `loss = …`"),
    **dict.fromkeys(("ticks", "time", "T", "duration"), "ticks are those of a `schedule { phase run: 20 }`"),
    "shuffle": "examples are shuffled anew in every epoch",
    "random_state": "it is `seed`",
}
