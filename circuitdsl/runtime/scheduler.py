"""The dask scheduler that a cluster is reached by: its address, and the certificates of one that asks for them."""

from __future__ import annotations

from dataclasses import fields
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from circuitdsl.extras import how_to_get
from circuitdsl.frozen import frozen
from circuitdsl.runtime.errors import UsageError

PLAIN, ENCRYPTED = ("", "tcp", "ws", "ucx"), ("tls", "wss")


@frozen
class Scheduler:
    """A scheduler at an address such as `tcp://10.0.0.1:8786`, or `tls://10.0.0.1:8786` with certificates, all PEM
    files, named as dask names them.

    `tls_ca_file`: the authority that has signed the scheduler's certificate; `tls_cert`, `tls_key`: our own
    certificate and its private key, which may stand in the same file. Without any, dask's own configuration is asked.
    """

    address: str
    tls_ca_file: str | PathLike[str] | None = None
    tls_cert: str | PathLike[str] | None = None
    tls_key: str | PathLike[str] | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for what is no address, and for certificates that nothing would use."""
        if self._scheme not in (*PLAIN, *ENCRYPTED) or not self._has_port():
            raise UsageError(f"`--cluster {self.address}`: a scheduler's address is written as tcp://host:8786")
        if self._files and self._scheme not in ENCRYPTED:
            safe = f"tls://{self.address.rpartition('://')[2]}"
            raise UsageError(
                f"`--cluster {self.address}` uses no certificates, and sends everything in the clear: "
                f"write `{safe}`, and start scheduler and workers with certificates too"
            )

    def security(self) -> Any:
        """What dask's client is given; None without encryption. Raises UsageError for files that are missing or are
        no certificates, before anything is sent."""
        if self._scheme not in ENCRYPTED:
            return None
        given = {name: str(path) for name, path in self._files.items()}
        names = {"tls_cert": "tls_client_cert", "tls_key": "tls_client_key"}
        security = _distributed_security()(
            require_encryption=True, **{names.get(key, key): path for key, path in given.items()}
        )
        ours = security.get_tls_config_for_role("client")  # what was given, or else dask's configuration
        for option, found in (("--tls-ca-file", ours.get("ca_file")), ("--tls-cert", ours.get("cert"))):
            if not found:
                raise UsageError(
                    f"`--cluster {self.address}` needs certificates, and `{option}` is missing: "
                    "--tls-ca-file CA.pem --tls-cert MINE.pem --tls-key MINE.key"
                )
        _check_files(ours["ca_file"], ours["cert"], ours.get("key"))
        return security

    @property
    def doubt(self) -> str:
        """What to look at when nothing answers: dask waits in silence where one side encrypts and the other does not,
        or where they do not know each other's authority."""
        if self._scheme in ENCRYPTED:
            return "has it been started with certificates, and of the same authority as these?"
        return "one that was started with certificates is reached at tls://, by --tls-ca-file, --tls-cert and --tls-key"

    @property
    def _files(self) -> dict[str, Path]:
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name.startswith("tls_")}
        return {name: Path(fspath(path)).expanduser() for name, path in values.items() if path is not None}

    @property
    def _scheme(self) -> str:
        return self.address.rpartition("://")[0]

    def _has_port(self) -> bool:
        """Told here: of an address without a port dask speaks once more when its client is forgotten, in a
        traceback."""
        host, _, port = self.address.rpartition("://")[2].rpartition(":")
        return bool(host) and port.isascii() and port.isdigit() and 0 < int(port) < 2**16


def scheduler_of(cluster: str | Scheduler) -> Scheduler:
    """The scheduler that is meant by its address alone, or by itself. Raises UsageError."""
    if isinstance(cluster, Scheduler):
        return cluster
    if not isinstance(cluster, str):
        raise UsageError(f"`cluster` is an address or a Scheduler, not {cluster!r}")
    return Scheduler(cluster)


def _distributed_security() -> Any:
    try:
        from distributed.security import Security
    except ImportError:
        raise UsageError(f"`--cluster` needs dask.distributed: {how_to_get('distributed')}") from None
    return Security


def _check_files(authority: str, certificate: str, key: str | None) -> None:
    """Raises UsageError unless they are what they should be. Certificates may be texts, as dask's configuration has
    them: these are dask's to check."""
    import ssl

    if any("\n" in text for text in (authority, certificate, key or "")):
        return
    for option, path in (("--tls-ca-file", authority), ("--tls-cert", certificate), ("--tls-key", key)):
        if path is not None and not Path(path).is_file():
            raise UsageError(f"`{option} {path}`: there is no such file")
    try:
        ssl.create_default_context(cafile=authority)
    except PermissionError:
        raise UsageError(f"`--tls-ca-file {authority}` cannot be read: permission denied") from None
    except (OSError, ValueError):
        raise UsageError(f"`--tls-ca-file {authority}` holds no certificate in PEM format") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as problem:
        raise UsageError(_unusable(certificate, key, problem)) from None


class _Locked(ValueError):
    """A private key with a passphrase: dask would ask for it on the terminal, here and in every worker."""


def _no_password() -> str:
    raise _Locked


def _unusable(certificate: str, key: str | None, problem: Exception) -> str:
    """Why a certificate and its key cannot be used."""
    held = f"`--tls-key {key}`" if key else f"`--tls-cert {certificate}`"
    if isinstance(problem, _Locked):
        return f"{held} holds a key with a passphrase: take it off, `openssl pkey -in OLD.key -out NEW.key`"
    if isinstance(problem, PermissionError):
        return f"`--tls-cert {certificate}` or its key cannot be read: permission denied"
    if getattr(problem, "reason", None) == "KEY_VALUES_MISMATCH":
        return f"{held} holds the key of another certificate than `{certificate}`"
    if key is None:
        return f"{held} holds no private key, and `--tls-key` is not given; or no certificate: both are PEM"
    return f"`--tls-cert {certificate}` and {held} hold no certificate with its private key in PEM format"
