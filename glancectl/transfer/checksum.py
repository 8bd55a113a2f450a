"""Expected digests: as users write them, and in the checksum files that lie beside images.

Formats of a line: GNU coreutils manual, "md5sum invocation" (with ``--tag``: that of BSD), and
openssl-dgst(1). Clear-signed files: RFC 9580, section 7.
"""

import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from glancectl.errors import RefusedError

# What users may name, with the length in hex digits; the strongest first. A digest that does not
# tell is of the first of its length. SHA-512 leads since Glance has it computed anyway.
_ALGORITHMS = {
    "sha512": 128,
    "sha3_512": 128,
    "blake2b": 128,
    "sha384": 96,
    "sha3_384": 96,
    "sha256": 64,
    "sha3_256": 64,
    "blake2s": 64,
    "sha224": 56,
    "sha3_224": 56,
    "sha1": 40,
    "md5": 32,
}
_SPELLINGS = {
    **{name.replace("_", ""): name for name in _ALGORITHMS},
    **{f"sha2{bits}": f"sha{bits}" for bits in (224, 256, 384, 512)},  # OpenSSL 3: SHA2-256
    "blake2b512": "blake2b",  # OpenSSL
    "blake2s256": "blake2s",
}

_HEX = re.compile(r"[0-9A-Fa-f]+")
# Possessive where it can be, so that no hostile file can make a match take long. A backslash in
# front: the name is escaped.
_GNU = re.compile(r"[ \t]*+(\\?)([0-9A-Fa-f]++)(?:[ \t][ *]?(.*+))?")
_TAGGED = re.compile(r"[ \t]*+(\\?)([\w-]++) ?\((.*)\) ?= ?([0-9A-Fa-f]++)[ \t]*+")
_ESCAPED = re.compile(r"\\([\\nr])")
_UNESCAPED = {"\\": "\\", "n": "\n", "r": "\r"}
# Words of the names that checksum files have, each group called as its algorithms begin.
_MENTIONED = re.compile(
    r"(?P<sha3_>sha3(?!84))|(?P<sha>sha)|(?P<blake2s>blake2s(?!um))"
    r"|(?P<blake2b>blake2|(?<![a-z0-9])b2(?=sum|[^a-z0-9]|$))"
)
_SIGNED = "-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"

_SHOWN = 60  # characters of a name in a message
_HINT = "--checksum ALGO:HEX gives the digest itself"


@dataclass(frozen=True)
class Checksum:
    """An expected digest: the algorithm as hashlib names it, and lower-case hex digits."""

    algorithm: str
    hex: str


def is_digest(text: str) -> bool:
    """Tell whether ``--checksum TEXT`` is meant as ALGO:HEX, right or wrong, not as URL or FILE.

    It is with a known algorithm before the colon, whatever follows (``./md5:x`` is the file); with
    another word or none before 16 hex digits or more, unless there is such a file; and when empty.
    """
    before, colon, after = text.strip().partition(":")
    if not before or (colon and _named(before)):
        return True
    digits = (after if colon else before).strip()
    is_hex = len(digits) >= 16 and _HEX.fullmatch(digits) is not None
    return is_hex and "/" not in before and not os.path.exists(text)


def parse_checksum(text: str) -> Checksum:
    """Read ``ALGO:HEX``, in any case and with ``sha-256`` or ``sha3-256`` spelled either way.

    Raises ValueError with a sentence that says what is wrong.
    """
    spelled, colon, digits = text.strip().partition(":")
    if not colon:
        raise ValueError(f"{text!r} is not ALGO:HEX, such as sha256:9f86d0…")
    algorithm = _named(spelled)
    if algorithm is None:
        raise ValueError(f"{spelled!r} is not one of {', '.join(_ALGORITHMS)}")
    digits = digits.strip()
    if len(digits) != _ALGORITHMS[algorithm]:
        raise ValueError(
            f"{algorithm} digests have {_ALGORITHMS[algorithm]} hex digits, not {len(digits)}"
        )
    if not _HEX.fullmatch(digits):
        raise ValueError(f"{digits!r} is not hexadecimal")
    return Checksum(algorithm, digits.lower())


def _named(spelled: str) -> str | None:
    """Return the algorithm as hashlib names it, or None for one that users may not name."""
    return _SPELLINGS.get(re.sub("[-_]", "", spelled.strip().lower()))


