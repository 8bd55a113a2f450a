"""What options do to a source on its way: --decompress, --checksum from files, --header."""

import bz2
import gzip
import hashlib
import http.server
import lzma
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Project, run
from faultproxy import FaultProxy

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: zstd.compress(
        data, options={zstd.CompressionParameter.checksum_flag: True}
    ),
}
RAW = ("--disk-format", "raw")


def sha512(data: bytes) -> str:
    return hashlib.sha512(data).hexdigest()


def create(source: object, *options: object, code: int = 0, **how: bytes) -> dict[str, object]:
    """Create an image of ``source`` and return its record; nothing after a failure."""
    result = run("image", "create", "x", "--file", source, "-f", "json", *options, code=code, **how)
    return result.json if code == 0 else {}


def error(source: object, *options: object, code: int) -> str:
    """Return what is said when no image can be made of ``source``; see that none is left."""
    result = run("image", "create", "x", "--file", source, *options, code=code)
    assert run("image", "list", "-q").out == ""
    return result.err


# unpacking


@pytest.mark.parametrize("kind", PACK)
def test_compressed_sources_are_unpacked(project: Project, raw: Path, kind: str) -> None:
    data = raw.read_bytes()
    packed = raw.with_name("packed")
    packed.write_bytes(PACK[kind](data[:100]) + PACK[kind](data[100:]))  # two members
    result = run("image", "create", "x", "--file", packed, *RAW, "-f", "json")
    assert result.json["os_hash_value"] == sha512(data)
    assert f"{packed} is unpacked on its way ({kind}); --decompress none sends it as it is" in (
        result.err
    )
    assert create("-", *RAW, stdin=packed.read_bytes())["size"] == len(data)
    assert create(packed, *RAW, "--decompress", kind)["size"] == len(data)
    for as_it_is in (("--decompress", "none"), ("--no-sniff",)):
        assert create(packed, *RAW, *as_it_is)["size"] == packed.stat().st_size
    assert create(packed, *RAW, "--no-sniff", "--decompress", kind)["size"] == len(data)


def test_a_url_is_unpacked(project: Project, raw: Path, served: tuple[str, Path]) -> None:
    url, folder = served
    (folder / "disk.raw.gz").write_bytes(gzip.compress(raw.read_bytes()))
    assert create(f"{url}/disk.raw.gz", *RAW)["os_hash_value"] == sha512(raw.read_bytes())


def test_the_format_is_that_of_what_is_inside(
    project: Project, qcow2: Path, proxy: FaultProxy
) -> None:
    packed = qcow2.with_name("disk.gz")
    packed.write_bytes(gzip.compress(qcow2.read_bytes()))
    assert create(packed)["disk_format"] == "qcow2"
    proxy.requests.clear()
    result = run("image", "create", "x", "--file", packed, "--disk-format", "vmdk", code=6)
    assert "the data is qcow2, not vmdk" in result.err
    assert proxy.requests == []


def test_other_containers_keep_what_they_are_given(project: Project, raw: Path) -> None:
    packed = raw.with_name("packed.gz")
    packed.write_bytes(gzip.compress(raw.read_bytes()))
    options = ("--container-format", "compressed", *RAW)
    assert create(packed, *options)["size"] == packed.stat().st_size
    assert create(packed, *options, "--decompress", "gzip")["size"] == raw.stat().st_size
    run("image", "create", "later", *options)
    record = run("image", "upload", "later", packed, "-f", "json").json
    assert record["size"] == packed.stat().st_size


