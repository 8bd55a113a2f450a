"""What data is taken for: images made by qemu-img and headers made by hand.

What is filled in and what is refused is held against the real Glance, too.
"""

import bz2
import contextlib
import gzip
import io
import lzma
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from conftest import run
from hypothesis import given
from hypothesis import strategies as st

from glancectl.errors import Exit, IntegrityError, RefusedError
from glancectl.transfer.sniff import choose_format, disk_format, kind, refuse_unsafe


@pytest.fixture
def qemu_img(tmp_path):
    """Return a function that makes an image of 4 MiB with ``qemu-img create`` and returns its path.

    Beside it are a file of 1 MiB called base and, when there are more files to it, those.
    """
    program = shutil.which("qemu-img")
    if program is None:
        pytest.skip("qemu-img")
    (tmp_path / "base").write_bytes(bytes(1 << 20))

    def make(*options: str) -> Path:
        command = [program, "create", "-q", *options, "image", "4M"]
        subprocess.run(command, check=True, cwd=tmp_path)
        return tmp_path / "image"

    return make


def ends(path: Path) -> tuple[bytes, bytes]:
    """Return the head and the tail of a file, as a source gives them."""
    data = path.read_bytes()
    return data[:65536], data[-512:]


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
FIXED_VHD = ["-f", "vpc", "-o", "subformat=fixed"]
LUKS = b"LUKS\xba\xbe\x00\x01" + bytes(1016)
FAT = overlay(
    at(0, b"\xeb\x3c\x90mkfs.fat"), at(446, b"This is not a table" + bytes(45) + b"\x55\xaa")
)


