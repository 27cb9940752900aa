"""The edits of `make mutants` can be made."""

from __future__ import annotations

import pytest
from mutants import MUTANTS, Mutant, mutated


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_none_is_stale(mutant: Mutant) -> None:
    assert mutated(mutant) != ""
