"""Expected digests: ALGO:HEX, and checksum files as distributions and programs write them."""

import contextlib
import hashlib
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from glancectl.errors import Exit, RefusedError
from glancectl.transfer.checksum import Checksum, find_checksum, is_digest, parse_checksum

DATA = b"the bytes of an image"
OTHER = b"the bytes of another image"
HINT = "--checksum ALGO:HEX gives the digest itself"
files = pytest.mark.reliability("files of checksums, and digests as users type them")


def digest(algorithm: str, data: bytes = DATA) -> str:
    return hashlib.new(algorithm, data).hexdigest()


def checksum(algorithm: str, data: bytes = DATA) -> Checksum:
    return Checksum(algorithm, digest(algorithm, data))


def refusal(text: str, name: str | None, where: str) -> str:
    """Return the message that a checksum file is refused with."""
    with pytest.raises(RefusedError) as caught:
        find_checksum(text, name, where)
    assert caught.value.exit == Exit.REFUSED
    assert caught.value.hint == HINT
    return caught.value.message


# ALGO:HEX


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("md5:" + "a" * 32, Checksum("md5", "a" * 32), id="md5"),
        pytest.param("sha1:" + "0" * 40, Checksum("sha1", "0" * 40), id="sha1"),
        pytest.param("sha224:" + "0" * 56, Checksum("sha224", "0" * 56), id="sha224"),
        pytest.param("sha256:" + "f" * 64, Checksum("sha256", "f" * 64), id="sha256"),
        pytest.param("SHA256:" + "F" * 64, Checksum("sha256", "f" * 64), id="capitals"),
        pytest.param("sha-256:" + "f" * 64, Checksum("sha256", "f" * 64), id="sha-256"),
        pytest.param("sha_256:" + "f" * 64, Checksum("sha256", "f" * 64), id="sha_256"),
        pytest.param("sha2-256:" + "f" * 64, Checksum("sha256", "f" * 64), id="sha2-256"),
        pytest.param("sha384:" + "f" * 96, Checksum("sha384", "f" * 96), id="sha384"),
        pytest.param("sha512:" + "f" * 128, Checksum("sha512", "f" * 128), id="sha512"),
        pytest.param("sha3-224:" + "f" * 56, Checksum("sha3_224", "f" * 56), id="sha3-224"),
        pytest.param("sha3-256:" + "f" * 64, Checksum("sha3_256", "f" * 64), id="sha3-256"),
        pytest.param("sha3_384:" + "f" * 96, Checksum("sha3_384", "f" * 96), id="sha3_384"),
        pytest.param("SHA3-512:" + "f" * 128, Checksum("sha3_512", "f" * 128), id="SHA3-512"),
        pytest.param("blake2b:" + "f" * 128, Checksum("blake2b", "f" * 128), id="blake2b"),
        pytest.param("blake2b-512:" + "f" * 128, Checksum("blake2b", "f" * 128), id="blake2b-512"),
        pytest.param("blake2s:" + "f" * 64, Checksum("blake2s", "f" * 64), id="blake2s"),
        pytest.param(" sha1 : " + "0" * 40 + "\n", Checksum("sha1", "0" * 40), id="blanks"),
    ],
)
def test_parse_checksum(text: str, expected: Checksum) -> None:
    assert parse_checksum(text) == expected
    assert hashlib.new(expected.algorithm).digest_size * 2 == len(expected.hex)
    assert is_digest(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "'' is not ALGO:HEX, such as sha256:9f86d0…", id="empty"),
        pytest.param("f" * 64, f"'{'f' * 64}' is not ALGO:HEX, such as sha256:9f86d0…", id="bare"),
        pytest.param(
            "crc32:0123456789abcdef",
            "'crc32' is not one of sha512, sha3_512, blake2b, sha384, sha3_384, sha256, sha3_256, "
            "blake2s, sha224, sha3_224, sha1, md5",
            id="unknown",
        ),
        pytest.param(
            "sha256:" + "f" * 63, "sha256 digests have 64 hex digits, not 63", id="too short"
        ),
        pytest.param("md5:", "md5 digests have 32 hex digits, not 0", id="no digest"),
        pytest.param("md5:" + "g" * 32, f"'{'g' * 32}' is not hexadecimal", id="not hex"),
        pytest.param("md5:0x" + "0" * 30, f"'0x{'0' * 30}' is not hexadecimal", id="0x"),
        pytest.param("md5:" + "٣" * 32, f"'{'٣' * 32}' is not hexadecimal", id="other digits"),
    ],
)
def test_a_digest_with_a_mistake_is_told_as_such(text: str, message: str) -> None:
    assert is_digest(text)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared below
        parse_checksum(text)
    assert str(caught.value) == message


