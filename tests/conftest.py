"""Settings of all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# The same generated examples every time, so that a change is judged by what it changed;
# `HYPOTHESIS_PROFILE=random` looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("random", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
