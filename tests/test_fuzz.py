"""Damaged images: looked at, unpacked or refused, in little time and memory.

Real images are changed as transfers, disks and attackers change them: bytes replaced, put in, left
out, repeated, cut off, lengths and offsets set to extremes, pieces of other formats in their midst.
"""

import bz2
import contextlib
import gzip
import itertools
import json
import lzma
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_sniff import FAT, GPT, ISO, LUKS, MADE, MBR, OVA, UNSAFE, old_tar, overlay, tar
from test_unpack import MAGIC, PACK, TEXT, skippable, zstd

from glancectl.errors import GlancectlError, IntegrityError, RefusedError
from glancectl.transfer.sniff import COMPRESSED, choose_format, disk_format, kind, refuse_unsafe
from glancectl.transfer.unpack import KINDS, unpacked

MIB = 1 << 20
HEAD = 1 << 16  # bytes that a source gives to be looked at
PATIENCE = 60  # seconds for one input, which takes milliseconds
PIECES = 64  # of 1 MiB at most; so much is looked at of what unpacks to more

DISKS = frozenset(("qcow2", "vmdk", "vhdx", "vhd", "ploop", "vdi", "iso", "raw"))
KNOWN = DISKS | COMPRESSED | {"luks", "html", "tar", "ova", "fixed vhd", None}
ASKED = (None, "raw", "gpt", "qcow2", "vmdk", "vhd", "iso", "luks", "ami")