@files
@given(st.text(max_size=80))
def test_parse_checksum_of_any_text(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert len(parse_checksum(text).hex) >= 32
        assert is_digest(text)


@pytest.mark.parametrize(
    "text",
    [
        "sha256:abc", "sha256:SHA256SUMS", "SHA3-256:", "md5://x", "sha257:0123456789abcdef",
        "sha-512-256:0123456789ABCDEF", ":0123456789abcdef", ":", " ", "0123456789abcdef",
    ],
)  # fmt: skip
def test_is_digest(text: str) -> None:
    assert is_digest(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/SHA256SUMS", "http://[::1]:8080/x", "file:///tmp/x.md5", "SHA256SUMS",
        "./x", "x:y", "C:foo", "C:\\foo", "-", "deadbeef", "mirror:deadbeef", "./sha256:abc",
        "sums/x:0123456789abcdef", "/md5:0123456789abcdef", "md5", "sha256sum.txt", "a\0b",
        "\udcff",
    ],
)  # fmt: skip
def test_is_digest_not(text: str) -> None:
    assert not is_digest(text)


@pytest.mark.parametrize("name", ["v2:0123456789abcdef", "0123456789abcdef0123456789abcdef"])
def test_a_file_that_is_there_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_digest(name)
    Path(name).touch()
    assert not is_digest(name)


# Files as distributions publish them

SIGNATURE = """\
-----BEGIN PGP SIGNATURE-----
Comment: of no worth

iQIzBAEBCAAdFiEEsPtZoJXvXPpPCd1LMWoQ5BBRZEkFAmcZ8b0ACgkQMWoQ5BBR
{hex64}
=q2rd
-----END PGP SIGNATURE-----
""".format(hex64="e" * 64)  # 64 characters, as lines of base64 are


def clear_signed(text: str) -> str:
    return f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\nHash: SHA512\n\n{text}\n{SIGNATURE}"


def gnu(algorithm: str, *names: str, mark: str = " ") -> str:
    """Return lines as of sha256sum: the first file holds DATA, all others OTHER."""
    return "".join(
        f"{digest(algorithm, OTHER if at else DATA)} {mark}{name}\n"
        for at, name in enumerate(names)
    )


def bsd(tag: str, algorithm: str, *names: str, data: bytes = DATA, size: bool = True) -> str:
    """Return lines as of ``sha256sum --tag``, with the size in a comment as Fedora has it."""
    return "".join(
        (f"# {name}: {len(data)} bytes\n" if size else "")
        + f"{tag} ({name}) = {digest(algorithm, data)}\n"
        for name in names
    )


