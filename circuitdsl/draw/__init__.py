"""Drawings of circuits: layout and SVG, by the standard library alone."""
