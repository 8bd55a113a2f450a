"""Measure transfers side by side with curl and the other clients, and print a Markdown report.

Everything runs on this machine, on two cores, against ``byte_server.py``: what is measured is what
clients cost, not a network or Glance. Rounds are interleaved (A B C A B C …), and a comparison is
the median of what the rounds say one by one, so that a slow minute of the machine slows all alike.

Run it with the Python of the environment that glancectl is installed in; see README.md beside it.
"""

import argparse
import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from byte_server import IMAGE_ID
from peers import RunFailed, execute, install
from report import (
    CURL,
    CURL_AND_SUM,
    DIGEST,
    DISK,
    GIB,
    MIB,
    OURS,
    SERVER,
    UNVERIFIED,
    Results,
    Sample,
    Target,
    at_least,
    human,
    preface,
    ratio,
    speed_targets,
    table,
    target_table,
    tell,
)

TOKEN = "benchmark"  # any will do for the byte server
SECTIONS = ("download", "upload", "tls", "memory", "connections")
MEMORY_SIZES = (100 * MIB, GIB, 16 * GIB)
MEMORY_LIMIT = 80 * MIB
NOTES = [
    "medians of interleaved rounds",
    "digests and fsync are on in glancectl; curl has neither; glance and openstack verify what "
    "they download, compute no digest of what they upload, and do not fsync",
    f"{CURL_AND_SUM}: `curl -o FILE && sha512sum FILE && sync FILE`; "
    "upload: `sha512sum FILE && curl -T FILE`",
]
RATE = 60e6  # bytes a second of each connection, where they are limited


class Data(NamedTuple):
    """A file to transfer, with its size in bytes and the digests that a server tells of it."""

    path: Path
    size: int
    sha512: str
    md5: str


class Case(NamedTuple):
    """A row of a table: what is timed, and the file that it makes."""

    name: str
    run: Callable[[], object]
    output: Path | None = None


class Place(NamedTuple):
    """Where the benchmark works. peers: the programs of the other clients, by name."""

    folder: Path
    peers: dict[str, Path]


# What is run


def environment(place: Place, url: str) -> dict[str, str]:
    """Return the environment of all programs: no cloud but the byte server, an own home."""
    certificate = str(place.folder / "certificate.pem")
    tls = {
        "OS_CACERT": certificate,
        "REQUESTS_CA_BUNDLE": certificate,
        "CURL_CA_BUNDLE": certificate,
    }
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(place.folder / "home"),
        "OS_TOKEN": TOKEN,
        "OS_ENDPOINT_OVERRIDE": url,
        **(tls if url.startswith("https:") else {}),
    }


def download_with_glancectl(place: Place, url: str, *options: str) -> int:
    """Download with glancectl and return its peak memory in bytes."""
    argv = [sys.executable, "-m", "glancectl", "image", "download", IMAGE_ID]
    return execute([*argv, str(output(place)), *options], environment(place, url)).memory


def upload_with_glancectl(place: Place, url: str, data: Data, *options: str) -> int:
    """Upload with glancectl and return its peak memory in bytes."""
    argv = [sys.executable, "-m", "glancectl", "image", "create", "benchmark"]
    source = ["--disk-format", "raw", "--file", str(data.path)]
    return execute([*argv, *source, *options], environment(place, url)).memory


def output(place: Place) -> Path:
    """Return the path that downloads go to."""
    return place.folder / "output"


def download_cases(place: Place, url: str, data: Data) -> list[Case]:
    """Return all ways of getting the image into a file, and the bounds they are measured by."""
    out = output(place)
    file_url = f"{url}/v2/images/{IMAGE_ID}/file"
    curl = f'curl -sSf -H "X-Auth-Token: {TOKEN}" -o "$1" "$2"'
    shell = partial(_shell, environment(place, url))
    return [
        Case(OURS, partial(download_with_glancectl, place, url), out),
        Case(CURL, partial(shell, curl, out, file_url), out),
        Case(
            CURL_AND_SUM,
            partial(shell, f'{curl} && sha512sum "$1" && sync "$1"', out, file_url),
            out,
        ),
        *(
            Case(name, partial(execute, argv, environment(place, url)), out)
            for name, argv in _peer_downloads(place, url).items()
        ),
        Case(DISK, partial(write_and_sync, out, data.size), out),
        Case(DIGEST, partial(hash_alone, data.size)),
        Case(SERVER, partial(shell, curl, "/dev/null", file_url)),
    ]