UBUNTU = "noble-server-cloudimg-amd64.img"
DEBIAN = "debian-12-genericcloud-amd64.qcow2"
FEDORA = "Fedora-Cloud-Base-Generic-42-1.1.x86_64.qcow2"
CENTOS = "CentOS-Stream-GenericCloud-9-20250101.0.x86_64.qcow2"
ALPINE = "nocloud_alpine-3.21.0-x86_64-bios-cloudinit-r0.qcow2"
ARCH = "Arch-Linux-x86_64-cloudimg-20250101.1.qcow2"
ROCKY = "Rocky-9-GenericCloud.latest.x86_64.qcow2"
CIRROS = "cirros-0.6.3-x86_64-disk.img"
KALI = "kali-linux-2025.1-cloud-genericcloud-amd64.tar.xz"
SUSE = "openSUSE-Leap-15.6-Minimal-VM.x86_64-15.6.0-Cloud-Build16.1.qcow2"
PUBLISHED = [
    pytest.param(
        gnu("sha256", UBUNTU, UBUNTU + ".vmdk", "noble-server-cloudimg-arm64.img", mark="*"),
        UBUNTU, "https://cloud-images.example/noble/current/SHA256SUMS", "sha256", id="ubuntu",
    ),
    pytest.param(
        gnu("sha512", DEBIAN, DEBIAN.replace("qcow2", "raw"), "debian-12-nocloud-amd64.qcow2"),
        DEBIAN, "SHA512SUMS", "sha512", id="debian",
    ),
    pytest.param(
        clear_signed(
            bsd("SHA256", "sha256", "Fedora-Cloud-Base-AmazonEC2-42-1.1.x86_64.raw.xz", data=OTHER)
            + bsd("SHA256", "sha256", FEDORA)
        ),
        FEDORA, "Fedora-Cloud-42-1.1-x86_64-CHECKSUM", "sha256", id="fedora",
    ),
    pytest.param(
        bsd("SHA256", "sha256", CENTOS) + bsd("SHA256", "sha256", CENTOS + ".xz", data=OTHER),
        CENTOS, "CHECKSUM", "sha256", id="centos",
    ),
    pytest.param(gnu("sha512", ALPINE), ALPINE, ALPINE + ".sha512", "sha512", id="alpine"),
    pytest.param(gnu("sha256", ARCH), ARCH, ARCH + ".SHA256", "sha256", id="arch"),
    pytest.param(
        gnu("blake2b", "iso/archlinux.iso", "./boot.img"), "archlinux.iso", "b2sums.txt", "blake2b",
        id="arch-b2sums",
    ),
    pytest.param(bsd("SHA256", "sha256", ROCKY), ROCKY, ROCKY + ".CHECKSUM", "sha256", id="rocky"),
    pytest.param(
        gnu("md5", CIRROS, "cirros-0.6.3-aarch64-disk.img"), CIRROS, "MD5SUMS", "md5", id="cirros"
    ),
    pytest.param(
        gnu("sha256", KALI, KALI + ".torrent"), KALI, "SHA256SUMS", "sha256", id="kali"
    ),
    pytest.param(clear_signed(gnu("sha256", SUSE)), SUSE, SUSE + ".sha256", "sha256", id="suse"),
]  # fmt: skip
ALONE = pytest.param(digest("sha512"), ALPINE, ALPINE + ".sha512", "sha512", id="alpine-bare")


@pytest.mark.parametrize(("text", "name", "where", "algorithm"), [*PUBLISHED, ALONE])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text, id="as-it-is"),
        pytest.param(lambda text: text.replace("\n", "\r\n"), id="crlf"),
        pytest.param(lambda text: "\ufeff" + text, id="byte-order-mark"),
        pytest.param(lambda text: text.rstrip("\n"), id="no-last-newline"),
        pytest.param(lambda text: f"\n# a comment\n\n{text}\n\n", id="comments"),
    ],
)
def test_published(
    change: Callable[[str], str], text: str, name: str, where: str, algorithm: str
) -> None:
    assert find_checksum(change(text), name, where) == checksum(algorithm)


@pytest.mark.parametrize(("text", "name", "where", "algorithm"), PUBLISHED)
def test_published_for_a_file_that_is_not_listed(
    text: str, name: str, where: str, algorithm: str
) -> None:
    assert refusal(text, "x.img", where).startswith(f"{where} has no digest of x.img, only of ")


# Lines of every kind


