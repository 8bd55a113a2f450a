"""Draw docs/session.svg: a real session with a sandbox, as a terminal shows it.

Each command below is run on a pseudo-terminal of its own, in the order of a day; what it prints,
colours included, is drawn by Rich. Ids, dates and rates are those of the run.

    python tools/picture.py
"""

import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Mapping, Sequence
from fcntl import ioctl
from pathlib import Path

from glancectl.sandbox.demo import make_qcow2

PICTURE = Path(__file__).parents[1] / "docs" / "session.svg"
WIDTH, HEIGHT = 100, 40  # of the terminal, in characters
CLUSTERS = 1536  # 96 MiB: enough for a rate that means something
# Typed as they are shown; glancectl is this checkout's.
SESSION = (
    "glancectl image create noble --file noble.qcow2 --tag lts -c id -c status -c size",
    "glancectl image list",
    "glancectl image update noble --property os_version=24.04 --min-disk 10 --dry-run",
    "glancectl image download noble copy.qcow2 -q",
    "glancectl image show nobel",
    "glancectl image delete noble --yes -q",
)


def environment(home: Path) -> dict[str, str]:
    """Return the variables of the session: nothing of the developer's own."""
    folders = {
        f"XDG_{name}_HOME": str(home / name.lower()) for name in ("STATE", "CACHE", "CONFIG")
    }
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    terminal = {"TERM": "xterm-256color", "COLUMNS": str(WIDTH), "LINES": str(HEIGHT)}
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", **folders, **terminal}


def run(command: Sequence[str], env: Mapping[str, str], folder: Path) -> str:
    """Run a command on a terminal of its own and return all that it wrote there."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=folder
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            written += os.read(ours, 1 << 16)
        except OSError:  # how Linux tells that the last writer has gone
            break
    os.close(ours)
    process.wait()
    return written.decode()


def shown(written: str) -> str:
    """Return what is left to see of each line: a bar is drawn over and over, and wiped out."""
    lines = written.replace("\r\n", "\n").split("\n")
    return "\n".join(line.rpartition("\r")[2] for line in lines).strip("\n")


def draw(session: Sequence[tuple[str, str]]) -> str:
    """Return the picture of commands and what they wrote, as SVG."""
    from rich.console import Console
    from rich.text import Text

    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        for command, written in session:
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            console.print(Text.from_ansi(f"{written}\n"))
        picture = console.export_svg(title="glancectl", unique_id="glancectl")
    # The fonts of whoever looks at it: a picture asks no server for one.
    return re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)


def main() -> None:
    """Run the session and write the picture."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        make_qcow2(home / "noble.qcow2", CLUSTERS)
        env = environment(home)
        sandbox = ["glancectl", "sandbox"]
        subprocess.run([*sandbox, "up", "-q"], env=env, check=True)
        try:
            env["OS_CLOUD"] = "sandbox"
            session = [(line, shown(run(shlex.split(line), env, home))) for line in SESSION]
        finally:
            subprocess.run([*sandbox, "down", "--purge"], env=env, check=True)
    PICTURE.write_text(draw(session), encoding="utf-8")


if __name__ == "__main__":
    main()
