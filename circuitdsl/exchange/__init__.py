"""Circuits in the formats of other programs."""
