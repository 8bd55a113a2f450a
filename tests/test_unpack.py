"""Unpacking: what comes out, what is refused, in how much memory and time."""

import bz2
import contextlib
import gzip
import itertools
import lzma
import os
import random
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glancectl.errors import Exit, GlancectlError, IntegrityError, RefusedError
from glancectl.transfer.unpack import KINDS, unpacked

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

damaged = pytest.mark.reliability("damaged compressed data, unpacked")

MIB = 1 << 20
MAGIC = {
    "gzip": b"\x1f\x8b\x08",
    "bzip2": b"BZh9",
    "xz": b"\xfd7zXZ\x00\x00\x04",
    "zstd": b"\x28\xb5\x2f\xfd",
}
TEXT = b"It is not the bytes that one has, it is the bytes that one gets.\n" * 2


def pack_zstd(data: bytes, **parameters: int) -> bytes:
    """Return one frame, with a checksum as zstd(1) makes it."""
    options = {zstd.CompressionParameter.checksum_flag: 1}
    options |= {zstd.CompressionParameter[name]: value for name, value in parameters.items()}
    return zstd.compress(data, options=options)


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": pack_zstd,
}


def skippable(payload: bytes, number: int = 0) -> bytes:
    """Return a zstd frame that says nothing about the data (RFC 8878, section 3.1.2)."""
    return struct.pack("<II", 0x184D2A50 + number, len(payload)) + payload


def cut(data: bytes, size: int) -> list[bytes]:
    """Return ``data`` in chunks of ``size`` bytes."""
    return [data[at : at + size] for at in range(0, len(data), size)]


def unpack(data: bytes, kind: str, size: int = MIB) -> bytes:
    return b"".join(unpacked(cut(data, size), kind, "disk"))


def failure(data: bytes, kind: str, size: int = MIB) -> GlancectlError:
    """Return the error that unpacking ends with."""
    with pytest.raises(GlancectlError) as caught:
        unpack(data, kind, size)
    return caught.value


@pytest.fixture(autouse=True)
def time_is_bounded() -> Iterator[None]:
    """Let a loop without end fail its test instead of keeping the run."""

    def ring(*_: object) -> None:
        # Not TimeoutError: an OSError is what damaged bzip2 data end in.
        raise AssertionError("a test of unpacking took more than two minutes")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


# What comes out

payloads = st.binary(max_size=500) | st.builds(
    bytes.__mul__, st.binary(max_size=40), st.integers(0, 5000)
)


@pytest.mark.reliability("compressed data of many members, in chunks cut anywhere")
@pytest.mark.parametrize("kind", KINDS)
@given(
    members=st.lists(payloads, min_size=1, max_size=3),
    places=st.lists(st.integers(0, 1 << 20), max_size=8),
)
def test_round_trip(kind, members, places):
    data = b"".join(PACK[kind](member) for member in members)
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    chunks = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert b"".join(unpacked(chunks, kind, "disk")) == b"".join(members)


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_of_one_byte(kind):
    data = PACK[kind](TEXT) + PACK[kind](b"") + PACK[kind](TEXT)
    assert unpack(data, kind, 1) == TEXT * 2


@pytest.mark.parametrize("size", [MIB - 1, MIB, MIB + 1, 3 * MIB, 3 * MIB + 7])
@pytest.mark.parametrize("fill", ["zeros", "noise"])
@pytest.mark.parametrize("kind", KINDS)
def test_pieces_are_of_1_mib_at_most(kind, fill, size):
    data = bytes(size) if fill == "zeros" else random.Random(size).randbytes(size)
    packed = PACK[kind](data)
    for chunk_size in (1, 7) if fill == "zeros" else (65_535, MIB):
        pieces = list(unpacked(cut(packed, chunk_size), kind, "disk"))
        assert b"".join(pieces) == data
        assert min(map(len, pieces)) > 0
        assert max(map(len, pieces)) <= MIB


@pytest.mark.parametrize("kind", KINDS)
def test_it_flows(kind):
    """The first piece comes out when no more than the first chunk has gone in."""
    chunks = cut(PACK[kind](random.Random(1).randbytes(3 * MIB)), MIB)
    left = iter(chunks)
    pieces = unpacked(left, kind, "disk")
    assert next(pieces)
    assert list(left) == chunks[1:]


