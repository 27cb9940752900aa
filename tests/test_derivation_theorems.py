"""Theorems about rules (theory.md, "How to derive it"): what is claimed of each, and of what is nearly the same."""

from __future__ import annotations

import pytest
from derivation_texts import EXACT, GRADIENT, derived, kp, verdicts

# ---------------------------------------------------------------- clipped errors


def huber(at: str, slope: str = "") -> str:
    error = "abs(y - out)"
    return f"mean(where({error} < {at}, 0.5 * square(y - out), {slope or at} * {error} - 0.5 * {at} * {at}))"


@pytest.mark.parametrize(
    ("err", "loss", "wanted"),
    [
        ("clip(y - out, -1, 1)", huber("1"), EXACT),
        ("clip(y - out, -2, 2)", huber("2"), EXACT),
        ("max(min(y - out, 1), -1)", huber("1"), EXACT),
        ("where(abs(y - out) < 1, y - out, sign(y - out))", huber("1"), EXACT),
        ("-clip(out - y, -1, 1)", huber("1"), EXACT),
        ("y - out", huber("1"), None),  # unclipped
        ("clip(y - out, -2, 2)", huber("1"), None),
        ("clip(y - out, -1, 2)", huber("1"), None),
        ("clip(y - out, -1, 1)", huber("1", "2"), None),
        ("clip(y - 2 * out, -1, 1)", huber("1"), None),
        ("sign(y - out)", "mean(abs(y - out))", EXACT),
        ("sign(y - 2 * out)", "mean(abs(y - out))", None),
    ],
)
def test_clipped_errors(err: str, loss: str, wanted: tuple[str | None, str | None] | None) -> None:
    """The clipped error is the gradient of the Huber loss, in every state; with another corner it is not."""
    found = verdicts(derived(kp(out="basal", err=err, loss=loss)))
    if wanted is None:
        assert "exact" not in {v for v, _ in found.values()}
        assert "gradient" not in {v for v, _ in found.values()}
    else:
        assert found["Wo"] == wanted
        assert found["W"] == (GRADIENT if wanted == EXACT else wanted)
