"""TLS: verified unless --insecure is typed, with the system's CAs or with --cacert."""

import datetime
import ipaddress
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from conftest import Project, run
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from faultproxy import FaultProxy


def self_signed(folder: Path, address: str, days: int) -> Path:
    """Write a certificate for ``address`` and its key into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "glancectl tests")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=400))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / f"{address}-{days}.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def secure(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Path]]:
    """Put a TLS proxy in front of Glance, called with OS_TOKEN and no Keystone; return its CA.

    cuts: after how many bytes of data downloads break off, one after another.
    """
    proxies = []
    monkeypatch.setenv("OS_TOKEN", run("auth", "token").out.strip())

    def make(address: str = "127.0.0.1", days: int = 1, cuts: Sequence[int] = ()) -> Path:
        certificate = self_signed(tmp_path, address, days)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        proxies.append(FaultProxy(project.sandbox.glance, context))
        for cut in cuts:
            proxies[-1].add("^GET .*/file", cut=cut)
        monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", proxies[-1].url)
        return certificate

    yield make
    for proxy in proxies:
        proxy.close()


def test_an_unknown_ca_is_refused_and_the_way_out_is_named(secure: Callable[..., Path]) -> None:
    ca = secure()
    result = run("image", "list", code=5)
    assert "certificate cannot be verified" in result.err
    assert "--cacert" in result.err
    run("--cacert", ca, "image", "list")
    run("--insecure", "image", "list")


@pytest.mark.parametrize(("address", "days"), [("127.0.0.2", 1), ("127.0.0.1", -1)])
def test_another_host_and_an_expired_certificate_are_refused(
    secure: Callable[..., Path], address: str, days: int
) -> None:
    ca = secure(address, days)
    result = run("--cacert", ca, "image", "list", code=5)
    assert "certificate cannot be verified" in result.err


def test_a_ca_file_that_is_none_is_a_sentence(secure: Callable[..., Path], tmp_path: Path) -> None:
    secure()
    assert "absent.pem" in run("--cacert", "absent.pem", "image", "list", code=2).err
    (tmp_path / "bad.pem").write_text("no certificate")
    assert "bad.pem" in run("--cacert", tmp_path / "bad.pem", "image", "list", code=2).err


def test_data_pass_over_tls(secure: Callable[..., Path], raw: Path) -> None:
    ca = secure()
    run("--cacert", ca, "image", "create", "x", "--file", raw, "--disk-format", "raw")
    run("--cacert", ca, "image", "download", "x", "out")
    assert Path("out").read_bytes() == raw.read_bytes()


@pytest.mark.parametrize("options", [[], ["--connections", "2"]], ids=" ".join)
def test_a_download_over_tls_goes_on_where_it_broke_off(
    secure: Callable[..., Path], raw: Path, options: list[str]
) -> None:
    ca = secure(cuts=[0, 1, 1_500_000])
    run("--cacert", ca, "image", "create", "x", "--file", raw, "--disk-format", "raw")
    result = run("--cacert", ca, "image", "download", "x", "out", *options)
    assert result.err.count("try ") == 3
    assert Path("out").read_bytes() == raw.read_bytes()