@pytest.mark.parametrize(
    "command",
    [
        "gzip -1",
        "gzip -9 -n",
        "bzip2 -1",
        "bzip2 -9",
        "xz -0 --check=none",
        "xz -6 --check=crc32",
        "xz -6 --check=sha256",
        "xz -9 -e",
        "xz -T2 --block-size=65536",
        "xz --x86 --lzma2=preset=1",
    ],
)
def test_what_the_programs_make(command):
    data = os.urandom(300_000) + bytes(300_000) + TEXT * 1000
    kind = command.split()[0]
    made = [
        subprocess.run([*command.split(), "-c"], input=part, capture_output=True, check=True).stdout
        for part in (data, b"", TEXT)
    ]
    assert unpack(b"".join(made), kind) == data + TEXT


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({"compression_level": -5}, id="fast"),
        pytest.param({"compression_level": 19}, id="level 19"),
        pytest.param({"checksum_flag": 0}, id="no checksum"),
        pytest.param({"content_size_flag": 0}, id="no size"),
        pytest.param({"enable_long_distance_matching": 1, "window_log": 27}, id="long"),
    ],
)
def test_what_zstd_makes(parameters):
    data = os.urandom(300_000) + bytes(300_000) + TEXT * 1000
    assert unpack(pack_zstd(data, **parameters) * 2, "zstd") == data * 2


@pytest.mark.parametrize("size", [61, MIB])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(skippable(b"name") + pack_zstd(TEXT), TEXT, id="start"),
        pytest.param(pack_zstd(TEXT) + skippable(b"seek table"), TEXT, id="end"),
        pytest.param(pack_zstd(b"a") + skippable(b"", 15) + pack_zstd(b"b"), b"ab", id="between"),
        pytest.param(skippable(bytes(3 * MIB), 7) + pack_zstd(b"a"), b"a", id="long"),
        pytest.param(skippable(b"") * 3, b"", id="nothing else"),
    ],
)
def test_skippable_zstd_frames(data, expected, size):
    assert unpack(data, "zstd", size) == expected


@pytest.mark.parametrize(
    ("kind", "between", "after"),
    [
        pytest.param("gzip", 0, 1, id="gzip 1"),
        pytest.param("gzip", 0, 10_000, id="gzip tape"),
        pytest.param("gzip", 0, 2 * MIB, id="gzip long"),
        pytest.param("xz", 0, 4, id="xz 4"),
        pytest.param("xz", 8, 0, id="xz between"),
        pytest.param("xz", 4, 2 * MIB, id="xz long"),
    ],
)
def test_padding(kind, between, after):
    packed = PACK[kind](TEXT)
    data = packed + bytes(between) + packed + bytes(after)
    assert unpack(data, kind) == TEXT * 2
    assert unpack(data, kind, 11) == TEXT * 2


# What is refused


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_cut_anywhere_is_an_error(kind):
    data = PACK[kind](TEXT)
    for end in range(len(data)):
        for size in (1, MIB):
            assert failure(data[:end], kind, size).exit == Exit.INTEGRITY, end
            if end:  # a cut between two members cannot be known
                assert failure(data + data[:end], kind, size).exit == Exit.INTEGRITY, end
    assert unpack(data, kind) == TEXT


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_an_error_or_means_nothing(kind):
    """Some bits may be anything: the time in gzip's header, Huffman codes without use."""
    data = PACK[kind](TEXT)
    for at, bit in itertools.product(range(len(data)), range(8)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << bit
        with contextlib.suppress(GlancectlError):
            assert unpack(bytes(flipped), kind) == TEXT, (at, bit)


@pytest.mark.parametrize("size", [1, MIB])
@pytest.mark.parametrize(
    ("kind", "garbage"),
    [
        *(
            pytest.param(kind, garbage, id=f"{kind} {name}")
            for kind in KINDS
            for name, garbage in (
                ("byte", b"x"),
                ("line", b"\n"),
                ("long", b"\xff" * 3 * 65_536),
                ("half a magic number", MAGIC[kind][:2]),
                ("other kind", PACK["xz" if kind == "gzip" else "gzip"](TEXT)),
                ("zeros and a byte", bytes(8) + b"x"),
            )
        ),
        pytest.param("gzip", bytes(8) + gzip.compress(TEXT), id="gzip zeros and a member"),
        pytest.param("bzip2", b"\x00", id="bzip2 zero"),
        pytest.param("zstd", bytes(4), id="zstd zeros"),
        pytest.param("xz", bytes(1), id="xz 1 zero"),
        pytest.param("xz", bytes(3), id="xz 3 zeros"),
        pytest.param("xz", bytes(70_001), id="xz 70001 zeros"),
        pytest.param("xz", bytes(2) + lzma.compress(TEXT), id="xz zeros and a member"),
    ],
)
def test_trailing_garbage(kind, garbage, size):
    error = failure(PACK[kind](TEXT) * 2 + garbage, kind, size)
    assert isinstance(error, IntegrityError)
    assert error.message == (
        f"disk has trailing garbage after its {kind} data, {2 * len(TEXT)} bytes unpacked"
    )
    assert error.hint == "unpack it first and pipe it in"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunks", [[], [b""], [b"", b""]], ids=["none", "empty", "two empty"])
def test_no_data_at_all_is_a_truncated_stream(kind, chunks):
    with pytest.raises(IntegrityError) as caught:
        list(unpacked(chunks, kind, "disk"))
    assert caught.value.message == (
        f"disk ended in the middle of its {kind} data, 0 bytes unpacked"
    )
    assert caught.value.hint == "copy or download it again"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x00", id="zero"),
        pytest.param(b"QFI\xfb" + bytes(100), id="qcow2"),
        pytest.param(b"BZ", id="two bytes"),
        pytest.param(b"\n" * MIB, id="lines"),
    ],
)
def test_other_data_is_not_taken_for_corrupt(kind, data):
    error = failure(data, kind)
    assert isinstance(error, IntegrityError)
    assert error.message == f"disk is not {kind} data that can be unpacked and verified"
    assert error.hint == "--decompress none sends it as it is"


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("gzip", "Error -3 while decompressing data: incorrect data check"),
        ("bzip2", "Invalid data stream"),
        ("xz", "Corrupt input data"),
        ("zstd", "Unable to decompress Zstandard data: Restored data doesn't match checksum"),
    ],
)
def test_a_wrong_checksum(kind, cause):
    """Where it is: bzip2 after the block's magic number, xz before index (12) and footer (12)."""
    good, data = PACK[kind](TEXT), bytearray(PACK[kind](TEXT))
    at = {"gzip": -8, "bzip2": 10, "xz": -12 - 12 - 8, "zstd": -4}[kind]
    data[at] ^= 1
    error = failure(good + bytes(data), kind)
    assert isinstance(error, IntegrityError)
    assert error.message == f"disk has corrupt {kind} data, {len(TEXT)} bytes unpacked"
    assert error.cause == cause
    assert error.hint == "copy or download it again"


