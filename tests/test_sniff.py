"""What data is taken for: images made by qemu-img and headers made by hand."""

import bz2
import contextlib
import gzip
import lzma
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glancectl.errors import Exit, IntegrityError
from glancectl.transfer.sniff import choose_format, disk_format, kind, refuse_unsafe


@pytest.fixture
def qemu_img(tmp_path):
    """Return a function that makes an image of 4 MiB and returns its head and tail."""
    program = shutil.which("qemu-img")
    if program is None:
        pytest.skip("qemu-img")

    def make(*arguments: str) -> tuple[bytes, bytes]:
        path = tmp_path / "image"
        command = [program, "create", "-q", *arguments[:-1], str(path), arguments[-1]]
        subprocess.run(command, check=True, cwd=tmp_path)
        data = path.read_bytes()
        return data[:65536], data[-512:]

    return make


def at(offset: int, magic: bytes, size: int = 65536) -> bytes:
    """Return zeros with ``magic`` at an offset."""
    return bytes(offset) + magic + bytes(size - offset - len(magic))


def overlay(*heads: bytes) -> bytes:
    """Return what several heads hold together; each place is set in one of them."""
    together = 0
    for head in heads:
        together |= int.from_bytes(head, "big")
    return together.to_bytes(len(heads[0]), "big")


def mbr(*entries: bytes) -> bytes:
    table = b"".join(entries).ljust(64, b"\0")
    return at(446, table + b"\x55\xaa")


LINUX = bytes.fromhex("80202100 83aa2882 00080000 00f80700")
PROTECTIVE = bytes.fromhex("00000200 eeffffff 01000000 ffff3f00")
MBR = mbr(LINUX)
GPT = overlay(mbr(PROTECTIVE), at(512, b"EFI PART"))
ISO = at(32769, b"CD001")
QCOW2 = b"QFI\xfb\x00\x00\x00\x03" + bytes(504)
DYNAMIC_VHD = b"conectix" + bytes(504)
FOOTER = b"conectix" + bytes(504)
FAT = overlay(
    at(0, b"\xeb\x3c\x90mkfs.fat"), at(446, b"This is not a table" + bytes(45) + b"\x55\xaa")
)

MADE = [
    (["-f", "qcow2", "4M"], "qcow2"),
    (["-f", "qcow2", "-o", "compat=0.10", "4M"], "qcow2"),
    (["-f", "vmdk", "4M"], "vmdk"),
    (["-f", "vmdk", "-o", "subformat=streamOptimized", "4M"], "vmdk"),
    (["-f", "vmdk", "-o", "subformat=monolithicFlat", "4M"], "vmdk"),
    (["-f", "vdi", "4M"], "vdi"),
    (["-f", "vpc", "4M"], "vhd"),
    (["-f", "vpc", "-o", "subformat=fixed", "4M"], "vhd"),
    (["-f", "vhdx", "4M"], "vhdx"),
    (["-f", "parallels", "4M"], "ploop"),
    (["-f", "raw", "4M"], None),
]

BY_HAND = [
    ("qcow2", QCOW2, b"", "qcow2"),
    ("esx sparse extent", b"COWD" + bytes(508), b"", "vmdk"),
    ("vmdk descriptor", b"# Disk DescriptorFile\nversion=1\n", b"", "vmdk"),
    ("old ploop", b"WithoutFreeSpace" + bytes(48), b"", "ploop"),
    ("dynamic vhd", DYNAMIC_VHD, FOOTER, "vhd"),
    ("fixed vhd", MBR, FOOTER, "vhd"),
    ("fixed vhd as a stream", MBR, b"", "raw"),
    ("iso", ISO, b"", "iso"),
    ("iso for a usb stick", overlay(ISO, MBR), b"", "iso"),
    ("iso with a gpt", overlay(ISO, GPT), b"", "iso"),
    ("iso cut before its descriptor", ISO[:32769], b"", None),
    ("mbr", MBR, b"", "raw"),
    ("gpt", GPT, b"", "raw"),
    ("gpt in blocks of 4096", at(4096, b"EFI PART"), b"", "raw"),
    ("boot signature without partitions", mbr(), b"", None),
    ("partition without a size", mbr(LINUX[:12]), b"", None),
    ("boot sector of a file system", FAT, b"", None),
    ("boot signature in the wrong place", MBR[1:], b"", None),
    ("nothing", b"", b"", None),
    ("zeros", bytes(65536), bytes(512), None),
    ("text", b"hello world\n", b"", None),
]

