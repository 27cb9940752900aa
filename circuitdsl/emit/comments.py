"""What printed code says beside its statements: where in the text of the circuit they come from."""

from __future__ import annotations

from circuitdsl.lower.loop_ir import Origin


def place(origin: Origin | None) -> str:
    """Where an entity is written, without the folder: the text must be the same on every machine."""
    if origin is None or origin.span is None:
        return ""
    name = origin.span.source.name.replace("\\", "/").rpartition("/")[2]
    return f" ({name}:{origin.span.line})"