def test_a_wrong_length_in_gzip():
    data = bytearray(gzip.compress(TEXT))
    data[-4:] = struct.pack("<I", len(TEXT) + 1)
    assert failure(bytes(data), "gzip").cause == (
        "Error -3 while decompressing data: incorrect length check"
    )


def test_an_xz_check_that_nobody_knows_is_refused():
    """liblzma would unpack such a stream and verify nothing."""
    noise = random.Random(2).randbytes(500)
    data = bytearray(lzma.compress(noise, check=lzma.CHECK_CRC32))
    flags = b"\x00\x02"  # 2: a check of 4 bytes, reserved (section 2.1.1.2)
    data[6:12] = flags + struct.pack("<I", zlib.crc32(flags))
    data[-12:-2] = struct.pack("<I", zlib.crc32(data[-8:-4] + flags)) + data[-8:-4] + flags
    data[data.index(noise)] ^= 1
    assert len(lzma.decompress(data)) == len(noise)  # so it is
    assert isinstance(failure(bytes(data), "xz"), IntegrityError)
    assert isinstance(failure(lzma.compress(TEXT) + bytes(data), "xz"), IntegrityError)


def test_zstd_data_that_needs_a_dictionary():
    words = [b"alpha ", b"beta ", b"gamma ", b"delta "]
    rng = random.Random(3)
    samples = [b"".join(rng.choices(words, k=50)) for _ in range(500)]
    trained = zstd.compress(samples[0], zstd_dict=zstd.train_dict(samples, 4000))
    error = failure(trained, "zstd")
    assert isinstance(error, IntegrityError)
    assert error.cause == "Unable to decompress Zstandard data: Dictionary mismatch"
    raw = zstd.ZstdDict(b"".join(samples[:9]), is_raw=True)
    assert isinstance(failure(zstd.compress(samples[0], zstd_dict=raw), "zstd"), IntegrityError)


def xz_with_dictionary(size: int) -> bytes:
    """Return a short xz stream that says that it needs a dictionary of ``size`` bytes.

    Made by hand from one with a small dictionary: liblzma takes several times the size to pack.
    """
    data = bytearray(lzma.compress(TEXT, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]))
    header = slice(12, 12 + (data[12] + 1) * 4)
    # Sizes are 2^n and 2^n + 2^(n-1) from 4 KiB on (section 5.3.1); the filter: ID, 1, that byte.
    at = data.index(b"\x21\x01", header.start, header.stop) + 2
    data[at] = (size.bit_length() - 1 - 12) * 2
    data[header.stop - 4 : header.stop] = struct.pack(
        "<I", zlib.crc32(data[header.start : header.stop - 4])
    )
    return bytes(data)


