"""The studies there are, by name."""

from __future__ import annotations

from importlib import import_module

from circuitdsl.studies.protocol import Study

#: Name and module, in the order in which they are told.
STUDIES = {
    "emergent_hebbian": "circuitdsl.studies.emergent_hebbian",
    "self_assembly": "circuitdsl.studies.four_synapses",
    "metaplasticity": "circuitdsl.studies.metaplasticity",
    "optimizers": "circuitdsl.studies.optimizers",
    "flexibility": "circuitdsl.studies.flexibility",
    "metalearn": "circuitdsl.studies.metalearn",
    "evolution": "circuitdsl.studies.evolution",
}


def find_study(name: str) -> Study:
    """The study of that name. Raises KeyError."""
    study: Study = import_module(STUDIES[name]).STUDY
    return study


def all_studies() -> list[Study]:
    return [find_study(name) for name in STUDIES]
