"""What may be written to a person's terminal."""

import re

# C0 and C1 controls, DEL, line and paragraph separators, bidirectional controls and the byte
# order mark: they move the cursor, start escape sequences, or make text read as other text.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def printable(text: str) -> str:
    r"""Make each control character visible, so that text from a server cannot drive a terminal.

    ``\x1b[31m`` becomes the four characters ``\x1b`` and the rest as it is. Lone surrogates
    (undecodable bytes of a file name) become ``?``.
    """
    escaped = _UNSAFE.sub(lambda match: _escape(match.group()), text)
    return escaped.encode("utf-8", "replace").decode()


def _escape(char: str) -> str:
    code = ord(char)
    return _SHORT.get(char) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


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