looked_at = pytest.mark.reliability("damaged disk images, looked at")
unpacked_or_refused = pytest.mark.reliability("damaged compressed data, unpacked")
fewer = settings(max_examples=settings().max_examples // 2)  # of each of many files


# The changes

How = Literal["put", "insert", "leave out", "repeat", "cut"]


@dataclass(frozen=True)
class Damage:
    """A change at a place, as long as ``noise`` is, ``times`` over."""

    how: How
    place: int
    noise: bytes
    times: int

    def done_to(self, data: bytes) -> bytes:
        """Return ``data`` with this change."""
        at = self.place % (len(data) + 1)
        before, after = data[:at], data[at:]
        new = self.noise * self.times
        match self.how:
            case "put":
                return before + self.noise + after[len(self.noise) :]
            case "insert":
                return before + new + after
            case "leave out":
                return before + after[len(new) :]
            case "repeat":
                return before + after[: len(new)] + after
            case "cut":
                return before


# What a length, an offset or a count may be set to, and how other formats begin.
EXTREMES = [
    number.to_bytes(width, order)
    for width in (2, 4, 8)
    for order in ("little", "big")
    for number in (0, 1, 1 << (8 * width - 1), (1 << (8 * width - 1)) - 1, (1 << (8 * width)) - 1)
]
STARTS = [
    *MAGIC.values(), b"QFI\xfb\0\0\0\x03", b"KDMV", b"COWD", b"# Disk DescriptorFile", b"vhdxfile",
    b"conectix", b"WithoutFreeSpace", b"\x7f\x10\xda\xbe", b"CD001", b"EFI PART", b"\x55\xaa",
    b"LUKS\xba\xbe", b"QED\0", b"<html", b"<!--", b"ustar\0", b"0000000\0", b'createType="',
    b'\nRW 1 SPARSE "x"\n', b"\nparentCID=0\n", b"P*M\x18\0\0\0\0",
]  # fmt: skip
NOISE = (
    st.binary(min_size=1, max_size=1)
    | st.sampled_from(EXTREMES + STARTS)
    | st.binary(min_size=1, max_size=16)
)
# Mostly in the headers.
PLACES = st.integers(0, 100) | st.integers(0, 1024) | st.integers(0, 3 * HEAD)
DAMAGES = st.lists(
    st.builds(Damage, st.sampled_from(get_args(How)), PLACES, NOISE, st.integers(1, 64)), max_size=5
)
CUTS = st.lists(st.integers(0, 3 * HEAD), max_size=6)


def damaged(data: bytes, damages: list[Damage]) -> bytes:
    for damage in damages:
        data = damage.done_to(data)
    return data


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Return ``data`` in chunks that end at some places."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@contextlib.contextmanager
def bounded_time() -> Iterator[None]:
    """Let what hangs fail. No TimeoutError: that would be an OSError, as bad bzip2 data are."""

    def ring(*_: object) -> None:
        raise AssertionError(f"one input took more than {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# What is changed

IMAGES = {
    " ".join(options[1:]): options
    for options in (
        *(made[0] for made in MADE),
        *(unsafe[0] for unsafe in UNSAFE),
        ["-f", "vpc", "-o", "subformat=fixed"],
    )
}
WRITTEN = {
    "mbr": MBR, "gpt": GPT, "iso": ISO, "iso for a stick": overlay(ISO, MBR), "fat": FAT,
    "luks": LUKS, "tar": tar("disk.img", "x"), "ova": OVA, "old tar": old_tar("disk.img"),
    "html": b'<?xml version="1.0"?>\n<!-- a -->\n<!DOCTYPE html>\n' + b"<p>text</p>\n" * 100,
    "esx extent": b"COWD" + bytes(2000), "old ploop": b"WithoutFreeSpace" + bytes(2000),
    "descriptor": b"# Disk DescriptorFile\nversion=1\n" + b'RW 1 FLAT "x"\n' * 50,
    "zeros": bytes(2000), "nothing": b"",
}  # fmt: skip
NOISY = random.Random(5).randbytes(3000)
# Blocks of all kinds: stored, compressed, of one byte over and over.
PAYLOADS = {"text": TEXT, "noise": NOISY, "zeros": bytes(300_000), "both": (TEXT + NOISY) * 3}
PACKED = {
    f"{packed_as} of {name}": (packed_as, PACK[packed_as](data))
    for packed_as in KINDS
    for name, data in PAYLOADS.items()
} | {
    f"{packed_as} of members": (
        packed_as,
        PACK[packed_as](TEXT) + PACK[packed_as](b"") + PACK[packed_as](NOISY),
    )
    for packed_as in KINDS
}
PACKED |= {
    "gzip with all of a header": (
        "gzip",
        # Extra field, name and comment (RFC 1952, section 2.3).
        b"\x1f\x8b\x08\x1c\0\0\0\0\0\x03\x04\0abcdname\0comment\0" + gzip.compress(TEXT)[10:],
    ),
    "gzip and padding": ("gzip", gzip.compress(TEXT) + bytes(512)),
    "xz and padding": ("xz", lzma.compress(TEXT) + bytes(8) + lzma.compress(TEXT)),
    "xz with a filter": (
        "xz",
        lzma.compress(NOISY, filters=[{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2}]),
    ),
    "zstd and what is skipped": (
        "zstd",
        skippable(b"name") + PACK["zstd"](TEXT) + skippable(b"", 15),
    ),
    "zstd without a size": (
        "zstd",
        zstd.compress(NOISY, options={zstd.CompressionParameter.content_size_flag: 0}),
    ),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """The first 128 KiB and the last 512 bytes of an image of each format of qemu-img."""
    program = shutil.which("qemu-img")
    if program is None:
        pytest.skip("qemu-img")
    folder = tmp_path_factory.mktemp("made")
    (folder / "base").write_bytes(bytes(MIB))
    found = {}
    for name, options in IMAGES.items():
        command = [program, "create", "-q", *options, "image", "4M"]
        subprocess.run(command, check=True, cwd=folder)
        data = (folder / "image").read_bytes()
        found[name] = data if len(data) < 2 * HEAD else data[: 2 * HEAD] + data[-512:]
    return found


# Looked at


def look_at(data: bytes) -> None:
    """Ask all there is to ask about an image, and assert that the answers agree."""
    head, tail = data[:HEAD], data[-512:]
    found, disk = kind(head, tail), disk_format(head)
    assert found in KNOWN
    assert disk in DISKS | {None}
    assert disk in (None, found) or (disk, found) == ("raw", "fixed vhd")
    with contextlib.suppress(IntegrityError):
        refuse_unsafe(head)
    for asked in ASKED:
        assert choose_format(asked, head, tail, container_format="ova") == asked
        with contextlib.suppress(IntegrityError, RefusedError):
            chosen = choose_format(asked, head, tail, container_format="bare")
            assert chosen == (disk if asked is None else asked)


@looked_at
@pytest.mark.parametrize("name", IMAGES)
@fewer
@given(damages=DAMAGES)
def test_a_damaged_image_is_looked_at(
    made: Mapping[str, bytes], name: str, damages: list[Damage]
) -> None:
    with bounded_time():
        look_at(damaged(made[name], damages))


@looked_at
@pytest.mark.parametrize("name", WRITTEN)
@fewer
@given(damages=DAMAGES)
def test_a_damaged_file_is_looked_at(name: str, damages: list[Damage]) -> None:
    with bounded_time():
        look_at(damaged(WRITTEN[name], damages))


# What patterns for text look for, over and over.
TALK = [
    b"<!--", b"-->", b"<?xml", b"?>", b"<", b">", b" ", b"\n", b"\t", b"<html", b"<!doctype", b"-",
    b'createType="', b"monolithicSparse", b'"', b"RW ", b"NOACCESS", b"parentCID", b"=", b"f",
    b"0", b"7", b"\0", b"KDMV", b"\xef\xbb\xbf",
]  # fmt: skip
UNITS = st.lists(st.sampled_from(TALK), min_size=1, max_size=3).map(b"".join)
# In front of a VMDK's descriptor: it is in the next sector, and as long as can be.
VMDK_HEADER = b"KDMV" + bytes(24) + (1).to_bytes(8, "little") + (1 << 32).to_bytes(8, "little")


@looked_at
@given(
    st.sampled_from([b"", b"<", b"<!--", b"<?xml ", VMDK_HEADER.ljust(512, b"\0")]),
    st.lists(st.tuples(UNITS, st.integers(1, HEAD)), min_size=1, max_size=5),
)
@example(b"", [(b"<!--", HEAD)])
@example(b"", [(b"<!-- -->", HEAD - 8), (b"x", 1)])
@example(b"<", [(b" ", HEAD)])
@example(VMDK_HEADER.ljust(512, b"\0"), [(b"\t", HEAD)])
@example(VMDK_HEADER.ljust(512, b"\0"), [(b"\n", HEAD), (b"parentCID", 9), (b" ", HEAD)])
def test_text_without_end_is_looked_at(start: bytes, repeated: list[tuple[bytes, int]]) -> None:
    with bounded_time():
        look_at(start + b"".join(part * (size // len(part)) for part, size in repeated))


# Unpacked


def pieces_of(data: bytes, packed_as: str, places: list[int]) -> Iterator[bytes]:
    """Unpack and yield 64 pieces at most, none of which may be large. Raises GlancectlError."""
    for piece in itertools.islice(unpacked(cut(data, places), packed_as, "disk"), PIECES):
        assert 0 < len(piece) <= MIB
        yield piece


def xz_by_the_library(data: bytes) -> bytes:
    """Unpack streams that are whole, with zeros between them in multiples of four."""
    found = b""
    while data:
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ)
        found += stream.decompress(data)
        assert stream.eof
        data = stream.unused_data.lstrip(b"\0")
        assert (len(stream.unused_data) - len(data)) % 4 == 0
    return found


REFERENCE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "bzip2": bz2.decompress,
    "xz": xz_by_the_library,
    "zstd": zstd.decompress,
}


def check_unpacking(data: bytes, packed_as: str, places: list[int]) -> None:
    """Assert that what is unpacked without an error is what the library makes of it."""
    found = list(pieces_of(data, packed_as, places))
    if len(found) < PIECES:
        assert b"".join(found) == REFERENCE[packed_as](data)


@pytest.mark.parametrize("name", PACKED)
def test_what_is_not_damaged_is_unpacked(name: str) -> None:
    packed_as, data = PACKED[name]
    assert kind(data[:HEAD]) == packed_as
    check_unpacking(data, packed_as, [1, 2, 3, 100])


@unpacked_or_refused
@pytest.mark.parametrize("name", PACKED)
@fewer
@given(damages=DAMAGES, places=CUTS)
def test_damaged_data_are_unpacked_or_refused(
    name: str, damages: list[Damage], places: list[int]
) -> None:
    packed_as, data = PACKED[name]
    with bounded_time(), contextlib.suppress(GlancectlError):
        data = damaged(data, damages)
        look_at(data)
        check_unpacking(data, packed_as, places)


# In how much memory

ALLOWED = 512 * MIB  # of address space: xz may take 256 MiB, zstd a window of 128 MiB
USED = 64 * MIB  # of memory; little of what is allowed is touched


def peak() -> int:
    """Return the most bytes that this process ever had in memory."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024


def address_space() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()


def drawn_damage(rng: random.Random) -> Damage:
    """Return a change such as those of DAMAGES."""
    noise = rng.choice([rng.randbytes(1), rng.choice(EXTREMES), rng.choice(STARTS)])
    place = rng.randrange(rng.choice([100, 1024, 3 * HEAD]))
    return Damage(rng.choice(get_args(How)), place, noise, rng.randrange(1, 65))


def measure(seed: int, count: int) -> None:
    """Look at so many damaged inputs and unpack them; print how many were whole, and the memory.

    For a process of its own, which it keeps from taking more than is allowed.
    """
    for packed_as, data in PACKED.values():
        sum(map(len, pieces_of(data, packed_as, [])))  # so that libraries are loaded
    before = peak()
    limit = address_space() + ALLOWED
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    rng = random.Random(seed)
    whole = 0
    for _ in range(count):
        packed_as, data = rng.choice([*PACKED.values()])
        data = damaged(data, [drawn_damage(rng) for _ in range(rng.randrange(1, 4))])
        look_at(data)
        with contextlib.suppress(GlancectlError):
            sum(map(len, pieces_of(data, packed_as, [rng.randrange(3 * HEAD) for _ in range(3)])))
            whole += 1
    sys.stdout.write(json.dumps({"whole": whole, "grown": peak() - before}))


@unpacked_or_refused
def test_damaged_data_take_little_memory(
    full_scale: bool, record_property: Callable[[str, object], None]
) -> None:
    count = 20_000 if full_scale else 1000
    record_property("tried", count)
    done = subprocess.run(
        [sys.executable, "-c", f"import test_fuzz; test_fuzz.measure(1, {count})"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["grown"] < USED
    assert 0 < found["whole"] < count
