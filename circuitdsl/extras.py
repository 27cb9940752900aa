"""What is needed beyond the core of the package, and which of its extras brings it.

The language, its checks, `derive --no-measure`, `fmt` and `emit` need lark alone; what trains and measures needs the
extra `run`. A library that is not there is named with its extra, never by a traceback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

#: Every library by its module, as its extra brings it (pyproject.toml).
EXTRA: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "networkx", "numpy", "numba", "llvmlite", "rich", "xarray", "h5netcdf", "h5py", "safetensors", "sklearn",
            "mlxtend", "matplotlib", "scipy", "joblib", "cmaes", "threadpoolctl", "latex2mathml",
        ),
        "run",
    ),
    **dict.fromkeys(("dask", "distributed", "dask_jobqueue"), "cluster"),
    **dict.fromkeys(("pygls", "lsprotocol", "pygments"), "editor"),
    **dict.fromkeys(("pandas", "pyarrow"), "data"),
    **dict.fromkeys(("IPython", "ipykernel"), "notebook"),
    **dict.fromkeys(("numba_cuda", "cuda"), "cuda"),
    "nir": "nir",
    "autograd": "dev",
}  # fmt: skip


class Missing(ImportError):
    """A library that an extra brings is not installed; the message says how to get it."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback."""
        return [f"error: {self}"]


def how_to_get(module: str | None) -> str | None:
    """`pip install 'circuitdsl[run]'`; None for what no extra brings."""
    extra = EXTRA.get((module or "").partition(".")[0])
    return None if extra is None else f"pip install 'circuitdsl[{extra}]'"


@contextmanager
def named() -> Iterator[None]:
    """Raises Missing where a library that an extra brings turns out not to be there."""
    try:
        yield
    except ModuleNotFoundError as problem:
        way = how_to_get(problem.name)
        if way is None:
            raise
        raise Missing(f"this needs `{problem.name}`, which is not installed: {way}", name=problem.name) from None
