"""What commands of many runs share: options, and how they end before their end."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from circuitdsl.cli.common import INTERRUPTED, UNFINISHED, Stop, whole_number

if TYPE_CHECKING:
    from circuitdsl.runtime.scheduler import Scheduler

#: Of a scheduler at tls://, named as dask names them.
CERTIFICATES = {
    "--tls-ca-file": "of a tls:// scheduler: the certificate of its authority",
    "--tls-cert": "of a tls:// scheduler: the certificate that we show it",
    "--tls-key": "the private key of that certificate, unless it is in the same file",
}


def add_runs(parser: ArgumentParser) -> None:
    """What each run is: data, epochs, batch, the first seed."""
    parser.add_argument(
        "--data", metavar="NAME|PATH", help="other data: a name, or a file: .npz, .npy, .csv, .parquet, IDX"
    )
    parser.add_argument("--scale", choices=("none", "center", "zscore"), help="scaling of the inputs")
    parser.add_argument("--seed", metavar="N", type=whole_number(0), help="the first seed (the task's)")
    parser.add_argument("--epochs", metavar="N", type=whole_number(0), help="how often through the data")
    parser.add_argument("--batch", metavar="N", type=whole_number(1), help="examples per update")


def add_where(parser: ArgumentParser, out: str) -> None:
    """Where it runs, and where results go."""
    parser.add_argument(
        "--out",
        metavar="FILE.nc",
        type=Path,
        help=f"write the results to a netCDF file; meanwhile what is done is kept in {out}.parts/",
    )
    add_place(parser)


def add_place(parser: ArgumentParser) -> None:
    """Where it runs."""
    parser.add_argument("--jobs", metavar="N", type=whole_number(1), help="processors to use (all)")
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="a dask scheduler: tls://host:8786, or tcp://host:8786, where whoever reaches it can run code as you",
    )
    for option, what in CERTIFICATES.items():
        parser.add_argument(option, metavar="FILE.pem", type=Path, help=what)


def cluster_of(options: Namespace) -> Scheduler | None:
    """The scheduler that was asked for. Raises UsageError."""
    from circuitdsl.runtime.errors import UsageError
    from circuitdsl.runtime.scheduler import Scheduler

    files = (options.tls_ca_file, options.tls_cert, options.tls_key)
    if options.cluster is not None:
        return Scheduler(options.cluster, *files)
    if any(path is not None for path in files):
        raise UsageError("certificates are for a cluster: name its scheduler, `--cluster tls://host:8786`")
    return None


@contextmanager
def going_on(out: Path | None) -> Iterator[None]:
    """Turns an interruption, or a cluster that is gone, into a message that says how to go on, and an exit code."""
    try:
        with losing("; the same command goes on with what is left" if out else ""):
            yield
    except KeyboardInterrupt:
        how = "the same command goes on" if out else "nothing was kept: no --out"
        raise Stop(INTERRUPTED, f"interrupted; {how}") from None


@contextmanager
def losing(how: str = "") -> Iterator[None]:
    """Turns a cluster that is gone into a message, an exit code, and `how` to go on."""
    from circuitdsl.runtime.where import Unfinished

    try:
        yield
    except Unfinished as problem:
        raise Stop(UNFINISHED, f"error: {problem}{how}") from None
