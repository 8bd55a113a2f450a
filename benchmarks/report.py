"""What was measured, compared with what is wanted, and written as Markdown."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

MIB = 1 << 20  # bytes
GIB = 1 << 30  # bytes
# The other clients: their programs, and what they are called on PyPI.
PEERS = {"glance": "python-glanceclient", "openstack": "python-openstackclient"}

# The rows of the tables that others are compared with.
OURS = "glancectl"
CURL = "curl"
CURL_AND_SUM = "curl and sha512sum"
DISK = "disk: write and fsync"
DIGEST = "sha512 alone"
SERVER = "server alone"
UNVERIFIED = "glancectl --no-verify"


class Sample(NamedTuple):
    """What a run took: seconds on the clock, and of the processors."""

    wall: float
    cpu: float


class Results(NamedTuple):
    """The samples of each case, one a round, and why a case could not be measured."""

    size: int
    samples: dict[str, list[Sample]]
    failures: dict[str, str]


class Target(NamedTuple):
    """A line of the requirement: what is wanted, what was measured, whether that is enough."""

    what: str
    wanted: str
    measured: str
    met: bool


# Comparing


def ratio(results: Results, ours: str, others: Sequence[str]) -> float | None:
    """Return how many times as fast ``ours`` is as the slowest of ``others``, round by round.

    None when one of them was not measured.
    """
    if not {ours, *others} <= results.samples.keys():
        return None
    rounds = zip(*(results.samples[name] for name in (ours, *others)), strict=True)
    ratios = [max(s.wall for s in samples[1:]) / samples[0].wall for samples in rounds]
    return float(median(ratios))


def speed_targets(title: str, results: Results) -> list[Target]:
    """Judge a transfer by what the requirement says of it."""
    bounds = [name for name in (CURL, DISK, DIGEST) if name in results.samples]
    slowest = max(bounds, key=lambda name: _median_wall(results, name), default="none")
    compare = partial(ratio, results, OURS)
    targets = [
        at_least(f"{title}: against the slowest bound (here {slowest})", compare(bounds), 0.9),
        at_least(f"{title}: against {CURL_AND_SUM}", compare([CURL_AND_SUM]), 1.3),
    ]
    peers = [name for name in PEERS if name in {*results.samples, *results.failures}]
    targets += [_above(f"{title}: against {name}", compare([name])) for name in peers]
    for name in (OURS, CURL) if SERVER in results.samples else ():
        outrun = ratio(results, SERVER, [name])
        targets.append(_above(f"{title}: the byte server alone outruns {name}", outrun))
    return targets


def _median_wall(results: Results, name: str) -> float:
    return median(sample.wall for sample in results.samples[name])


def at_least(what: str, value: float | None, least: float) -> Target:
    """Judge a factor that has to be ``least`` or more."""
    met = value is not None and value >= least
    return Target(what, f"at least {least} times", times(value), met)


def _above(what: str, value: float | None) -> Target:
    return Target(what, "faster", times(value), value is not None and value > 1)


def times(value: float | None) -> str:
    """Return a factor for people."""
    return "not measured" if value is None else f"{value:.2f} times"


# Writing


def table(results: Results, ours: str = OURS) -> str:
    """Return the samples of all cases as a Markdown table."""
    titles = ["", "seconds, round by round", "median s", "GB/s", "processor s"]
    lines = [f"| {' | '.join(titles)} | {ours} is … times as fast |", "|---|---|---|---|---|---|"]
    for name, samples in results.samples.items():
        walls = " ".join(f"{sample.wall:.2f}" for sample in samples)
        wall, cpu = _median_wall(results, name), median(sample.cpu for sample in samples)
        against = "" if name == ours else times(ratio(results, ours, [name])).removesuffix(" times")
        speed = results.size / wall / 1e9
        lines.append(f"| {name} | {walls} | {wall:.2f} | {speed:.2f} | {cpu:.2f} | {against} |")
    lines += [f"| {name} | failed: {why} | | | | |" for name, why in results.failures.items()]
    return "\n".join(lines)


def target_table(targets: Sequence[Target]) -> str:
    """Return the targets as a Markdown table."""
    lines = ["## Targets", "", "| | wanted | measured | met |", "|---|---|---|---|"]
    lines += [f"| {t.what} | {t.wanted} | {t.measured} | {yes(t.met)} |" for t in targets]
    return "\n".join([*lines, ""])


def yes(value: bool) -> str:
    """Return yes or no."""
    return "yes" if value else "**no**"


def preface(title: str, programs: Mapping[str, Path], load: float, notes: Sequence[str]) -> str:
    """Return what the numbers depend on: machine, programs, and what the notes say.

    programs: those that were measured, each in an environment of its own. load: at the start.
    """
    cpus = sorted(os.sched_getaffinity(0))
    memory_size = human(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    curl = _first_line(["curl", "--version"]).split(" (")[0]
    ours = _first_line([sys.executable, "-m", "glancectl", "--version"])
    others = [
        f"{PEERS[name]} {_version_of(programs[name], PEERS[name])}"
        for name in PEERS
        if name in programs
    ]
    lines = [
        f"# {title}",
        "",
        f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, load average at the start {load:.2f}",
        f"- {len(cpus)} of {os.cpu_count()} processors ({_cpu_model()}), {memory_size} memory",
        f"- Linux {platform.release()}, Python {platform.python_version()}, "
        f"{_first_line(['openssl', 'version'])}",
        f"- {', '.join([ours, curl, *others])}",
        *(f"- {note}" for note in notes),
        "",
    ]
    return "\n".join(lines)


def _first_line(argv: Sequence[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return done.stdout.partition("\n")[0].strip()


def _version_of(program: Path, package: str) -> str:
    ask = f"from importlib.metadata import version; print(version({package!r}))"
    return _first_line([str(program.with_name("python")), "-c", ask])


def _cpu_model() -> str:
    with open("/proc/cpuinfo") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def human(size: int) -> str:
    """Return a size in bytes with its binary unit, the way it was asked for."""
    unit, name = (GIB, "GiB") if size >= GIB else (MIB, "MiB")
    return f"{size / unit:.0f} {name}" if size % unit == 0 else f"{size / unit:.1f} {name}"


def tell(text: str) -> None:
    """Say on stderr what is going on."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