@pytest.mark.parametrize(
    ("line", "algorithm"),
    [
        pytest.param(f"{digest('sha256')}  x.img", "sha256", id="gnu"),
        pytest.param(f"{digest('sha256')} *x.img", "sha256", id="gnu-binary"),
        pytest.param(f"{digest('sha256')} x.img", "sha256", id="one-space"),
        pytest.param(f"{digest('sha256')}\tx.img", "sha256", id="tab"),
        pytest.param(f"  {digest('sha256')}     x.img  ", "sha256", id="more-space"),
        pytest.param(f"{digest('sha256').upper()}  x.img", "sha256", id="capitals"),
        pytest.param(f"{digest('sha256')}  ./x.img", "sha256", id="here"),
        pytest.param(f"{digest('sha256')}  /srv/images/x.img", "sha256", id="folder"),
        pytest.param(f"SHA256 (x.img) = {digest('sha256')}", "sha256", id="bsd"),
        pytest.param(f"SHA256 (./a/x.img) = {digest('sha256')}", "sha256", id="bsd-folder"),
        pytest.param(f"sha256 (x.img) = {digest('sha256').upper()} ", "sha256", id="bsd-case"),
        pytest.param(f"SHA3-256 (x.img) = {digest('sha3_256')}", "sha3_256", id="sha3-256"),
        pytest.param(f"BLAKE2b (x.img) = {digest('blake2b')}", "blake2b", id="blake2b"),
        pytest.param(f"BLAKE2s (x.img) = {digest('blake2s')}", "blake2s", id="blake2s"),
        pytest.param(f"SHA256(x.img)= {digest('sha256')}", "sha256", id="openssl-1"),
        pytest.param(f"SHA2-256(x.img)= {digest('sha256')}", "sha256", id="openssl-3"),
        pytest.param(f"SHA2-512(x.img)= {digest('sha512')}", "sha512", id="openssl-3-sha512"),
        pytest.param(f"BLAKE2B-512(x.img)= {digest('blake2b')}", "blake2b", id="openssl-blake2b"),
        pytest.param(f"BLAKE2S-256(x.img)= {digest('blake2s')}", "blake2s", id="openssl-blake2s"),
    ],
)
def test_a_line_with_a_name(line: str, algorithm: str) -> None:
    others = f"{digest('md5', OTHER)}  y.img\nSHA512 (z.img) = {digest('sha512', OTHER)}\n"
    assert find_checksum(f"{others}{line}\n", "x.img", "CHECKSUMS") == checksum(algorithm)


@pytest.mark.parametrize("name", ["x.img", "any other", None])
@pytest.mark.parametrize(
    "line",
    [
        digest("sha256"), digest("sha256").upper(), f"  {digest('sha256')}\t",
        f"{digest('sha256')}   ",
        f"{digest('sha256')}  -", f"{digest('sha256')} *-", f"SHA256 (-) = {digest('sha256')}",
        f"sha256:{digest('sha256')}", f"SHA-256: {digest('sha256')}",
        f"# sha256sum\n\t# of x\n{digest('sha256')}", f"{digest('sha256')}\n{digest('sha256')}",
        clear_signed(digest("sha256")), f"{digest('sha256')}\n{SIGNATURE}",
    ],
)  # fmt: skip
def test_a_digest_alone_holds_for_any_file(line: str, name: str | None) -> None:
    for text in (line, f"\r\n{line}\r\n\r\n", f"\ufeff{line}\n"):
        assert find_checksum(text, name, "x") == checksum("sha256")


