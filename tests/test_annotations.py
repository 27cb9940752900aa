"""The annotations are right, in the sense of `mypy --strict` (pyproject.toml). It takes long, and so comes early."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_mypy() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy"], capture_output=True, text=True, cwd=Path(__file__).resolve().parent.parent
    )
    assert done.returncode == 0, done.stdout + done.stderr
