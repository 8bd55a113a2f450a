"""Programs to measure, each installed from scratch the way its users have it, and run."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from report import PEERS, tell

ROOT = Path(__file__).parents[1]


class RunFailed(Exception):
    """A program that was to be measured failed; the text is the end of what it said."""


class Run(NamedTuple):
    """What a run took: seconds to its end and to its first line, and its peak memory in bytes."""

    wall: float
    first_line: float
    memory: int


def install(cache: Path) -> dict[str, Path]:
    """Return the programs of the other clients, each in an environment kept below ``cache``."""
    return {name: _installed(cache, name, package) for name, package in PEERS.items()}


def install_ours(cache: Path) -> Path:
    """Return glancectl's program, without extras: an environment of tests has more in it."""
    program = _installed(cache, "glancectl", str(ROOT))
    install = [str(program.with_name("python")), "-m", "pip", "install", "--quiet"]
    again = ["--no-deps", "--force-reinstall", str(ROOT)]  # it may be of an older checkout
    subprocess.run([*install, *again], check=True, stdout=sys.stderr)
    return program


def _installed(cache: Path, name: str, package: str) -> Path:
    home = cache / (package if "/" not in package else name)
    program = home / "bin" / name
    if not program.exists():
        tell(f"installing {name} below {cache}")
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        pip = [str(program.with_name("python")), "-m", "pip", "install", "--quiet", package]
        subprocess.run(pip, check=True, stdout=sys.stderr)
    return program


def execute(argv: Sequence[str], env: Mapping[str, str], stdin: bytes = b"") -> Run:
    """Run a program, read what it prints and return what it took.

    Its peak memory can be no less than this process's own, which the kernel counts as the child's
    until it executes the program (getrusage(2)): so nothing big is kept here. Raises RunFailed.
    """
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as given:
        given.write(stdin)
        given.seek(0)
        began = time.perf_counter()
        process = subprocess.Popen(
            argv, env=dict(env), stdin=given, stdout=subprocess.PIPE, stderr=said, bufsize=0
        )
        assert process.stdout is not None
        with process.stdout as output:
            output.read(1)
            first = time.perf_counter() - began
            while output.read(1 << 20):
                pass
        _pid, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise RunFailed(lines[-1] if lines else f"exit code {process.returncode}")
    return Run(wall, first, usage.ru_maxrss * 1024)