OTHERS = [
    ("gzip", gzip.compress(b"x"), "gzip"),
    ("bzip2", bz2.compress(b"x"), "bzip2"),
    ("bzip2 of nothing", bz2.compress(b""), "bzip2"),
    ("text like bzip2", b"BZh1 is not enough", None),
    ("xz", lzma.compress(b"x"), "xz"),
    ("zstd", bytes.fromhex("28b52ffd2000010000"), "zstd"),
    ("zstd that begins with a skippable frame", bytes.fromhex("502a4d1804000000"), "zstd"),
    ("html", b"<!DOCTYPE html>\n<html>", "html"),
    ("html in capitals after blanks", b"\xef\xbb\xbf\r\n <HTML lang=en>", "html"),
    ("xhtml", b'<?xml version="1.0"?>\n<!-- a --><!-- b -->\n<!DOCTYPE  html PUBLIC', "html"),
    ("other xml", b'<?xml version="1.0"?>\n<domain type="kvm">', None),
    ("a word that begins like a tag", b"<headers>", None),
]


@pytest.mark.parametrize(
    ("arguments", "expected"), MADE, ids=lambda v: "-".join(v) if v else "none"
)
def test_disk_format_of_what_qemu_img_makes(qemu_img, arguments, expected):
    head, tail = qemu_img(*arguments)
    assert disk_format(head, tail) == expected
    assert kind(head, tail) == expected
    refuse_unsafe(head)


@pytest.mark.parametrize(
    ("head", "tail", "expected"), [c[1:] for c in BY_HAND], ids=[c[0] for c in BY_HAND]
)
def test_disk_format_of_headers(head, tail, expected):
    assert disk_format(head, tail) == expected


@pytest.mark.parametrize(("head", "expected"), [c[1:] for c in OTHERS], ids=[c[0] for c in OTHERS])
def test_kind_names_what_is_no_disk(head, expected):
    assert kind(head) == expected
    assert disk_format(head) is None


def test_kind_of_a_tar_file(tmp_path):
    path = tmp_path / "image.ova"
    with tarfile.open(path, "w") as tar:
        tar.add(__file__, "image.ovf")
    assert kind(path.read_bytes()) == "tar"


@given(st.binary(max_size=600), st.binary(max_size=600), st.sampled_from(["raw", "qcow2", None]))
def test_any_bytes_get_an_answer(head, tail, asked):
    disk_format(head, tail)
    kind(head, tail)
    with contextlib.suppress(IntegrityError):
        refuse_unsafe(head)
    with contextlib.suppress(IntegrityError):
        choose_format(asked, head, tail, container_format="bare")


@given(st.binary(max_size=200), st.integers(0, 200))
def test_a_cut_header_never_crashes(data, length):
    for whole in (QCOW2, DYNAMIC_VHD, MBR[:512] + data, b"<!--" * 50 + data):
        kind(whole[:length])
        refuse_unsafe(whole[:length])


def test_a_hostile_page_is_looked_at_quickly():
    assert kind(b"<!-- -->" * 8000 + b"x") is None
    assert kind(b"<!--" * 16000) is None
    assert kind(b" " * 65536) is None


@pytest.mark.parametrize(
    ("head", "expected"),
    [(QCOW2, "qcow2"), (ISO, "iso"), (MBR, "raw"), (bytes(512), None), (gzip.compress(b""), None)],
    ids=["qcow2", "iso", "mbr", "zeros", "gzip"],
)
def test_choose_format_fills_in_what_is_missing(head, expected):
    assert choose_format(None, head, container_format="bare") == expected