def test_upload_and_stage_unpack_too(project: Project, raw: Path) -> None:
    packed = raw.with_name("packed.xz")
    packed.write_bytes(lzma.compress(raw.read_bytes()))
    for verb in ("upload", "stage"):
        run("image", "create", verb, *RAW)
        record = run("image", verb, verb, packed, "-f", "json").json
        assert record["size"] == raw.stat().st_size


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("harm", ["cut", "flip", "garbage"])
def test_a_corrupt_stream_leaves_nothing(project: Project, raw: Path, kind: str, harm: str) -> None:
    packed = bytearray(PACK[kind](raw.read_bytes()))
    if harm == "cut":
        del packed[-1:]
    elif harm == "flip":
        packed[len(packed) // 2] ^= 0xFF
    else:
        packed += b"garbage"
    raw.write_bytes(packed)
    assert "glancectl: error: " in error(raw, *RAW, code=6)


def test_what_is_not_compressed_so(project: Project, raw: Path, proxy: FaultProxy) -> None:
    assert "is not compressed with xz" in error(raw, *RAW, "--decompress", "xz", code=1)
    packed = raw.with_name("packed")
    packed.write_bytes(gzip.compress(b""))
    assert f"{packed} unpacks to nothing" in error(packed, *RAW, code=1)
    assert proxy.count("POST") == 0
    assert create(packed, *RAW, "--allow-empty")["size"] == 0


def test_a_broken_upload_unpacks_again_from_the_start(
    project: Project, raw: Path, proxy: FaultProxy
) -> None:
    packed = raw.with_name("packed.gz")
    packed.write_bytes(gzip.compress(raw.read_bytes()))
    proxy.add("^PUT .*/file", cut_request=1_500_000)
    assert create(packed, *RAW)["os_hash_value"] == sha512(raw.read_bytes())
    assert proxy.count("^PUT .*/file") == 2


# checksums


def test_a_checksum_is_of_the_compressed_bytes(project: Project, raw: Path) -> None:
    data = raw.read_bytes()
    packed = raw.with_name("packed.gz")
    packed.write_bytes(gzip.compress(data))
    right = hashlib.sha256(packed.read_bytes()).hexdigest()
    assert create(packed, *RAW, "--checksum", f"sha256:{right}")["os_hash_value"] == sha512(data)
    run("image", "delete", "x")
    wrong = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert "the source does not match --checksum sha256" in error(
        packed, *RAW, "--checksum", wrong, code=6
    )


@pytest.mark.parametrize("form", ["{hex} *{name}", "SHA256 ({name}) = {hex}", "{hex}"])
def test_a_file_or_a_url_has_the_checksum(
    project: Project, raw: Path, served: tuple[str, Path], form: str
) -> None:
    url, folder = served
    data = raw.read_bytes()
    (folder / raw.name).write_bytes(data)
    sums = folder / "SHA256SUMS"
    for hex_, code in ((hashlib.sha256(data).hexdigest(), 0), ("0" * 64, 6)):
        sums.write_text(form.format(hex=hex_, name=raw.name) + "\n")
        for source in (raw, f"{url}/{raw.name}"):
            for where in (sums, f"{url}/SHA256SUMS"):
                create(source, *RAW, "--checksum", where, code=code)


def test_a_checksum_that_cannot_be_had(
    project: Project, raw: Path, served: tuple[str, Path], proxy: FaultProxy
) -> None:
    url, folder = served
    (folder / "SUMS").write_text(f"{'0' * 64}  other.raw\n")
    (folder / "long").write_bytes(b"#" * ((1 << 20) + 1))
    for where, words in {
        "absent": "cannot read absent",
        f"{url}/absent": "404",
        f"{url}/SUMS": f"{url}/SUMS has no digest of {raw.name}, only of other.raw",
        f"{url}/long": "is too large for a file of checksums",
    }.items():
        assert words in error(raw, *RAW, "--checksum", where, code=1)
    assert proxy.count("POST") == 0


class _Guarded(http.server.BaseHTTPRequestHandler):
    """Serves one byte string to whoever shows the header, and writes down who did."""

    data = os.urandom(1000)
    seen: list[tuple[str, str | None]]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["X-Key"]))
        body = self.data
        if self.path == "/SUMS":
            body = f"{hashlib.sha256(self.data).hexdigest()}  disk.raw\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def guarded() -> Iterator[Callable[[], tuple[str, list[tuple[str, str | None]]]]]:
    """Start one more such server: its URL, and the requests that it got."""
    servers = []

    def start() -> tuple[str, list[tuple[str, str | None]]]:
        handler = type("Guarded", (_Guarded,), {"seen": []})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}", handler.seen

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_headers_go_to_checksums_of_the_same_server_only(
    project: Project, guarded: Callable[[], tuple[str, list[tuple[str, str | None]]]]
) -> None:
    (here, seen), (elsewhere, seen_there) = guarded(), guarded()
    for where in (here, elsewhere):
        create(f"{here}/disk.raw", *RAW, "--header", "X-Key: s3cret", "--checksum", f"{where}/SUMS")
    assert seen == [("/disk.raw", "s3cret"), ("/SUMS", "s3cret"), ("/disk.raw", "s3cret")]
    assert seen_there == [("/SUMS", None)]


# what an upload into a record says


def test_upload_tells_how_to_set_the_format_of_its_record(project: Project, raw: Path) -> None:
    image_id = run("image", "create", "x", "-q").out.strip()
    assert f"hint: for glancectl image update {image_id}: --disk-format says what it is" in (
        run("image", "upload", "x", raw, code=1).err
    )
