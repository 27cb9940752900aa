"""Training in a page: the JavaScript that is printed beside JavaScript that a person wrote, in Chromium.

    python benchmarks/browser.py [--rounds 9]

The Kolen-Pollack circuit (64-64-10) on digits, one example at a time, in float32. First both train one epoch from the
same weights, which then have to be equal but for rounding; then they take turns, and medians count. The goal: at least
0.6 of the hand-written speed. Needs node, Chromium, and what `make playground` has installed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from circuitdsl.api import Simulation, load
from circuitdsl.runtime.javascript import run_module
from circuitdsl.runtime.request import Request

PLAYGROUND = Path(__file__).resolve().parents[1] / "playground"
#: Of weights after an epoch, in float32.
APART = 1e-3


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=9)
    rounds = options.parse_args().rounds
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("there is no Chromium to run it in")
    loop = Simulation(load("heterosynaptic/kolen_pollack.circ")).prepare(Request(batch=1)).loop
    data = {name: loop.dataset.arrays[name][loop.dataset.train].ravel().tolist() for name in ("x", "y")}
    with tempfile.TemporaryDirectory() as folder:
        job = {"source": run_module(loop.engine.circuit, loop.numbers), **data}
        (Path(folder) / "race.json").write_text(json.dumps(job))
        bundler = str(PLAYGROUND / "node_modules" / ".bin" / "esbuild")
        command = [bundler, "race.js", "--bundle", "--format=esm", f"--outdir={folder}", "--log-level=warning"]
        subprocess.run(command, cwd=PLAYGROUND, check=True)
        command = ["node", str(PLAYGROUND / "race.mjs"), folder, chromium, str(rounds)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    printed, hand = (statistics.median(r[who] for r in found["rounds"]) for who in ("printed", "hand"))
    ratio = statistics.median(r["printed"] / r["hand"] for r in found["rounds"])
    print(f"largest difference of a weight after one epoch: {found['apart']:.1e}")
    print(f"printed      {printed:10,.0f} examples/s")
    print(f"hand-written {hand:10,.0f} examples/s")
    print(f"ratio        {ratio:10.2f}")
    return 0 if found["apart"] < APART and ratio >= 0.6 else 1


if __name__ == "__main__":
    sys.exit(main())