@pytest.mark.parametrize(
    ("asked", "head", "tail"),
    [
        pytest.param("qcow2", QCOW2, b"", id="the same"),
        pytest.param("qcow2", bytes(512), b"", id="not recognised"),
        pytest.param("qcow2", b"QED\0" + bytes(508), b"", id="a format without a name in Glance"),
        pytest.param("raw", MBR, b"", id="raw with an mbr"),
        pytest.param("raw", ISO, b"", id="iso as raw"),
        pytest.param("raw", MBR, FOOTER, id="fixed vhd as raw"),
        pytest.param("raw", gzip.compress(b""), b"", id="gzip as raw"),
        pytest.param("gpt", GPT, b"", id="gpt by its own name"),
        pytest.param("vhd", MBR, b"", id="fixed vhd whose footer has not been seen"),
        pytest.param("ami", QCOW2, b"", id="ami"),
        pytest.param("ari", gzip.compress(b""), b"", id="ari"),
        pytest.param("new-format", QCOW2, b"", id="a format of the future"),
    ],
)
def test_choose_format_keeps_what_was_asked(asked, head, tail):
    assert choose_format(asked, head, tail, container_format="bare") == asked


@pytest.mark.parametrize(
    ("asked", "head", "tail", "seen"),
    [
        ("qcow2", ISO, b"", "iso"),
        ("qcow2", MBR, b"", "raw"),
        ("iso", MBR, b"", "raw"),
        ("vmdk", QCOW2, b"", "qcow2"),
        ("vhd", MBR, bytes(512), "raw"),
        ("raw", QCOW2, b"", "qcow2"),
        ("raw", b"KDMV" + bytes(508), b"", "vmdk"),
        ("raw", at(64, b"\x7f\x10\xda\xbe"), b"", "vdi"),
        ("raw", DYNAMIC_VHD, FOOTER, "vhd"),
        ("raw", b"vhdxfile" + bytes(504), b"", "vhdx"),
        ("raw", b"WithoutFreeSpace" + bytes(48), b"", "ploop"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_choose_format_refuses_a_contradiction(asked, head, tail, seen):
    with pytest.raises(IntegrityError) as caught:
        choose_format(asked, head, tail, container_format="bare")
    assert caught.value.exit == Exit.INTEGRITY
    assert caught.value.message == f"the data is {seen}, not {asked}"
    assert caught.value.hint == (
        f"--disk-format {seen} says what it is, --no-sniff sends it as it is"
    )


@pytest.mark.parametrize(
    ("head", "seen", "hint"),
    [
        (gzip.compress(b""), "gzip", "unpack it first, or send it as it is with --no-sniff"),
        (b"<html>", "html", "--no-sniff sends it as it is"),
    ],
    ids=["gzip", "html"],
)
def test_what_begins_like_something_else_is_no_qcow2(head, seen, hint):
    with pytest.raises(IntegrityError, match=f"the data is {seen}, not qcow2") as caught:
        choose_format("qcow2", head, container_format="bare")
    assert caught.value.hint == hint


@pytest.mark.parametrize("container", ["ova", "docker", "compressed", None])
def test_only_bare_containers_are_looked_at(container):
    assert choose_format("raw", QCOW2, container_format=container) == "raw"
    assert choose_format(None, QCOW2, container_format=container) is None


def test_a_backing_file_is_refused(qemu_img, tmp_path):
    (tmp_path / "base").write_bytes(bytes(1 << 20))
    head, _tail = qemu_img("-f", "qcow2", "-b", "base", "-F", "raw", "4M")
    with pytest.raises(IntegrityError, match="backing file") as caught:
        refuse_unsafe(head)
    assert caught.value.exit == Exit.INTEGRITY
    assert caught.value.hint is not None
    assert "qemu-img convert -O qcow2 IN OUT" in caught.value.hint
    assert "qemu-img rebase" in caught.value.hint


def test_an_external_data_file_is_refused(qemu_img):
    head, _tail = qemu_img("-f", "qcow2", "-o", "data_file=elsewhere.raw", "4M")
    with pytest.raises(IntegrityError, match="external data file") as caught:
        refuse_unsafe(head)
    assert caught.value.hint == "qemu-img convert -O qcow2 IN OUT makes it whole"


def test_version_2_has_no_features_to_look_at():
    refuse_unsafe(QCOW2[:4] + b"\0\0\0\x02" + bytes(64) + b"\xff" * 100)


def test_only_qcow2_is_looked_into():
    refuse_unsafe(b"\xff" * 600)


def test_files_next_to_the_tests_are_no_disks():
    assert disk_format(Path(__file__).read_bytes()) is None
