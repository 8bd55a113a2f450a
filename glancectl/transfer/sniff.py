"""What the first bytes of a payload say that it is.

Magic numbers from the formats' own documents: qcow2 (QEMU ``docs/interop/qcow2.rst``), VMDK
(VMware "Virtual Disk Format 1.1"), VHD (Microsoft "Virtual Hard Disk Image Format"), VHDX
([MS-VHDX]), VDI and ploop (QEMU ``block/vdi.c``, ``block/parallels.c``), ISO 9660 (ECMA-119),
GPT and MBR (UEFI 2.10, section 5), LUKS ("LUKS On-Disk Format Specification"), gzip (RFC 1952),
zstd (RFC 8878), xz and bzip2 (their file format descriptions), tar (POSIX.1-1988), OVA (DMTF
DSP0243, section 5.3). What Glance refuses is in oslo.utils, ``imageutils/format_inspector.py``.
"""

import re

from glancectl.errors import IntegrityError, RefusedError

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
    (0, b"LUKS\xba\xbe", "luks"),
)
# Then a block, or the end of an empty file.
_BZIP2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
_OCTAL = re.compile(rb" *([0-7]+)[ \0]")
_ZSTD_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
# Possessive, so that no hostile page can make the match take long.
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?+\s*+(?:(?><\?xml.*?\?>|<!--.*?-->)\s*+)*+"
    rb"(?:<!doctype\s+html|<html|<head|<body)\b",
    re.IGNORECASE | re.DOTALL,
)

# Formats whose names we can judge; any other is the cloud's to accept or refuse.
_JUDGED = frozenset(("raw", "gpt", "iso", "ploop", "qcow2", "vdi", "vhd", "vhdx", "vmdk"))
# What no hypervisor can start as raw. A fixed VHD it can: the disk comes first, then the footer.
_NEVER_RAW = frozenset(("ova", "ploop", "qcow2", "vdi", "vhd", "vhdx", "vmdk"))
# What is never filled in: a Glance that looks takes a fixed VHD for raw, and refuses it as vhd.
_TO_BE_SAID = {
    "ova": "--container-format ova --disk-format vmdk",
    "fixed vhd": (
        "--disk-format raw stores the disk and its footer as they are; --disk-format vhd is"
        " for Hyper-V and older clouds, newer ones refuse it"
    ),
}
COMPRESSED = frozenset(("bzip2", "gzip", "xz", "zstd"))

_QCOW2_BACKING_OFFSET = slice(8, 16)
_QCOW2_INCOMPATIBLE = slice(72, 80)
_QCOW2_DATA_FILE = 1 << 2
_QCOW2_KNOWN = 0b1111  # dirty, corrupt, data file, compression type; extended L2 is not
_CONVERT = "qemu-img convert -O qcow2 IN OUT makes an image that it accepts"

_VMDK_TYPE = re.compile(rb'^createType="(?:monolithicSparse|streamOptimized)"', re.I | re.M)
_VMDK_EXTENT = re.compile(rb"^[ \t]*(?:RW|RDONLY|NOACCESS) .*", re.I | re.M)
_VMDK_PARENT = re.compile(rb"^parentCID\s*=\s*(?!f{8}\b)\w", re.I | re.M)


def disk_format(head: bytes) -> str | None:
    """Name the disk format as Glance does, or return None when it is not recognised.

    head: the first bytes, 64 KiB for all formats.
    """
    found = _by_magic(_DISKS, head)
    if found is None and (_is_gpt(head) or _is_mbr(head)):
        return "raw"
    return found


def kind(head: bytes, tail: bytes = b"") -> str | None:
    """Name the data: disk format, fixed vhd, luks, bzip2, gzip, xz, zstd, html, tar, ova or None.

    tail: the last 512 bytes where known; a fixed VHD is a raw disk with a footer there.
    """
    found = disk_format(head) or _by_magic(_OTHERS, head)
    if found in (None, "raw") and tail[-512:].startswith(b"conectix"):
        return "fixed vhd"
    if found is None and _BZIP2.match(head):
        return "bzip2"
    if found is None and _ZSTD_SKIPPABLE.match(head):
        return "zstd"
    if found is None and _HTML.match(head):
        return "html"
    if found is None and _is_tar(head):
        first_member = head[:100].partition(b"\0")[0]
        return "ova" if first_member.lower().endswith(b".ovf") else "tar"
    return found


