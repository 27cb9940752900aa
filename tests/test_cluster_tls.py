"""A scheduler with certificates: who has them gets the bits of a serial run, who has not is told what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from circuitdsl.api import UsageError, loads
from circuitdsl.cli.main import run as command_line
from circuitdsl.explore.sweep import sweep
from circuitdsl.runtime import where
from circuitdsl.runtime.scheduler import Scheduler

distributed = pytest.importorskip("distributed")
trustme = pytest.importorskip("trustme")

TEXT = """circuit small {
  param eta = 0.1
  input x: 2   target y: 2
  neuron out: 2 { dendrite basal   rate = softmax(basal) }
  neuron err: 2 { rate = y - out }
  synapse W: x -> out { dw = eta * err * pre }
  loss = cross_entropy(out, y)
  task t { data = two_moons(n=40)   epochs = 1   batch = 8   metric = accuracy(out, y) }
}"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ca.pem`, and of `me` a certificate and key apart and in one file; the same of `other`, of another authority."""
    folder = tmp_path_factory.mktemp("certificates")
    for authority, name in (("ca.pem", "me"), ("other-ca.pem", "other")):
        ca = trustme.CA()
        issued = ca.issue_cert("localhost")
        ca.cert_pem.write_to_path(folder / authority)
        issued.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
        issued.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}-both.pem")
    (folder / "no.pem").write_text("no certificate\n")
    return folder


def options(files: Path, *names: str) -> list[str]:
    """The command line's certificates: authority, certificate, key."""
    given = zip(("--tls-ca-file", "--tls-cert", "--tls-key"), names, strict=False)
    return [word for option, name in given for word in (option, str(files / name))]


@pytest.fixture(scope="module")
def address(files: Path) -> Iterator[str]:
    """A scheduler and a worker, a process each, that ask for certificates."""
    roles = ("client", "scheduler", "worker")
    given = {f"tls_{role}_cert": str(files / "me.pem") for role in roles}
    given |= {f"tls_{role}_key": str(files / "me.key") for role in roles}
    security = distributed.Security(require_encryption=True, tls_ca_file=str(files / "ca.pem"), **given)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, protocol="tls", security=security, dashboard_address=":0"
    ) as started:
        yield started.scheduler_address


def test_the_bits_of_a_serial_run(address: str, files: Path) -> None:
    circuit = loads(TEXT, "small")
    mine = Scheduler(address, files / "ca.pem", files / "me.pem", files / "me.key")
    there: dict[str, Any] = {"seeds": 2, "target": "reference"}
    far = sweep(circuit, {"eta": [0.1, 0.2]}, **there, cluster=mine)
    assert far.identical(sweep(circuit, {"eta": [0.1, 0.2]}, **there, jobs=1))


def test_every_command_takes_certificates(
    address: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.circ").write_text(TEXT)
    line = ["sweep", "small.circ", "--set", "eta=0.1", "--target", "reference", "--cluster", address]
    assert command_line([*line, *options(files, "ca.pem", "me-both.pem")]) == 0
    assert "1 seed each" in capsys.readouterr().out
    for command in (["certify", "small.circ"], ["evolve", "small.circ", "--genome", "eta"], ["study", "optimizers"]):
        assert command_line([*command, *options(files, "ca.pem", "me.pem")]) == 2
        assert "name its scheduler, `--cluster tls://host:8786`" in capsys.readouterr().err


def test_who_has_no_certificate_of_the_authority_is_not_let_in(
    address: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, "PATIENCE", 1)
    with pytest.raises(UsageError, match=r"no dask scheduler answers at `tls.*of the same authority as these\?"):
        where.Cluster(Scheduler(address, files / "other-ca.pem", files / "other.pem", files / "other.key"))
    with pytest.raises(UsageError, match=r"no dask scheduler answers .* with certificates is reached at tls://"):
        where.Cluster(address.replace("tls", "tcp"))


#: Certificates that cannot be meant, and what is said of them; nothing is asked of the network.
WRONG = {
    "needs certificates, and `--tls-ca-file` is missing": [],
    "needs certificates, and `--tls-cert` is missing": ["ca.pem"],
    "nowhere.pem`: there is no such file": ["nowhere.pem", "me.pem"],
    "nowhere.key`: there is no such file": ["ca.pem", "me.pem", "nowhere.key"],
    "no.pem` holds no certificate in PEM format": ["no.pem", "me.pem", "me.key"],
    "holds the key of another certificate": ["ca.pem", "me.pem", "other.key"],
    "me.pem` holds no private key, and `--tls-key` is not given": ["ca.pem", "me.pem"],
    "hold no certificate with its private key in PEM format": ["ca.pem", "no.pem", "me.key"],
    "holds a key with a passphrase": ["ca.pem", "me.pem", "locked.key"],
}


@pytest.mark.parametrize("said", WRONG)
def test_certificates_that_cannot_be_used(said: str, files: Path) -> None:
    from cryptography.hazmat.primitives import serialization as keys

    key = keys.load_pem_private_key((files / "me.key").read_bytes(), None)
    locked = key.private_bytes(keys.Encoding.PEM, keys.PrivateFormat.PKCS8, keys.BestAvailableEncryption(b"secret"))
    (files / "locked.key").write_bytes(locked)
    with pytest.raises(UsageError) as caught:
        Scheduler("tls://127.0.0.1:8786", *(files / name for name in WRONG[said])).security()
    assert said in str(caught.value)


def test_certificates_are_not_sent_in_the_clear(files: Path) -> None:
    for plain in ("tcp://10.0.0.1:8786", "10.0.0.1:8786"):
        with pytest.raises(UsageError, match=r"in the clear: write `tls://10.0.0.1:8786`"):
            Scheduler(plain, files / "ca.pem")
    assert Scheduler("tcp://10.0.0.1:8786").security() is None
    with pytest.raises(UsageError, match="an address or a Scheduler, not 8786"):
        where.Cluster(8786)  # type: ignore[arg-type]


def test_certificates_of_dasks_own_configuration(files: Path) -> None:
    import dask

    own = {"ca-file": "ca.pem", "client.cert": "me.pem", "client.key": "me.key"}
    with dask.config.set({f"distributed.comm.tls.{key}": str(files / name) for key, name in own.items()}):
        assert Scheduler("tls://10.0.0.1:8786").security().tls_client_cert == str(files / "me.pem")