def zstd_with_window(log: int) -> bytes:
    """Return a frame that unpacks to ``TEXT`` and says that it needs a window of 2^log bytes.

    Without a content size and a checksum (RFC 8878, section 3.1.1), of one last raw block.
    """
    frame = MAGIC["zstd"] + bytes([0, (log - 10) << 3])
    return frame + struct.pack("<I", len(TEXT) << 3 | 1)[:3] + TEXT


@pytest.mark.parametrize(
    ("kind", "data", "cause"),
    [
        pytest.param(
            "xz", xz_with_dictionary(512 * MIB), "Memory usage limit exceeded", id="xz 512 MiB"
        ),
        pytest.param(
            "zstd",
            zstd_with_window(28),
            "Unable to decompress Zstandard data: Frame requires too much memory for decoding",
            id="zstd 256 MiB",
        ),
    ],
)
def test_too_much_memory_is_refused(kind, data, cause):
    error = failure(PACK[kind](TEXT) + data, kind)
    assert isinstance(error, RefusedError)
    assert error.message == "disk needs more memory to unpack than is allowed"
    assert error.cause == cause
    assert error.hint == "unpack it first and pipe it in"


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        pytest.param("xz", xz_with_dictionary(128 * MIB), id="xz 128 MiB"),
        pytest.param("zstd", zstd_with_window(27), id="zstd 128 MiB"),
    ],
)
def test_as_much_memory_as_allowed(kind, data):
    assert unpack(data, kind) == TEXT


def test_an_error_of_the_source_passes_through():
    def broken() -> Iterator[bytes]:
        yield gzip.compress(TEXT)[:30]
        raise OSError("the line is down")

    with pytest.raises(OSError, match="the line is down"):
        list(unpacked(broken(), "gzip", "disk"))


@damaged
@pytest.mark.parametrize("kind", KINDS)
@given(noise=st.binary(max_size=400), size=st.integers(1, 64))
def test_noise_after_the_magic_number(kind, noise, size):
    with contextlib.suppress(GlancectlError):
        unpack(MAGIC[kind] + noise, kind, size)


@damaged
@pytest.mark.parametrize("kind", KINDS)
@given(noise=st.binary(min_size=1, max_size=20), at=st.integers(0, 200), drop=st.integers(0, 20))
def test_noise_within_a_stream(kind, noise, at, drop):
    """What checksums cover is right or an error."""
    good = PACK[kind](TEXT)
    bad = good[:at] + noise + good[at + drop :]
    with contextlib.suppress(GlancectlError):
        assert unpack(bad, kind) in (TEXT, TEXT * 2)


# In how much memory and time

MEASURE = """
import sys
from glancectl.transfer.unpack import unpacked

def peak():  # bytes; not getrusage, which counts what was there before exec
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024

def chunks(path):
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk

kind, path = sys.argv[1:]
next(unpacked(chunks(path), kind, path))
before = peak()
print(sum(map(len, unpacked(chunks(path), kind, path))), peak() - before)
"""


@pytest.mark.parametrize(
    ("kind", "packer", "mebibytes"),
    [
        pytest.param("gzip", lambda: zlib.compressobj(1, wbits=31), 1024, id="gzip"),
        pytest.param("bzip2", bz2.BZ2Compressor, 256, id="bzip2"),
        pytest.param("xz", lambda: lzma.LZMACompressor(preset=0), 256, id="xz"),
        pytest.param("zstd", zstd.ZstdCompressor, 1024, id="zstd"),
    ],
)
def test_a_bomb_never_sits_in_memory(tmp_path: Path, kind, packer, mebibytes):
    path = tmp_path / "bomb"
    packing = packer()
    with path.open("wb") as file:
        for _ in range(mebibytes):
            file.write(packing.compress(bytes(MIB)))
        file.write(packing.flush())
    command = [sys.executable, "-c", MEASURE, kind, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    size, grown = map(int, done.stdout.split())
    assert size == mebibytes * MIB
    assert grown < 8 * MIB


def test_time_grows_with_the_data_where_members_are_tiny():
    """Were the rest of a chunk copied at each member's end, 16 times the data took 256 times."""
    few, many = (gzip.compress(b"") * count for count in (10_000, 160_000))
    assert unpack(few[:200], "gzip") == b""
    spent = []
    for data in (few, many):
        started = time.process_time_ns()
        assert b"".join(unpacked([data], "gzip", "disk")) == b""
        spent.append(time.process_time_ns() - started)
    assert spent[1] < 64 * spent[0]
