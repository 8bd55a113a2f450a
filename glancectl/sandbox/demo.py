"""The main job as a walk: upload, look, download, compare, delete, each command shown first."""

import contextlib
import filecmp
import os
import secrets
import shlex
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from glancectl.errors import Exit, RefusedError
from glancectl.sandbox.command import borrowed, client_environment, foreground

CLUSTER = 65536  # bytes
DEMO_CLUSTERS = 128  # 8 MiB: enough to see the bar, little enough to wait for


def demo(file: Path | None, note: Callable[[str], None], *, glancectl: Sequence[str]) -> int:
    """Walk the main job with ``file``, or with a small qcow2 made here; return the exit code.

    glancectl: the command that the steps are run with. Ends at the first step that fails, with
    its exit code; what was made is removed on every way out. Raises RefusedError when ``file``
    cannot be read.
    """
    if file is not None:
        file = file.absolute()
        _check_readable(file)
    _show(["glancectl", "sandbox", "up"])
    with borrowed(note) as started, tempfile.TemporaryDirectory(prefix="glancectl-demo-") as made:
        folder = Path(made)
        _show(["cd", made])
        if file is None:
            make_qcow2(folder / "demo.qcow2", DEMO_CLUSTERS)
        source = str(file or "demo.qcow2")
        code = _walk(source, folder, note, [*glancectl, "--cloud", "sandbox"])
        if started:
            _show(["glancectl", "sandbox", "down"])
    if code == Exit.OK and started:
        note("now yours: glancectl sandbox up, then glancectl --cloud sandbox image list")
    return code


def _walk(source: str, folder: Path, note: Callable[[str], None], glancectl: Sequence[str]) -> int:
    """Run the steps in ``folder``; return the first exit code that is not 0."""
    name = f"demo-{secrets.token_hex(2)}"  # nobody's own image of that name is in the way
    suffix = Path(source).suffix
    copy = f"copy{suffix}"
    # A raw disk has no mark that tells what it is; its name may.
    told = ["--disk-format", "raw"] if suffix == ".raw" else []
    environment = client_environment()

    def step(*arguments: str) -> int:
        _show(["glancectl", "--cloud", "sandbox", *arguments])
        return foreground([*glancectl, *arguments], environment, note, folder)

    gone = False
    try:
        code = (
            step("image", "create", name, "--file", source, *told)
            or step("image", "list")
            or step("image", "show", name)
            or step("image", "download", name, copy)
            or _compare(source, copy, folder)
            or step("image", "delete", name, "--yes")
        )
        gone = code == 0
        return code
    finally:
        if not gone:
            remove = ["image", "delete", name, "--yes", "--if-exists"]
            _remove_image([*glancectl, *remove], environment)


def _remove_image(command: Sequence[str], environment: dict[str, str]) -> None:
    """Run ``command`` unseen, for half a minute at most; whatever it says changes nothing."""
    quiet = subprocess.DEVNULL
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(
            command, env=environment, stdin=quiet, stdout=quiet, stderr=quiet, timeout=30
        )


def _compare(source: str, copy: str, folder: Path) -> int:
    """Do what cmp does, without needing it."""
    _show(["cmp", source, copy])
    if filecmp.cmp(folder / source, folder / copy, shallow=False):
        _say("the same, byte for byte")
        return Exit.OK
    _say("they differ")
    return Exit.INTEGRITY


def _show(command: Sequence[str]) -> None:
    _say(f"$ {shlex.join(command)}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()  # before the step's own output


def _check_readable(file: Path) -> None:
    try:
        os.close(os.open(file, os.O_RDONLY))
    except OSError as error:
        raise RefusedError(f"cannot read {file}", cause=error.strerror) from None
    if file.is_dir():
        raise RefusedError(f"{file} is a folder")


def make_qcow2(path: Path, clusters: int = 20) -> None:
    """Write a valid qcow2 (version 3) to ``path``: ``clusters`` of 64 KiB of random data.

    The disk in it is twice as large; its second half is not allocated. At most 4096 clusters, so
    that one table of each kind is enough.
    """
    header, refcount_table, refcounts, l1, l2, data = (index * CLUSTER for index in range(6))
    used = data // CLUSTER + clusters
    fields = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        *(b"QFI\xfb", 3, 0, 0, 16),  # magic, version, no backing file, 2**16 bytes a cluster
        *(2 * clusters * CLUSTER, 0, 1, l1),  # disk size, no encryption, entries of l1, where
        *(refcount_table, 1, 0, 0),  # where, clusters of it, no snapshots
        *(0, 0, 0, 4, 104),  # no features; refcounts of 2**4 bits; length of this header
    )
    copied = 1 << 63  # "the refcount of what this points to is exactly one"
    entries = [copied | data + index * CLUSTER for index in range(clusters)]
    with path.open("wb") as file:
        for offset, content in (
            (header, fields),
            (refcount_table, struct.pack(">Q", refcounts)),
            (refcounts, struct.pack(f">{used}H", *[1] * used)),
            (l1, struct.pack(">Q", copied | l2)),
            (l2, struct.pack(f">{clusters}Q", *entries)),
        ):
            file.seek(offset)
            file.write(content)
        file.seek(data)
        for _ in range(clusters):
            file.write(secrets.token_bytes(CLUSTER))