@pytest.mark.parametrize(
    ("where", "algorithm"),
    [
        pytest.param("x.md5", "md5", id="md5"),
        pytest.param("x.sha1", "sha1", id="sha1"),
        pytest.param("CHECKSUM", "sha224", id="sha224"),
        pytest.param("CHECKSUM", "sha256", id="sha256"),
        pytest.param("CHECKSUM", "sha384", id="sha384"),
        pytest.param("CHECKSUM", "sha512", id="sha512"),
        pytest.param("x.qcow2.sha384", "sha384", id="sha384-is-no-sha3"),
        pytest.param("x.qcow2.sha3-224", "sha3_224", id="sha3-224"),
        pytest.param("x.qcow2.sha3-256", "sha3_256", id="sha3-256"),
        pytest.param("x.qcow2.sha3_384", "sha3_384", id="sha3_384"),
        pytest.param("https://example.org/SHA3-512SUMS?v=1", "sha3_512", id="url"),
        pytest.param("x.sha3", "sha3_256", id="sha3"),
        pytest.param("SHA3SUMS", "sha3_512", id="SHA3SUMS"),
        pytest.param("B2SUMS", "blake2b", id="B2SUMS"),
        pytest.param("x.b2", "blake2b", id="b2"),
        pytest.param("b2sum.txt", "blake2b", id="b2sum"),
        pytest.param("BLAKE2SUMS", "blake2b", id="BLAKE2SUMS"),
        pytest.param("x.blake2b", "blake2b", id="blake2b"),
        pytest.param("x.blake2s", "blake2s", id="blake2s"),
        pytest.param("BLAKE2sSUMS", "blake2s", id="BLAKE2sSUMS"),
        pytest.param("sha3-notes.sha256", "sha256", id="the-last-word"),
        pytest.param("x.sha512", "sha256", id="another-length"),
        pytest.param("x.b2", "sha256", id="b2-of-another-length"),
        pytest.param("web2.txt", "sha512", id="b2-within-a-word"),
        pytest.param("b2b.txt", "sha512", id="b2-at-the-start-of-a-word"),
        pytest.param("blake2s/sha3/CHECKSUM", "sha256", id="folders-do-not-count"),
    ],
)
def test_the_checksum_file_s_own_name_says_the_algorithm(where: str, algorithm: str) -> None:
    text = digest(algorithm)
    assert find_checksum(text, "x", where) == checksum(algorithm)
    assert find_checksum(f"{text}  x\n{text}  y\n", "x", where) == checksum(algorithm)


def test_of_several_algorithms_the_strongest_is_taken() -> None:
    names = (
        "sha512", "sha3_512", "blake2b", "sha384", "sha3_384", "sha256", "sha3_256", "blake2s",
        "sha224", "sha3_224", "sha1", "md5",
    )  # fmt: skip
    lines = [f"{name.replace('_', '-')} (x) = {digest(name)}" for name in names]
    for at, name in enumerate(names):
        for text in ("\n".join(lines[at:]), "\n".join(reversed(lines[at:]))):
            assert find_checksum(text, "x", "CHECKSUM") == checksum(name)
            assert find_checksum(text, None, "CHECKSUM") == checksum(name)


def test_algorithms_that_nobody_may_name_are_passed_over() -> None:
    digits = {
        "RMD160": 40, "SHA512-256": 64, "SHA2-512/256": 64, "BLAKE2b-256": 64, "SHA256": 63,
    }  # fmt: skip
    text = "".join(f"{tag} (x) = {'0' * count}\n" for tag, count in digits.items())
    assert refusal(text, "x", "SUMS") == "SUMS has no digest of a known algorithm"
    assert find_checksum(text + gnu("md5", "x"), "x", "SUMS") == checksum("md5")


# Names


def test_an_exact_name_beats_a_base_name() -> None:
    text = f"{digest('sha512', OTHER)}  old/x\n{digest('sha256')}  x\n{digest('md5', OTHER)}  y\n"
    assert find_checksum(text, "x", "SUMS") == checksum("sha256")
    assert find_checksum(text.replace("  x", "  ./x"), "x", "SUMS") == checksum("sha256")


def test_names_compare_by_letter() -> None:
    text = gnu("sha256", "a/X", "x.xz", "xx", "x/y")
    assert refusal(text, "x", "SUMS") == "SUMS has no digest of x, only of a/X, x.xz, xx, 1 more"


def test_one_other_name_is_refused_by_name() -> None:
    text = gnu("sha256", SUSE)
    message = f"SUMS has no digest of leap.qcow2, only of {SUSE[:59]}…"
    assert refusal(text, "leap.qcow2", "SUMS") == message
    assert refusal(bsd("SHA256", "sha256", "a"), "b", "S") == "S has no digest of b, only of a"


