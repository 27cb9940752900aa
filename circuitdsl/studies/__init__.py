"""Studies: each a claim about circuits, run over the public API, as a labelled data set."""
