"""Settings of all tests."""

from __future__ import annotations

import gc
import os

from hypothesis import settings

gc.set_threshold(50_000, 50, 50)  # tests leave little in circles, and looking for it takes a tenth of their time

# The same generated examples every time, so that a change is judged by what it changed;
# `HYPOTHESIS_PROFILE=random` looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("random", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