@pytest.mark.parametrize(
    "text",
    [
        gnu("sha256", "x", "x"),
        gnu("sha256", "a/x", "b/x"),
        gnu("sha256", "x") + bsd("SHA256", "sha256", "x", data=OTHER),
        gnu("sha512", "x") + gnu("sha256", "x", "x"),
    ],
)
def test_two_digests_of_one_algorithm(text: str) -> None:
    assert refusal(text, "x", "SUMS") == "SUMS has more than one sha256 digest of x"


def test_two_digests_alone() -> None:
    text = f"{digest('sha256')}\n{digest('sha256', OTHER)}\n"
    assert refusal(text, "x", "SUMS") == "SUMS has more than one sha256 digest of x"
    assert refusal(text, None, "SUMS") == "SUMS has more than one sha256 digest of the source"


def test_the_same_digest_twice_is_one() -> None:
    text = f"{digest('md5')}  x\n{digest('md5').upper()} *./x\n"
    assert find_checksum(text, "x", "SUMS") == checksum("md5")


def test_stdin_takes_the_only_entry() -> None:
    assert find_checksum(gnu("sha256", "x"), None, "SUMS") == checksum("sha256")
    assert find_checksum(clear_signed(gnu("sha256", SUSE)), None, "S") == checksum("sha256")
    message = "SUMS has digests of x, y, and the source has no name"
    assert refusal(gnu("sha256", "x", "y"), None, "SUMS") == message


def test_a_digest_without_a_name_counts_only_alone() -> None:
    bare = digest("sha256")
    assert refusal(f"{bare}\n{gnu('md5', 'y')}", "x", "S") == "S has no digest of x, only of y"
    assert find_checksum(f"{bare}\n{gnu('md5', 'x')}", "x", "S") == checksum("md5")
    assert find_checksum(f"{bare}\n{gnu('md5', 'x')}", None, "S") == checksum("md5")
    for text in (f"<pre>\n{bare}\n</pre>", f"request id:\n{bare}", f"{bare}0", f"{bare},"):
        assert refusal(text, "x", "S") == "S has no digest of a known algorithm"


@pytest.mark.parametrize(
    "text", ["", "\n", "<!DOCTYPE html>\n<p>Not Found", "# only a comment", SIGNATURE, "0123  x"]
)
def test_a_file_without_a_digest(text: str) -> None:
    assert refusal(text, "x", "SUMS") == "SUMS has no digest of a known algorithm"
    assert refusal(text, None, "SUMS") == "SUMS has no digest of a known algorithm"


def test_only_what_is_signed_counts() -> None:
    around = f"{digest('sha512', OTHER)}  x\n"
    text = around + clear_signed(gnu("sha256", "x")) + around
    assert find_checksum(text, "x", "SUMS") == checksum("sha256")
    both = text + clear_signed(gnu("sha384", "y"))
    assert find_checksum(both, "y", "SUMS") == checksum("sha384")
    assert refusal(both, "z", "SUMS") == "SUMS has no digest of z, only of x, y"


def test_dash_escaped_lines_of_a_signed_file() -> None:
    """RFC 9580, section 7.2: a signer puts ``- `` before lines that begin with a dash."""
    text = clear_signed(f"- -----BEGIN LIST-----\n{gnu('sha256', 'x')}- {digest('md5')}  y")
    assert find_checksum(text, "x", "SUMS") == checksum("sha256")
    assert find_checksum(text, "y", "SUMS") == checksum("md5")


def test_messages_cut_long_names() -> None:
    message = refusal(gnu("md5", *[str(at) * 300 for at in range(5)]), "n" * 300, "SUMS")
    assert message == (
        f"SUMS has no digest of {'n' * 59}…, only of {'0' * 59}…, {'1' * 59}…, {'2' * 59}…, 2 more"
    )


# What programs really print

