"""Curves and rasters of runs, as pictures and in notebooks."""