def choose_format(
    asked: str | None, head: bytes, tail: bytes = b"", *, container_format: str | None
) -> str | None:
    """Return the disk format to use: the one asked for, or the one seen when none was.

    Only ``bare`` containers are looked at; data that is not recognised contradicts nothing.
    Raises IntegrityError when the data is surely not what was asked for, RefusedError when none
    was asked for and what is seen, an OVA or a fixed VHD, leaves a choice.
    """
    if container_format != "bare":
        return asked
    seen = kind(head, tail)
    if asked is None and seen in _TO_BE_SAID:
        raise RefusedError(f"the data is {seen}: say how to store it", hint=_TO_BE_SAID[seen])
    if asked is None:
        return disk_format(head)
    if seen is None or asked not in _JUDGED or _agree(asked, seen, tail):
        return asked
    raise IntegrityError(f"the data is {seen}, not {asked}", hint=_hint(seen))


def refuse_unsafe(head: bytes) -> None:
    """Refuse a qcow2 or VMDK image that keeps part of its data in another file.

    Such an image is useless without that file, and on a host it could name any file there;
    Glance and Nova refuse it, after the upload. They also refuse QED and a qcow2 image with
    features they do not know. Raises IntegrityError.
    """
    if head.startswith(b"QFI\xfb"):
        _refuse_unsafe_qcow2(head)
    elif _by_magic(_DISKS, head) == "vmdk":
        _refuse_unsafe_vmdk(head)
    elif head.startswith(b"QED\0"):
        raise IntegrityError("Glance refuses QED images", hint=_CONVERT)


def _refuse_unsafe_qcow2(head: bytes) -> None:
    version = int.from_bytes(head[4:8], "big")
    features = int.from_bytes(head[_QCOW2_INCOMPATIBLE], "big") if version > 2 else 0
    if any(head[_QCOW2_BACKING_OFFSET]):
        raise IntegrityError(
            "the qcow2 image has a backing file, which would be missing in the cloud",
            hint="qemu-img convert -O qcow2 IN OUT, or qemu-img rebase -b '' IN, makes it whole",
        )
    if features & _QCOW2_DATA_FILE:
        raise IntegrityError(
            "the qcow2 image has an external data file, which would be missing in the cloud",
            hint="qemu-img convert -O qcow2 IN OUT makes it whole",
        )
    if version not in (2, 3) or features & ~_QCOW2_KNOWN:
        raise IntegrityError("Glance refuses qcow2 images of this version or kind", hint=_CONVERT)


def _refuse_unsafe_vmdk(head: bytes) -> None:
    descriptor = _vmdk_descriptor(head)
    extents = _VMDK_EXTENT.findall(descriptor)
    # The one extent is the file itself, under the name it had when it was made.
    in_one_file = _VMDK_TYPE.search(descriptor) and len(extents) == 1 and b"/" not in extents[0]
    if not in_one_file or _VMDK_PARENT.search(descriptor):
        raise IntegrityError(
            "the vmdk image needs other files, which would be missing in the cloud",
            hint="qemu-img convert -O vmdk -o subformat=streamOptimized IN OUT makes it whole",
        )


def _vmdk_descriptor(head: bytes) -> bytes:
    """Return the descriptor that a hosted sparse extent has after its header, or nothing."""
    sector, sectors = (int.from_bytes(head[at : at + 8], "little") for at in (28, 36))
    if not head.startswith(b"KDMV") or sector != 1:  # Glance reads it nowhere else
        return b""
    return head[512 : 512 + 512 * sectors].partition(b"\0")[0]


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


def _is_tar(head: bytes) -> bool:
    """Tell whether a tar header comes first, by its checksum: old archives have no magic."""
    stored = _OCTAL.match(head[148:156])
    return stored is not None and int(stored[1], 8) == sum(head[:148] + b" " * 8 + head[156:512])


def _agree(asked: str, seen: str, tail: bytes) -> bool:
    """Tell whether data seen as ``seen`` can be used as ``asked``."""
    if seen == asked:
        return True
    if asked not in ("raw", "gpt"):
        # A fixed VHD that came as a stream: its footer has not been seen, the disk before it has.
        return asked == "vhd" and (seen == "fixed vhd" or (seen == "raw" and not tail))
    # Raw is what a hypervisor hands to the guest byte by byte, and Glance takes most things so.
    # So refuse only what could not start that way, most likely a forgotten --disk-format. An ISO
    # can (some clouds want it so). Something compressed may be what the user wants to keep;
    # nothing says that raw data is a disk.
    return seen not in _NEVER_RAW


def _hint(seen: str) -> str:
    if seen in _TO_BE_SAID:
        return _TO_BE_SAID[seen]
    if seen in COMPRESSED:
        return "unpack it first, or send it as it is with --no-sniff"
    if seen in _JUDGED:
        return f"--disk-format {seen} says what it is, --no-sniff sends it as it is"
    return "--no-sniff sends it as it is"