def upload_cases(place: Place, url: str, data: Data) -> list[Case]:
    """Return all ways of getting a file into the image service, and the bounds."""
    file_url = f"{url}/v2/images/curl/file"
    curl = f'curl -sSf -H "X-Auth-Token: {TOKEN}" -H "Content-Type: application/octet-stream"'
    curl = f'{curl} -T "$1" "$2"'
    shell = partial(_shell, environment(place, url))
    cases = [
        Case(OURS, partial(upload_with_glancectl, place, url, data)),
        Case(CURL, partial(shell, curl, data.path, file_url)),
        Case(CURL_AND_SUM, partial(shell, f'sha512sum "$1" && {curl}', data.path, file_url)),
        *(
            Case(name, partial(execute, argv, environment(place, url)))
            for name, argv in _peer_uploads(place, url, data).items()
        ),
        # What the other clients do: they compute no digest of what they upload.
        Case(UNVERIFIED, partial(upload_with_glancectl, place, url, data, "--no-verify")),
        Case(DIGEST, partial(hash_alone, data.size)),
    ]
    if url.startswith("http:"):
        cases.append(Case(SERVER, partial(put_by_sendfile, url, data.path)))
    return cases


def _shell(env: dict[str, str], script: str, *arguments: object) -> None:
    execute(["sh", "-c", script, "sh", *map(str, arguments)], env)


def _peer(place: Place, url: str, name: str) -> list[str]:
    """Return how another client is started with a token and an endpoint, without Keystone."""
    if name == "glance":
        return [str(place.peers[name]), "--os-image-url", url, "--os-auth-token", TOKEN]
    access = ["--os-auth-type", "admin_token", "--os-token", TOKEN, "--os-endpoint", f"{url}/v2"]
    return [str(place.peers[name]), *access]


def _peer_downloads(place: Place, url: str) -> dict[str, list[str]]:
    verbs = {"glance": ["image-download"], "openstack": ["image", "save"]}
    where = ["--file", str(output(place)), IMAGE_ID]
    return {name: [*_peer(place, url, name), *verbs[name], *where] for name in place.peers}


def _peer_uploads(place: Place, url: str, data: Data) -> dict[str, list[str]]:
    formats = ["--disk-format", "raw", "--container-format", "bare", "--file", str(data.path)]
    verbs = {
        "glance": ["image-create", "--name", "benchmark", *formats],
        "openstack": ["image", "create", *formats, "benchmark"],
    }
    return {name: [*_peer(place, url, name), *verbs[name]] for name in place.peers}


def write_and_sync(path: Path, size: int) -> None:
    """Write ``size`` bytes from memory and have them on the disk."""
    block = os.urandom(MIB)
    with open(path, "wb", buffering=0) as file:
        for start in range(0, size, MIB):
            file.write(block[: size - start])
        os.fsync(file.fileno())


def hash_alone(size: int) -> None:
    """Hash ``size`` bytes that lie in memory, on one core."""
    block = os.urandom(MIB)
    digest = hashlib.sha512()
    for start in range(0, size, MIB):
        digest.update(block[: size - start])


def put_by_sendfile(url: str, path: Path) -> None:
    """Upload with next to no work: what the byte server takes at most. Raises RunFailed."""
    where = urlsplit(url)
    head = f"PUT /v2/images/raw/file HTTP/1.1\r\nContent-Length: {path.stat().st_size}\r\n\r\n"
    address = (where.hostname or "", where.port or 80)
    with socket.create_connection(address) as sock, open(path, "rb", buffering=0) as file:
        sock.sendall(head.encode())
        sock.sendfile(file)
        if b" 204 " not in sock.recv(4096):
            raise RunFailed("the byte server did not take it")


# How it is measured


def measure(folder: Path, title: str, size: int, cases: Sequence[Case], rounds: int) -> Results:
    """Run all cases one after the other, ``rounds`` times; one that fails is not run again."""
    results = Results(size, {case.name: [] for case in cases}, {})
    for number in range(1, rounds + 1):
        for case in cases:
            if case.name in results.failures:
                continue
            try:
                sample = _sample(folder, case, size)
            except RunFailed as failure:
                results.failures[case.name] = str(failure)
                del results.samples[case.name]
                tell(f"{title}, {case.name}: failed: {failure}")
                continue
            results.samples[case.name].append(sample)
            tell(f"{title}, round {number} of {rounds}, {case.name}: {sample.wall:.2f} s")
    return results


def _sample(folder: Path, case: Case, size: int) -> Sample:
    """Run a case once, with nothing left to do from the one before, and remove its output."""
    os.sync()
    warm_memory(folder, size)
    cpu, began = _cpu(), time.perf_counter()
    try:
        case.run()
        return Sample(time.perf_counter() - began, _cpu() - cpu)
    finally:
        if case.output:
            case.output.unlink(missing_ok=True)


