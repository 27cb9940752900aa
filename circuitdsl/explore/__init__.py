"""Sweeps and evolution, and where they run."""
