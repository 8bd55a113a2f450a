"""What the first bytes of a payload say that it is.

Magic numbers from the formats' own documents: qcow2 (QEMU ``docs/interop/qcow2.rst``), VMDK
(VMware "Virtual Disk Format 1.1"), VHD (Microsoft "Virtual Hard Disk Image Format"), VHDX
([MS-VHDX]), VDI and ploop (QEMU ``block/vdi.c``, ``block/parallels.c``), ISO 9660 (ECMA-119),
GPT and MBR (UEFI 2.10, section 5), gzip (RFC 1952), zstd (RFC 8878), xz and bzip2 (their
file format descriptions), ustar (POSIX.1-1988).
"""

import re

from glancectl.errors import IntegrityError

# Answers to "what is at this place": (offset, bytes, name). At most one can match at offset 0.
_DISKS = (
    (0, b"QFI\xfb", "qcow2"),
    (0, b"KDMV", "vmdk"),  # hosted sparse extent
    (0, b"COWD", "vmdk"),  # ESX copy-on-write extent
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vhd"),  # dynamic and differencing: a copy of the footer comes first
    (0, b"WithoutFreeSpace", "ploop"),
    (0, b"WithouFreSpacExt", "ploop"),
    (64, b"\x7f\x10\xda\xbe", "vdi"),
    # Before the partition tables: an ISO made to start from a USB stick begins with an MBR, too.
    (32769, b"CD001", "iso"),
)
_OTHERS = (
    (0, b"\x1f\x8b\x08", "gzip"),
    (0, b"\xfd7zXZ\x00", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (257, b"ustar", "tar"),
)
_VHD_COOKIE = b"conectix"
_BZIP2 = re.compile(
    rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"
)  # then a block, or the end of an empty file
_ZSTD_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
# Possessive, so that no hostile page can make the match take long.
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?+\s*+(?:(?><\?xml.*?\?>|<!--.*?-->)\s*+)*+"
    rb"(?:<!doctype\s+html|<html|<head|<body)\b",
    re.IGNORECASE | re.DOTALL,
)

# Formats whose names we can judge; any other is the cloud's to accept or refuse.
_JUDGED = frozenset(("raw", "gpt", "iso", "ploop", "qcow2", "vdi", "vhd", "vhdx", "vmdk"))
_COMPRESSED = frozenset(("bzip2", "gzip", "xz", "zstd"))

_QCOW2_BACKING_OFFSET = slice(8, 16)
_QCOW2_INCOMPATIBLE = slice(72, 80)
_QCOW2_DATA_FILE = 1 << 2


def disk_format(head: bytes, tail: bytes = b"") -> str | None:
    """Name the disk format as Glance does, or return None when it is not recognised.

    head: the first bytes, 64 KiB for all formats. tail: the last 512 bytes where known; a fixed
    VHD is a raw disk with a footer there.
    """
    found = _by_magic(_DISKS, head)
    if found is None and tail[-512:].startswith(_VHD_COOKIE):
        return "vhd"
    if found is None and (_is_gpt(head) or _is_mbr(head)):
        return "raw"
    return found


def kind(head: bytes, tail: bytes = b"") -> str | None:
    """Name what the data is: a disk format, bzip2, gzip, xz, zstd, tar, html, or None."""
    found = disk_format(head, tail) or _by_magic(_OTHERS, head)
    if found is None and _BZIP2.match(head):
        return "bzip2"
    if found is None and _ZSTD_SKIPPABLE.match(head):
        return "zstd"
    if found is None and _HTML.match(head):
        return "html"
    return found


def choose_format(
    asked: str | None, head: bytes, tail: bytes = b"", *, container_format: str | None
) -> str | None:
    """Return the disk format to use: the one asked for, or the one seen when none was.

    Only ``bare`` containers are looked at; data that is not recognised contradicts nothing.
    Raises IntegrityError when the data is surely not what was asked for.
    """
    if container_format != "bare":
        return asked
    if asked is None:
        return disk_format(head, tail)
    seen = kind(head, tail)
    if seen is None or asked not in _JUDGED or _agree(asked, seen, head, tail):
        return asked
    raise IntegrityError(f"the data is {seen}, not {asked}", hint=_hint(seen))


def refuse_unsafe(head: bytes) -> None:
    """Refuse a qcow2 image that keeps part of its data in another file.

    Such an image is useless without that file, and on a host it could name any file there;
    Glance and Nova refuse it, after the upload. Raises IntegrityError.
    """
    if not head.startswith(b"QFI\xfb"):
        return
    if any(head[_QCOW2_BACKING_OFFSET]):
        raise IntegrityError(
            "the qcow2 image has a backing file, which would be missing in the cloud",
            hint="qemu-img convert -O qcow2 IN OUT, or qemu-img rebase -b '' IN, makes it whole",
        )
    version = int.from_bytes(head[4:8], "big")
    features = int.from_bytes(head[_QCOW2_INCOMPATIBLE], "big")
    if version >= 3 and features & _QCOW2_DATA_FILE:
        raise IntegrityError(
            "the qcow2 image has an external data file, which would be missing in the cloud",
            hint="qemu-img convert -O qcow2 IN OUT makes it whole",
        )


def _by_magic(table: tuple[tuple[int, bytes, str], ...], head: bytes) -> str | None:
    return next((name for at, magic, name in table if head.startswith(magic, at)), None)


def _is_gpt(head: bytes) -> bool:
    """Tell whether a GPT header is in the second block, for blocks of 512 or 4096 bytes."""
    return head.startswith(b"EFI PART", 512) or head.startswith(b"EFI PART", 4096)


def _is_mbr(head: bytes) -> bool:
    """Tell whether a plausible partition table is in the first sector.

    The signature alone is also in the boot sector of a FAT or NTFS file system, in Linux
    kernels and in other boot code, where the table's place holds anything.
    """
    if head[510:512] != b"\x55\xaa":
        return False
    entries = [head[at : at + 16] for at in range(446, 510, 16)]
    used = [entry for entry in entries if entry[4]]
    return (
        bool(used)
        and all(entry[0] in (0x00, 0x80) for entry in entries)
        and all(any(entry[8:12]) and any(entry[12:16]) for entry in used)  # start and length
    )


def _agree(asked: str, seen: str, head: bytes, tail: bytes) -> bool:
    """Tell whether data seen as ``seen`` can be used as ``asked``."""
    if seen == asked:
        return True
    if asked not in ("raw", "gpt"):
        # A fixed VHD that came as a stream: its footer has not been seen, the disk before it has.
        return asked == "vhd" and seen == "raw" and not tail
    # Raw is what a hypervisor hands to the guest byte by byte, and Glance takes anything as raw.
    # So refuse only what could not start that way, most likely a forgotten --disk-format. An ISO
    # can (some clouds want it so), a fixed VHD too: its footer comes after the disk. Something
    # compressed may be what the user wants to keep; nothing says that raw data is a disk.
    footer_only = seen == "vhd" and not head.startswith(_VHD_COOKIE)
    return seen in ("raw", "iso") or footer_only or seen not in _JUDGED


def _hint(seen: str) -> str:
    if seen in _COMPRESSED:
        return "unpack it first, or send it as it is with --no-sniff"
    if seen in _JUDGED:
        return f"--disk-format {seen} says what it is, --no-sniff sends it as it is"
    return "--no-sniff sends it as it is"