def _cpu() -> float:
    """Return the processor time in seconds of this process and of the children that ended."""
    return sum(os.times()[:4])


def warm_memory(folder: Path, size: int) -> None:
    """Fill free memory with ``size`` bytes of a file and give it back, ready for the next run.

    A virtual machine hands pages that are free for two seconds back to its host (free page
    reporting); getting them again can cost 2 s a GiB, and whoever runs after a pause would pay
    for it. Pages of a file, since the kernel takes those of programs from other lists.
    """
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    block = bytearray(MIB)
    with tempfile.TemporaryFile(dir=folder, buffering=0) as hole:
        hole.truncate(min(size, free * 3 // 4))
        while hole.readinto(block):
            pass


@contextlib.contextmanager
def serving(data: Data, *, tls: Path | None = None, rate: float | None = None) -> Iterator[str]:
    """Run a byte server that has ``data`` and hand out its URL."""
    server = Path(__file__).with_name("byte_server.py")
    argv = [sys.executable, str(server), str(data.path), "--sha512", data.sha512]
    argv += ["--md5", data.md5] if data.md5 else []
    argv += ["--tls", str(tls)] if tls else []
    argv += ["--rate", str(rate)] if rate else []
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        yield process.stdout.readline().strip()
        process.stdin.close()


@contextlib.contextmanager
def random_data(folder: Path, size: int) -> Iterator[Data]:
    """Make a file of random bytes, which neither compress nor leave holes; remove it at the end."""
    tell(f"making {human(size)} of random data")
    path = folder / f"random-{size}"
    sha512, md5 = hashlib.sha512(), hashlib.md5(usedforsecurity=False)
    with open(path, "wb", buffering=0) as file:
        for start in range(0, size, MIB):
            block = os.urandom(min(MIB, size - start))
            file.write(block)
            sha512.update(block)
            md5.update(block)
    yield Data(path, size, sha512.hexdigest(), md5.hexdigest())
    path.unlink()


@contextlib.contextmanager
def sparse_data(folder: Path, size: int) -> Iterator[Data]:
    """Make a file that is one hole; remove it at the end."""
    tell(f"hashing {human(size)} of zeros")
    path = folder / f"sparse-{size}"
    with open(path, "wb") as file:
        file.truncate(size)
    with open(path, "rb") as file:
        sha512 = hashlib.file_digest(file, "sha512").hexdigest()
    yield Data(path, size, sha512, "")
    path.unlink()


# The sections of the report: each returns its Markdown and the targets it has measured


Section = tuple[str, list[Target]]


def transfers(
    place: Place, data: Data, directions: Sequence[str], rounds: int, tls: Path | None
) -> Section:
    """Measure the downloads, the uploads or both, over TLS or not."""
    cases = {"download": download_cases, "upload": upload_cases}
    texts, targets = [], []
    for direction in directions:
        title = f"{direction} of {human(data.size)}{' over TLS' if tls else ''}"
        with serving(data, tls=tls) as url:
            listed = cases[direction](place, url, data)
            results = measure(place.folder, title, data.size, listed, rounds)
        texts.append(f"## {title[0].upper()}{title[1:]}\n\n{table(results)}\n")
        targets += speed_targets(title, results)
    return "\n".join(texts), targets


def memory(place: Place) -> Section:
    """Measure the peak memory of glancectl for files of all sizes, up and down."""
    rows, targets = [], []
    for size in MEMORY_SIZES:
        with sparse_data(place.folder, size) as data, serving(data) as url:
            tell(f"memory at {human(size)}")
            up = _peak(partial(upload_with_glancectl, place, url, data))
            down = _peak(partial(download_with_glancectl, place, url))
            output(place).unlink(missing_ok=True)
        rows.append(f"| {human(size)} | {up[0]} | {down[0]} |")
        for direction, (text, peak) in (("upload", up), ("download", down)):
            what = f"peak memory, {direction} of {human(size)}"
            met = 0 < peak < MEMORY_LIMIT
            targets.append(Target(what, f"under {human(MEMORY_LIMIT)}", text, met))
    head = "## Peak memory of glancectl\n\n| file (sparse) | upload | download |\n|---|---|---|"
    return "\n".join([head, *rows, ""]), targets


def _peak(run: Callable[[], int]) -> tuple[str, int]:
    """Return a peak of memory as a text and in bytes, 0 when the run failed."""
    try:
        peak = run()
    except RunFailed as failure:
        return f"failed: {failure}", 0
    return f"{peak / MIB:.1f} MiB", peak


def connections(place: Place, data: Data, rounds: int) -> Section:
    """Measure what several connections bring when each one is limited."""
    title = f"download of {human(data.size)}, each connection limited to {RATE / 1e6:.0f} MB/s"
    with serving(data, rate=RATE) as url:
        cases = [
            Case(
                f"--connections {count}",
                partial(download_with_glancectl, place, url, "--connections", str(count)),
                output(place),
            )
            for count in (1, 4)
        ]
        results = measure(place.folder, title, data.size, cases, rounds)
    gain = ratio(results, "--connections 4", ["--connections 1"])
    target = at_least(f"{title}: --connections 4 against one", gain, 3.5)
    return f"## D{title[1:]}\n\n{table(results, '--connections 4')}\n", [target]


# The program


def make_certificate(folder: Path) -> Path:
    """Make ``certificate.pem`` for 127.0.0.1 and return a file with it and its key."""
    certificate, key, both = (folder / f"{name}.pem" for name in ("certificate", "key", "both"))
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"]
    argv += ["-addext", "subjectAltName=IP:127.0.0.1"]
    argv += ["-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
    argv += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(argv, check=True, capture_output=True)
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    return both


def use_two_cores() -> None:
    """Keep this process, and so all that it starts, on two processors."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])


def require_room(folder: Path, arguments: argparse.Namespace) -> None:
    """End the program when the folder's disk cannot take the data."""
    needed = max(2 * arguments.size, MEMORY_SIZES[-1] if "memory" in arguments.only else 0) + GIB
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SystemExit(f"{folder}: {human(needed)} are needed, {human(free)} are free (--folder)")


def sections(place: Place, arguments: argparse.Namespace) -> Iterator[Section]:
    """Measure what ``--only`` names, one section after the other."""
    only, rounds = arguments.only, arguments.rounds
    plain = [name for name in ("download", "upload") if name in only]
    if plain or "tls" in only:
        with random_data(place.folder, arguments.size) as data:
            if plain:
                yield transfers(place, data, plain, rounds, None)
            if "tls" in only:
                both = make_certificate(place.folder)
                yield transfers(place, data, ("download", "upload"), rounds, both)
    if "memory" in only:
        yield memory(place)
    if "connections" in only:
        with random_data(place.folder, min(arguments.size, GIB)) as data:
            yield connections(place, data, rounds)


def parse_size(text: str) -> int:
    """Read a size as in 256M or 4G, in bytes."""
    units = {"K": 1 << 10, "M": MIB, "G": GIB}
    return int(text[:-1]) * units[text[-1]] if text[-1:] in units else int(text)


def parse_only(sections: Sequence[str], text: str) -> list[str]:
    """Read names of ``sections`` with commas between them. Raises ValueError for another one."""
    names = text.split(",")
    if not set(names) <= set(sections):
        raise ValueError
    return names


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    cache = Path.home() / ".cache" / "glancectl-benchmarks"
    parser.add_argument("--size", type=parse_size, default=4 * GIB, help="default: 4G")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument(
        "--only",
        type=partial(parse_only, SECTIONS),
        default=SECTIONS,
        metavar=",".join(SECTIONS),
        help="default: all",
    )
    parser.add_argument("--no-peers", action="store_true", help="leave the other clients out")
    parser.add_argument("--cache", type=Path, default=cache, help=f"their home, default: {cache}")
    parser.add_argument("--folder", type=Path, help="for the data; default: beside the cache")
    parser.add_argument("--out", type=Path, help="write the report to this file too")
    return parser.parse_args()


def main() -> None:
    """Measure, and print the report."""
    arguments = parse_arguments()
    load = os.getloadavg()[0]
    use_two_cores()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    parent = (arguments.folder or arguments.cache.parent).absolute()
    require_room(parent, arguments)
    with tempfile.TemporaryDirectory(prefix="glancectl-benchmarks-", dir=parent) as name:
        peers = {} if arguments.no_peers else install(arguments.cache.absolute())
        place = Place(Path(name), peers)
        (place.folder / "home").mkdir()
        texts, targets = [], []
        notes = [f"{human(arguments.size)}, rounds: {arguments.rounds}", *NOTES]
        head = preface("Transfers, side by side", place.peers, load, notes)
        for text, measured in sections(place, arguments):
            texts.append(text)
            targets += measured
    report = "\n".join([head, target_table(targets), *texts])
    sys.stdout.write(report)
    if arguments.out:
        arguments.out.write_text(report)


if __name__ == "__main__":
    main()
