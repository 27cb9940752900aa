"""Data, and what only a run can find."""

from __future__ import annotations

from circuitdsl.codes.code import Code

RUNNING = {
    "C060": Code(
        title="An unknown data set",
        explanation="`data` is the name of a data set (`digits`, with arguments `two_moons(noise = 0.1)`) or a file in "
        "quotes. Names are looked up when the circuit runs, what cannot be a data set is found by the check.",
        wrong="""\
circuit example {
  input x: 64
  neuron h: 64 { rate = relu(x) }
  loss = mean(h)
  task digits { data = [1, 2, 3] }
}
""",
        right="""\
circuit example {
  input x: 64
  neuron h: 64 { rate = relu(x) }
  loss = mean(h)
  task digits { data = digits }
}
""",
    ),
    "C061": Code(
        title="Data of another size",
        explanation="Found when the data are loaded: an input has as many units as an example has features, a target "
        "as many as there are classes (or one, for 0 and 1). The message says how many the data have.",
    ),
    "C062": Code(
        title="Missing data",
        explanation="Found when the data are loaded: the file, or the package that brings the data set, is not there.",
    ),
    "C063": Code(
        title="Data that cannot be used",
        explanation="Found when the data are loaded: a file that is damaged, of a format that is not read or larger "
        "than the memory that is free, examples and labels of different number, values that are missing or no numbers, "
        "no examples to train or to test on.",
    ),
    "C064": Code(
        title="Data that test little",
        explanation="A warning before a run on data of one's own: examples to test on are among those to learn from, "
        "the test set is the training set, all examples are of one class, one class has ten times the examples of "
        "another, or a class has none at all, none to learn from or none to test on. The run goes on; what it measures "
        "means less.",
    ),
    "C065": Code(
        title="How data were read",
        explanation="A note where a file could be read in several ways: which separator and decimal sign were found, "
        "which column was taken as the class or target, which was left out because it is empty or numbers the rows, "
        "which arrays were not used, and how classes with names are numbered.",
    ),
    "C070": Code(
        title="The run diverged",
        explanation="A weight, a state or the loss is no longer a finite number, or a weight has grown beyond all "
        "reason. The message names the synapse or population, the update and the example, how fast it grew and what "
        "its decay took back, and what to try: a smaller learning rate, bounds, more decay. What was done so far is "
        "saved; the exit code is 3.",
    ),
    "C071": Code(
        title="Weights that do not fit",
        explanation="Found when weights are loaded: the file cannot be read, lacks a synapse of this circuit, or has "
        "one in another shape.",
    ),
    "C072": Code(
        title="Weights of another circuit",
        explanation="A warning when weights are loaded: the shapes fit, but the file was written for another text.",
    ),
    "C073": Code(
        title="Weights that drive each other",
        explanation="A warning before a run: plastic weights feed their own growth, by more than their decay takes "
        "back, and neither bounds nor their own rules nor a shrinking error will stop it. The growth is that at the "
        "initial weights, with the errors held as they are. Bounds are the simplest remedy; faster decay, or clipped "
        "currents, are others.",
    ),
}