def find_checksum(text: str, name: str | None, where: str) -> Checksum:
    """Return what a checksum file says of a file; of several algorithms, the strongest.

    text: what the checksum file contains. name: the file's base name, None when it has none, as
    stdin. where: the checksum file's own path or URL, for messages and as a hint to the algorithm.
    A digest without a name holds for any file when nothing else is there. Raises RefusedError
    when there is no digest, none for ``name``, or more than one of an algorithm.
    """
    listed = _listed(text, where)
    if not listed:
        raise RefusedError(f"{where} has no digest of a known algorithm", hint=_HINT)
    if name is None and len(listed) > 1:
        raise RefusedError(
            f"{where} has digests of {_some(listed)}, and the source has no name", hint=_HINT
        )
    names = list(listed) if name is None or None in listed else _matching(listed, name)
    if not names:
        raise RefusedError(
            f"{where} has no digest of {_short(name)}, only of {_some(listed)}", hint=_HINT
        )
    found = [checksum for one in names for checksum in listed[one]]
    return _strongest(found, _short(name), where)


def _strongest(found: Iterable[Checksum], name: str, where: str) -> Checksum:
    """Return the checksum of the strongest algorithm, after a look for two of any algorithm."""
    chosen: dict[str, Checksum] = {}
    for checksum in found:
        if chosen.setdefault(checksum.algorithm, checksum) != checksum:
            raise RefusedError(
                f"{where} has more than one {checksum.algorithm} digest of {name}", hint=_HINT
            )
    return next(chosen[algorithm] for algorithm in _ALGORITHMS if algorithm in chosen)


def _matching(listed: Collection[str | None], name: str) -> list[str | None]:
    """Return ``name`` if it is listed, else all that have it as base name, maybe between spaces."""
    if name in listed:
        return [name]
    bases = {one: one.rpartition("/")[2] for one in listed if one is not None}
    exact: list[str | None] = [one for one, base in bases.items() if base == name]
    return exact or [one for one, base in bases.items() if base.strip() == name]


def _some(names: Iterable[str | None]) -> str:
    """Return the first three of names for a message."""
    ours = [_short(name) for name in names]
    more = [f"{len(ours) - 3} more"] if len(ours) > 3 else []
    return ", ".join(ours[:3] + more)


def _short(name: str | None) -> str:
    name = "the source" if name is None else name
    return name if len(name) <= _SHOWN else f"{name[: _SHOWN - 1]}…"


# Reading a checksum file


def _listed(text: str, where: str) -> dict[str | None, list[Checksum]]:
    """Return the digests of each name; under None those without one, if nothing else is there."""
    lines = [line for line in _lines(text) if line.strip() and not line.lstrip().startswith("#")]
    entries = [entry for line in lines if (entry := _entry(line, where))]
    listed: dict[str | None, list[Checksum]] = {}
    for name, checksum in entries:
        listed.setdefault(name, []).append(checksum)
    if len(listed) > 1 or len(entries) < len(lines):
        listed.pop(None, None)
    return listed


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of a file; of a clear-signed one only those signed, without dash escapes."""
    lines = [line.rstrip("\r") for line in text.removeprefix("\ufeff").split("\n")]
    part = "outside" if _SIGNED in lines else "text"
    for line in lines:
        if line == _SIGNED:
            part = "headers"
        elif line == _SIGNATURE:
            part = "outside"
        elif part == "headers" and not line.strip():
            part = "text"
        elif part == "text":
            yield line.removeprefix("- ")


def _entry(line: str, where: str) -> tuple[str | None, Checksum] | None:
    """Return name and digest that a line gives, or None for a line of another kind."""
    if match := _GNU.fullmatch(line):
        escaped, digits, name = match.groups(default="")
        digest = f"{_guessed(len(digits), where)}:{digits}"
    elif match := _TAGGED.fullmatch(line):
        escaped, algorithm, name, digits = match.groups()
        digest = f"{algorithm}:{digits}"
    else:
        escaped, name, digest = "", "", line
    try:
        return _file_name(name, bool(escaped)), parse_checksum(digest)
    except ValueError:
        return None


def _file_name(text: str, escaped: bool) -> str | None:
    """Return the name that stands in a line; None where there is none, or ``-`` for stdin."""
    if not text.strip() or text == "-":
        return None
    if escaped:
        text = _ESCAPED.sub(lambda match: _UNESCAPED[match[1]], text)
    return text.removeprefix("./")


def _guessed(length: int, where: str) -> str:
    """Return the algorithm of so many hex digits, as the checksum file's own name says if it does.

    Its last word counts: ``sha3-notes.sha256``. Empty when no algorithm has that length.
    """
    fitting = [name for name, digits in _ALGORITHMS.items() if digits == length]
    for match in reversed(list(_MENTIONED.finditer(where.rpartition("/")[2].lower()))):
        for name in fitting:
            if name.startswith(match.lastgroup or ""):
                return name
    return fitting[0] if fitting else ""