def tar(*names: str) -> bytes:
    """Return an archive whose members have these names and nothing in them."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return file.getvalue()


def old_tar(name: str) -> bytes:
    """Return the archive as before POSIX.1-1988, without magic: Unix Version 7."""
    modern = tar(name)
    header = modern[:148] + b" " * 8 + modern[156:257] + bytes(255)
    return header[:148] + b"%06o\0 " % sum(header) + header[156:] + modern[512:]


OVA = tar("appliance.ovf", "disk.vmdk")

# Images that are whole, and what is filled in for them.
MADE = [
    (["-f", "qcow2"], "qcow2"),
    (["-f", "qcow2", "-o", "compat=0.10"], "qcow2"),
    (["-f", "qcow2", "-o", "compression_type=zstd,lazy_refcounts=on"], "qcow2"),
    (["-f", "vmdk"], "vmdk"),
    (["-f", "vmdk", "-o", "subformat=streamOptimized"], "vmdk"),
    (["-f", "vdi"], "vdi"),
    (["-f", "vdi", "-o", "static=on"], "vdi"),
    (["-f", "vpc"], "vhd"),
    (["-f", "vhdx"], "vhdx"),
    (["-f", "vhdx", "-o", "subformat=fixed"], "vhdx"),
    (["-f", "parallels"], "ploop"),
]

WRITTEN = [
    ("raw with an mbr", MBR, "raw"),
    ("raw with a gpt", GPT, "raw"),
    ("raw with a gpt in blocks of 4096", at(4096, b"EFI PART"), "raw"),
    ("iso", ISO, "iso"),
    ("iso for a usb stick", overlay(ISO, MBR), "iso"),
    ("iso with a gpt", overlay(ISO, GPT), "iso"),
]

# Images that Glance refuses whatever they are said to be; the file to send, what we say of it.
BACKING = "the qcow2 image has a backing file, which would be missing in the cloud"
DATA_FILE = "the qcow2 image has an external data file, which would be missing in the cloud"
VERSION = "Glance refuses qcow2 images of this version or kind"
EXTENTS = "the vmdk image needs other files, which would be missing in the cloud"
UNSAFE = [
    (["-f", "qcow2", "-b", "base", "-F", "raw"], "image", BACKING),
    (["-f", "qcow2", "-o", "compat=0.10", "-b", "base", "-F", "raw"], "image", BACKING),
    (["-f", "qcow2", "-o", "data_file=elsewhere"], "image", DATA_FILE),
    (["-f", "qcow2", "-o", "data_file=elsewhere,data_file_raw=on"], "image", DATA_FILE),
    (["-f", "qcow2", "-o", "extended_l2=on"], "image", VERSION),
    (["-f", "qcow"], "image", VERSION),
    (["-f", "qed"], "image", "Glance refuses QED images"),
    (["-f", "vmdk", "-o", "subformat=monolithicFlat"], "image", EXTENTS),
    (["-f", "vmdk", "-o", "subformat=twoGbMaxExtentFlat"], "image", EXTENTS),
    (["-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse"], "image", EXTENTS),
    (["-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse"], "image-s001", EXTENTS),
]


def edited(vmdk: bytes, pattern: bytes, new: bytes) -> bytes:
    """Return a sparse VMDK with the first match in its descriptor replaced; lengths stay."""
    size = 20 * 512
    text = re.sub(pattern, new, vmdk[512 : 512 + size].rstrip(b"\0"), count=1)
    return vmdk[:512] + text.ljust(size, b"\0") + vmdk[512 + size :]


BY_HAND = [
    ("qcow2", QCOW2, b"", "qcow2"),
    ("esx sparse extent", b"COWD" + bytes(508), b"", "vmdk"),
    ("vmdk descriptor", b"# Disk DescriptorFile\nversion=1\n", b"", "vmdk"),
    ("old ploop", b"WithoutFreeSpace" + bytes(48), b"", "ploop"),
    ("dynamic vhd", DYNAMIC_VHD, FOOTER, "vhd"),
    ("fixed vhd", MBR, FOOTER, "fixed vhd"),
    ("fixed vhd without partitions", bytes(512), FOOTER, "fixed vhd"),
    ("fixed vhd as a stream", MBR, b"", "raw"),
    ("qcow2 before what is in a footer", QCOW2, FOOTER, "qcow2"),
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
    ("luks", LUKS, "luks"),
    ("tar", tar("disk.img", "appliance.ovf"), "tar"),
    ("tar before posix", old_tar("disk.img"), "tar"),
    ("tar with a wrong checksum", tar("disk.img").replace(b"disk", b"desk"), None),
    ("tar cut in its header", tar("disk.img")[:200], None),
    ("ova", OVA, "ova"),
    ("ova in capitals, in a folder", tar("./APPLIANCE.OVF"), "ova"),
    ("ova before posix", old_tar("appliance.ovf"), "ova"),
    ("html", b"<!DOCTYPE html>\n<html>", "html"),
    ("html in capitals after blanks", b"\xef\xbb\xbf\r\n <HTML lang=en>", "html"),
    ("xhtml", b'<?xml version="1.0"?>\n<!-- a --><!-- b -->\n<!DOCTYPE  html PUBLIC', "html"),
    ("other xml", b'<?xml version="1.0"?>\n<domain type="kvm">', None),
    ("a word that begins like a tag", b"<headers>", None),
]


def option_ids(value: object) -> str:
    return "-".join(value[1:]).replace("-o-", "") if isinstance(value, list) else ""


@pytest.mark.parametrize(("options", "expected"), MADE, ids=option_ids)
def test_what_qemu_img_makes_is_filled_in(qemu_img, options, expected):
    head, tail = ends(qemu_img(*options))
    assert disk_format(head) == expected
    assert kind(head, tail) == expected
    assert choose_format(None, head, tail, container_format="bare") == expected
    refuse_unsafe(head)


@pytest.mark.parametrize(("options", "expected"), MADE, ids=option_ids)
def test_glance_takes_what_is_filled_in(project, qemu_img, options, expected):
    path = qemu_img(*options)
    record = run("image", "create", "x", "--file", path, "-f", "json").json
    assert (record["status"], record["disk_format"]) == ("active", expected)


@pytest.mark.parametrize(
    ("data", "expected"), [c[1:] for c in WRITTEN], ids=[c[0] for c in WRITTEN]
)
def test_glance_takes_what_is_filled_in_for(project, tmp_path, data, expected):
    (tmp_path / "image").write_bytes(data)
    record = run("image", "create", "x", "--file", tmp_path / "image", "-f", "json").json
    assert (record["status"], record["disk_format"]) == ("active", expected)


@pytest.mark.parametrize(
    ("head", "tail", "expected"), [c[1:] for c in BY_HAND], ids=[c[0] for c in BY_HAND]
)
def test_kind_by_headers(head, tail, expected):
    assert kind(head, tail) == expected


@pytest.mark.parametrize(("head", "expected"), [c[1:] for c in OTHERS], ids=[c[0] for c in OTHERS])
def test_kind_names_what_is_no_disk(head, expected):
    assert kind(head) == expected
    assert disk_format(head) is None


@pytest.mark.reliability("damaged disk images, looked at")
@given(st.binary(max_size=600), st.binary(max_size=600), st.sampled_from(["raw", "qcow2", None]))
def test_any_bytes_get_an_answer(head, tail, asked):
    disk_format(head)
    kind(head, tail)
    with contextlib.suppress(IntegrityError):
        refuse_unsafe(head)
    with contextlib.suppress(IntegrityError, RefusedError):
        choose_format(asked, head, tail, container_format="bare")


@pytest.mark.reliability("damaged disk images, looked at")
@given(st.binary(max_size=200), st.integers(0, 200))
def test_a_cut_header_never_crashes(data, length):
    for whole in (QCOW2, DYNAMIC_VHD, MBR[:512] + data, b"<!--" * 50 + data, OVA, b"KDMV" + data):
        kind(whole[:length])
        with contextlib.suppress(IntegrityError):
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
        pytest.param("raw", LUKS, b"", id="luks as raw"),
        pytest.param("luks", LUKS, b"", id="luks where the cloud has it"),
        pytest.param("raw", tar("disk.img"), b"", id="tar as raw"),
        pytest.param("vhd", MBR, FOOTER, id="fixed vhd as vhd"),
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
        (LUKS, "luks", "--no-sniff sends it as it is"),
        (OVA, "ova", "--container-format ova --disk-format vmdk"),
    ],
    ids=["gzip", "html", "luks", "ova"],
)
def test_what_begins_like_something_else_is_no_qcow2(head, seen, hint):
    with pytest.raises(IntegrityError, match=f"the data is {seen}, not qcow2") as caught:
        choose_format("qcow2", head, container_format="bare")
    assert caught.value.hint == hint


def test_an_ova_is_no_raw_disk():
    with pytest.raises(IntegrityError, match="the data is ova, not raw") as caught:
        choose_format("raw", OVA, container_format="bare")
    assert caught.value.hint == "--container-format ova --disk-format vmdk"


def test_how_to_store_an_ova_must_be_said(project, tmp_path):
    path = tmp_path / "appliance.ova"
    path.write_bytes(OVA)
    assert "the data is ova: say how to store it" in refused(path, 1)
    with pytest.raises(RefusedError) as caught:
        choose_format(None, OVA, container_format="bare")
    hint = caught.value.hint
    assert hint == "--container-format ova --disk-format vmdk"
    record = run("image", "create", "x", "--file", path, *hint.split(), "-f", "json").json
    assert (record["status"], record["container_format"]) == ("active", "ova")


def test_how_to_store_a_fixed_vhd_must_be_said(project, qemu_img):
    path = qemu_img(*FIXED_VHD)
    head, tail = ends(path)
    with pytest.raises(RefusedError, match="the data is fixed vhd: say how to store it") as caught:
        choose_format(None, head, tail, container_format="bare")
    assert "--disk-format raw stores the disk and its footer as they are" in caught.value.hint
    assert "--disk-format vhd is for Hyper-V and older clouds" in caught.value.hint
    with pytest.raises(IntegrityError, match="the data is fixed vhd, not qcow2") as contradicted:
        choose_format("qcow2", head, tail, container_format="bare")
    assert contradicted.value.hint == caught.value.hint
    run("image", "create", "x", "--file", path, "--disk-format", "raw")
    newer = run("image", "create", "y", "--file", path, "--disk-format", "vhd", code=6)
    assert "does not match stream data raw" in newer.err


def test_luks_is_not_filled_in_and_glance_takes_it_as_raw(project, tmp_path):
    (tmp_path / "volume").write_bytes(LUKS)
    assert choose_format(None, LUKS, container_format="bare") is None
    assert "it looks like luks" in refused(tmp_path / "volume", 1)
    run("image", "create", "x", "--file", tmp_path / "volume", "--disk-format", "raw")


def refused(path: Path, code: int, *options: str) -> str:
    """Return what ``image create`` says when it refuses a file."""
    return run("image", "create", "x", "--file", path, *options, code=code).err


@pytest.mark.parametrize("container", ["ova", "docker", "compressed", None])
def test_only_bare_containers_are_looked_at(container):
    assert choose_format("raw", QCOW2, container_format=container) == "raw"
    assert choose_format(None, QCOW2, container_format=container) is None


@pytest.mark.parametrize(("options", "name", "message"), UNSAFE, ids=option_ids)
def test_what_glance_refuses_is_refused_before_a_byte_is_sent(
    proxy, qemu_img, options, name, message
):
    path = qemu_img(*options).with_name(name)
    with pytest.raises(IntegrityError, match=message) as caught:
        refuse_unsafe(ends(path)[0])
    assert caught.value.exit == Exit.INTEGRITY
    assert caught.value.hint.startswith("qemu-img convert -O ")
    assert message in refused(path, 6)
    assert proxy.requests == []
    told = "raw" if options[1] in ("qcow", "qed") else options[1]
    answer = refused(path, 6, "--no-sniff", "--disk-format", told)
    assert "Image failed safety checks" in answer


def test_a_backing_file_can_be_left_behind_in_two_ways(qemu_img):
    with pytest.raises(IntegrityError) as caught:
        refuse_unsafe(ends(qemu_img("-f", "qcow2", "-b", "base", "-F", "raw"))[0])
    assert "qemu-img convert -O qcow2 IN OUT" in caught.value.hint
    assert "qemu-img rebase" in caught.value.hint


@pytest.mark.parametrize(
    ("pattern", "new", "taken"),
    [
        pytest.param(rb'SPARSE "', b'SPARSE "/etc/', False, id="extent with a path"),
        pytest.param(rb"RW .*", b"", False, id="no extent"),
        pytest.param(rb"RW .*", rb"\g<0>\n\g<0>", True, id="two extents"),
        pytest.param(b"monolithicSparse", b"monolithicFlat", False, id="flat"),
        pytest.param(b"createType=.*", b"", False, id="no type"),
        pytest.param(b"parentCID=ffffffff", b"parentCID=12345678", True, id="parent"),
    ],
)
def test_a_vmdk_that_needs_other_files_is_refused(project, qemu_img, pattern, new, taken):
    """taken: by Glance, which looks at less; the image is as useless there."""
    path = qemu_img("-f", "vmdk")
    path.write_bytes(edited(path.read_bytes(), pattern, new))
    assert EXTENTS in refused(path, 6)
    refused(path, 0 if taken else 6, "--no-sniff", "--disk-format", "vmdk")


def test_a_vmdk_with_its_descriptor_elsewhere_is_refused(project, qemu_img):
    path = qemu_img("-f", "vmdk")
    data = bytearray(path.read_bytes())
    data[28:36] = (2).to_bytes(8, "little")  # the sector it says to be in
    path.write_bytes(data)
    assert EXTENTS in refused(path, 6)
    refused(path, 6, "--no-sniff", "--disk-format", "vmdk")


def test_a_vmdk_with_a_parent_is_refused(qemu_img, tmp_path):
    qemu_img("-f", "vmdk").rename(tmp_path / "parent")
    head, _tail = ends(qemu_img("-f", "vmdk", "-b", "parent", "-F", "vmdk"))
    with pytest.raises(IntegrityError, match=EXTENTS):
        refuse_unsafe(head)


def test_a_vmdk_descriptor_is_read_as_vmware_reads_it(qemu_img):
    """Keywords and the name of the type may be in any case."""
    data = qemu_img("-f", "vmdk").read_bytes()
    for pattern, new in (
        (rb"createType=.*", b'CREATETYPE="MONOLITHICSPARSE"'),
        (rb"RW (.*)", rb"rdonly \1"),
        (rb"parentCID=ffffffff", b"parentCID=FFFFFFFF"),
    ):
        refuse_unsafe(edited(data, pattern, new)[:65536])


def test_an_esx_extent_is_refused(project, tmp_path):
    """Its descriptor is a file of its own; Glance does not know it as a VMDK."""
    path = tmp_path / "extent"
    path.write_bytes(b"COWD" + bytes(1020))
    assert EXTENTS in refused(path, 6)
    assert "does not match" in refused(path, 6, "--no-sniff", "--disk-format", "vmdk")


def test_version_2_has_no_features_to_look_at():
    refuse_unsafe(QCOW2[:4] + b"\0\0\0\x02" + bytes(64) + b"\xff" * 100)


def test_what_has_no_such_fields_is_not_refused():
    for head in (b"\xff" * 600, ISO, MBR, DYNAMIC_VHD, OVA, LUKS, b""):
        refuse_unsafe(head)


def test_files_next_to_the_tests_are_no_disks():
    assert disk_format(Path(__file__).read_bytes()) is None
