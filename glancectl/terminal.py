"""What may be written to a person's terminal, and waiting while somebody reads."""

import os
import re
import select
import shlex
import sys
from collections.abc import Sequence
from typing import TextIO

# C0 and C1 controls, DEL, line and paragraph separators, bidirectional controls, the byte order
# mark and other characters without a form of their own: they move the cursor, start escape
# sequences, or make text read as other text. The two joiners (U+200C, U+200D) are left: Persian
# and the scripts of India cannot be read without them.
UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    r"\ufeff\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
LONGEST_PAUSE = (1 << 31) - 1  # milliseconds; poll(2) takes no more
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def printable(text: str) -> str:
    r"""Make each control character visible, so that text from a server cannot drive a terminal.

    ``\x1b[31m`` becomes the four characters ``\x1b`` and the rest as it is. Lone surrogates
    (undecodable bytes of a file name) become ``?``.
    """
    escaped = UNSAFE.sub(lambda match: _escape(match.group()), text)
    return escaped.encode("utf-8", "replace").decode()


def _escape(char: str) -> str:
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def can_redraw(stream: TextIO) -> bool:
    """Tell whether a stream goes to a terminal whose cursor can be moved."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def pause(seconds: float) -> None:
    """Wait. Raises BrokenPipeError as soon as nobody can read stdout any more."""
    stdout = select.poll()
    stdout.register(sys.stdout, 0)  # its end is told unasked
    if stdout.poll(min(seconds * 1000, LONGEST_PAUSE)):
        raise BrokenPipeError


def shell_line(words: Sequence[str]) -> str:
    """Return ``words`` as a line that can be pasted into a shell, and shown on a terminal."""
    return " ".join(map(_shell_word, words))


def _shell_word(word: str) -> str:
    if printable(word) == word:
        return shlex.quote(word)
    # Dollar-single-quotes (POSIX.1-2024, 2.2.4): no other quotes have escapes. Octal digits,
    # since hexadecimal ones have no end that all shells agree on.
    return "$'" + "".join(map(_shell_byte, os.fsencode(word))) + "'"


def _shell_byte(byte: int) -> str:
    is_plain = 0x20 <= byte < 0x7F and byte not in b"'\\"
    return chr(byte) if is_plain else f"\\{byte:03o}"


def human_size(size: int) -> str:
    """Return ``size`` bytes for people, in binary units: ``612.0 MiB``."""
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if value < 1023.95:  # else it would be rounded to 1024.0
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} PiB"