NAMES = [
    "plain.img", "a b", " lead", "trail ", "*star", "a\\b", "a\\nb", "\\", "new\nline", "re\rturn",
    "both\\\n", "p) = 0", "(x)", "#hash", "-dash", "- ", "tab\tbed", "bell\x07", "ü",
    "\udcff\udcfe", "sep\u2028arated", "SHA256 (x) = 00", "0" * 64, f"{'0' * 64}  x",
]  # fmt: skip
SUMS = {
    "md5sum": "md5", "sha1sum": "sha1", "sha224sum": "sha224", "sha256sum": "sha256",
    "sha384sum": "sha384", "sha512sum": "sha512", "b2sum": "blake2b",
}  # fmt: skip
OPENSSL = {
    "-md5": "md5", "-sha1": "sha1", "-sha256": "sha256", "-sha512": "sha512",
    "-sha3-256": "sha3_256", "-sha3-512": "sha3_512", "-blake2b512": "blake2b",
    "-blake2s256": "blake2s",
}  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a file of each odd name, its name as content."""
    folder = tmp_path_factory.mktemp("images")
    for name in NAMES:
        (folder / name).write_bytes(os.fsencode(name))
    return folder


def printed(command: Sequence[str | Path], folder: Path, stdin: bytes = b"") -> str:
    """Run a program in ``folder`` and return what it prints, odd bytes as in file names."""
    done = subprocess.run(command, cwd=folder, input=stdin, capture_output=True, check=True)
    return os.fsdecode(done.stdout)


@pytest.mark.parametrize("option", ["--text", "--binary", "--tag"])
@pytest.mark.parametrize("program", SUMS)
def test_what_coreutils_print(images: Path, program: str, option: str) -> None:
    text = printed([program, option, "--", *NAMES], images)
    by_path = printed([program, option, *(images / name for name in NAMES)], images)
    for name in NAMES:
        expected = checksum(SUMS[program], os.fsencode(name))
        assert find_checksum(text, name, f"{program}s.txt") == expected
        assert find_checksum(by_path, name, f"{program}s.txt") == expected
    assert refusal(text, "x", program).startswith(f"{program} has no digest of x, only of plain.")


@pytest.mark.parametrize("option", ["--binary", "--tag"])
@pytest.mark.parametrize("program", SUMS)
def test_what_coreutils_print_of_stdin(images: Path, program: str, option: str) -> None:
    text = printed([program, option], images, DATA)
    assert find_checksum(text, "any.img", program) == checksum(SUMS[program])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl")
@pytest.mark.parametrize("form", [[], ["-r"]], ids=["tagged", "coreutils-like"])
@pytest.mark.parametrize("option", OPENSSL)
def test_what_openssl_prints(images: Path, option: str, form: list[str]) -> None:
    # It does not escape a newline in the one form, and only that in the other.
    names = [name for name in NAMES if "\n" not in name]
    names += ["new\nline"] if form else []
    text = printed(["openssl", "dgst", option, *form, *(f"./{name}" for name in names)], images)
    for name in names:
        expected = checksum(OPENSSL[option], os.fsencode(name))
        assert find_checksum(text, name, f"images{option}") == expected


# Any text

LINES = st.lists(
    st.one_of(
        st.text(max_size=40),
        st.sampled_from([
            gnu("sha256", "x"), gnu("md5", "y"), bsd("SHA256", "sha256", "x"), digest("sha1"),
            clear_signed(gnu("sha512", "x")), SIGNATURE, f"\\{digest('md5')} *\\\\\\x", "md5:00",
            f"SHA256 () = {digest('sha256')}", f"SHA256 (x) = {digest('sha256', OTHER)}",
        ]),
    ),
    max_size=6,
)  # fmt: skip


NAME = st.one_of(st.none(), st.sampled_from("xy-"), st.text())


@files
@given(LINES.map("\n".join), NAME, st.text())
def test_any_text_gives_a_digest_of_it_or_is_refused(
    text: str, name: str | None, where: str
) -> None:
    with contextlib.suppress(RefusedError):
        found = find_checksum(text, name, where)
        assert found.hex in text.lower()
        assert len(found.hex) == 2 * hashlib.new(found.algorithm).digest_size


# Files made up of lines of every kind

TAGS = {
    "sha512": "SHA512", "sha3_512": "SHA3-512", "blake2b": "BLAKE2b", "sha384": "SHA384",
    "sha3_384": "SHA3-384", "sha256": "SHA256", "sha3_256": "SHA3-256", "blake2s": "BLAKE2s",
    "sha224": "SHA224", "sha3_224": "SHA3-224", "sha1": "SHA1", "md5": "MD5",
}  # fmt: skip
GUESSED = ("sha512", "sha384", "sha256", "sha224", "sha1", "md5")  # by their length alone


def line_of(path: str, hexadecimal: str, algorithm: str, style: str) -> str:
    """Return a line with the digest of a file, as programs write it."""
    escaped = path.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    slash = "\\" if escaped != path else ""
    if style == "tag" or algorithm not in GUESSED:
        return f"{slash}{TAGS[algorithm]} ({escaped}) = {hexadecimal}"
    return f"{slash}{hexadecimal} {style}{escaped}"


FILE_NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0")
    | st.sampled_from(" \t\\\n\r*()=#-\u2028\udcff"),
    min_size=1,
    max_size=12,
).filter(lambda name: name.strip() and name != "-")
LISTED = st.lists(
    st.tuples(
        st.sampled_from(["", "./", "images/", "/srv/a b/"]),
        FILE_NAMES,
        st.lists(st.sampled_from([*TAGS]), min_size=1, max_size=3, unique=True),
        st.sampled_from([" ", "*", "tag"]),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda entry: entry[1],
)
# What else is in such files, none of it a digest.
TALK = st.lists(
    st.sampled_from(["", " ", "# sums", "\t# x: 3 bytes", "Hash: SHA256", "-----", "0123  x"]),
    max_size=4,
)
WRAPPED: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "crlf": lambda text: text.replace("\n", "\r\n"),
    "byte order mark": lambda text: f"\ufeff{text}",
    "signed": clear_signed,
    "signed with crlf": lambda text: clear_signed(text).replace("\n", "\r\n"),
}


@files
@given(LISTED, TALK, st.sampled_from([*WRAPPED]), st.randoms(use_true_random=False))
@example(
    [("images/", "x", ["md5"], " "), ("", "x ", ["sha256"], " ")], [], "as it is", random.Random(0)
)
def test_what_was_written_is_found_by_base_name(
    listed: list[tuple[str, str, list[str], str]],
    talk: list[str],
    wrapped: str,
    order: random.Random,
) -> None:
    """The name of a file is its content, so that another's digest is another."""
    lines = [
        line_of(folder + name, digest(algorithm, os.fsencode(name)), algorithm, style)
        for folder, name, algorithms, style in listed
        for algorithm in algorithms
    ] + talk
    order.shuffle(lines)
    text = WRAPPED[wrapped]("\n".join(lines) + "\n")
    for _, name, algorithms, _ in listed:
        strongest = next(algorithm for algorithm in TAGS if algorithm in algorithms)
        assert find_checksum(text, name, "CHECKSUMS") == checksum(strongest, os.fsencode(name))


@pytest.mark.parametrize(
    "part",
    [
        "0", " ", "\t", "\\", "(", ")", ") = ", ") = 0", "SHA256 (", "SHA256 (x) = 0", "\n", "- ",
        "0 ", "\\n", "-----BEGIN PGP SIGNED MESSAGE-----\n", "# \n", "sha256:", f"{'0' * 64}  x\n",
        f"{'0' * 64}  ", f"{'0' * 64}\n", "a/", "\r",
    ],
)  # fmt: skip
def test_a_mebibyte_of_anything_is_read_in_seconds(part: str) -> None:
    body = part * ((1 << 20) // len(part))
    started = time.process_time()
    for text in (body, f"SHA256 ({body}", f"{'0' * 64}  {body}", f"\\{'0' * 64}  {body}!"):
        with contextlib.suppress(RefusedError):
            find_checksum(text, "x", "SUMS")
    assert time.process_time() - started < 20  # quadratic takes hours
