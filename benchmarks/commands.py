"""Measure what a user waits for at the prompt, side by side with the other clients.

Everything runs on this machine: a sandbox (real Keystone, real Glance), glancectl installed the way
users have it, the other clients in environments of their own, and as floors curl with a ready token
and a Python that does nothing. Rounds are interleaved (A B C A B C …), and a ratio is the median of
the ratios within the rounds, so that a slow minute of the machine slows all alike.
"""

import argparse
import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import transfers
from counter import counted
from peers import ROOT, Run, RunFailed, execute, install, install_ours
from report import GIB, MIB, PEERS, Target, human, preface, target_table, tell

SECTIONS = ("startup", "commands", "lists", "bulk", "transfers")
LISTS = (300, 3000, 9000)  # images in the project
BULK = 200  # images of one command
LOOP = 10  # of them, where a client takes one at a time

OURS, OPENSTACK, GLANCE, CURL = "glancectl", "openstack", "glance", "curl"
WARM = "token cached"
COLD = "with a login"
GIVEN = "token and endpoint given"


class Cloud(NamedTuple):
    """The sandbox: how to log in, and a token and an endpoint for those that get them."""

    env: dict[str, str]
    token: str
    endpoint: str


class Place(NamedTuple):
    """What is measured and where. home: of the programs, with a token cache of their own."""

    programs: dict[str, Path]
    home: Path
    cloud: Cloud


class Case(NamedTuple):
    """A row of a table: a command, and how often it has to run for the same work."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    stdin: bytes = b""


Runs = dict[str, list[Run]]


# The cloud


@contextlib.contextmanager
def sandbox(folder: Path) -> Iterator[Cloud]:
    """Start a sandbox of its own, which is gone afterwards."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_STATE_HOME": str(folder)}
    ask = partial(_ours, {**env, "XDG_CACHE_HOME": str(folder / "cache")})
    tell("starting a sandbox")
    ask("sandbox", "up")
    try:
        exports = [line.removeprefix("export ") for line in ask("sandbox", "env").splitlines()]
        login = dict(shlex.split(line)[0].split("=", 1) for line in exports)
        token = ask("--cloud", "sandbox", "auth", "token").strip()
        endpoint = json.loads(ask("sandbox", "status", "-f", "json"))["glance"]
        yield Cloud(login, token, endpoint)
    finally:
        ask("sandbox", "down", "--purge")


def _ours(env: Mapping[str, str], *argv: str) -> str:
    command = [sys.executable, "-m", "glancectl", *argv]
    done = subprocess.run(command, env=dict(env), cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode()


def call(cloud: Cloud, method: str, path: str, body: object = None) -> Any:
    """Send a request to Glance, without any client."""
    request = urllib.request.Request(
        f"{cloud.endpoint}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"X-Auth-Token": cloud.token, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def reserve(cloud: Cloud, count: int) -> list[str]:
    """Make so many image records and return their ids."""

    def make(number: int) -> str:
        fields = {"name": f"image {number:05}", "disk_format": "qcow2", "container_format": "bare"}
        more = {
            "tags": ["benchmark", f"t{number % 7}"],
            "os_distro": "debian",
            "build": str(number),
        }
        return str(call(cloud, "POST", "/v2/images", {**fields, **more})["id"])

    tell(f"making {count:,} image records")
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(make, range(count)))


def ids(cloud: Cloud) -> list[str]:
    """Return the ids of all images, in the order of the list."""
    found: list[str] = []
    path = "/v2/images?limit=1000"
    while path:
        page = call(cloud, "GET", path)
        found += [image["id"] for image in page["images"]]
        path = page.get("next", "")
    return found


# The commands


def environment(place: Place, cloud: bool = True) -> dict[str, str]:
    """Return the environment of a program: nothing of the user's own, and how to log in."""
    env = {"PATH": os.environ["PATH"], "HOME": str(place.home), "LANG": "C.UTF-8"}
    return {**env, **place.cloud.env} if cloud else env


def ours(place: Place, name: str, *argv: str, **case: Any) -> Case:
    return Case(name, [str(place.programs[OURS]), *argv], environment(place), **case)


def peer(place: Place, client: str, how: str, *argv: str) -> Case:
    """Return a command of another client, with a login of its own or none."""
    program = str(place.programs[client])
    token, endpoint = place.cloud.token, place.cloud.endpoint
    given = {
        GLANCE: ["--os-image-url", endpoint, "--os-auth-token", token],
        OPENSTACK: [
            *("--os-auth-type", "admin_token"),
            *("--os-token", token, "--os-endpoint", f"{endpoint}/v2"),
        ],
    }
    access = given[client] if how == GIVEN else []
    env = environment(place, cloud=how != GIVEN)
    return Case(f"{client}, {how}", [program, *access, *argv], env)


def curl(place: Place, *paths: str) -> Case:
    """Return the floor: one curl that asks for all ``paths``, one after the other."""
    urls = [f"{place.cloud.endpoint}{path}" for path in paths]
    argv = ["curl", "-sSf", "-H", f"X-Auth-Token: {place.cloud.token}", *urls]
    return Case(CURL, argv, environment(place, cloud=False))


def looped(case: Case, count: int, arguments: Sequence[str]) -> Case:
    """Return a shell loop that runs ``case`` once for each of ``arguments``."""
    loop = 'for image in $IMAGES; do "$@" "$image" >/dev/null || exit 1; done'
    env = {**case.env, "IMAGES": " ".join(arguments[:count])}
    return Case(case.name, ["sh", "-c", loop, "sh", *case.argv], env)


# Measuring


def measure(title: str, cases: Sequence[Case], rounds: int, warm_up: bool = True) -> Runs:
    """Run all cases one after the other, ``rounds`` times, and before that once uncounted."""
    runs: Runs = {case.name: [] for case in cases}
    for number in range(0 if warm_up else 1, rounds + 1):
        for case in cases:
            try:
                run = execute(case.argv, case.env, case.stdin)
            except RunFailed as failure:
                raise SystemExit(f"{title}, {case.name}: {failure}") from None
            if number:
                runs[case.name].append(run)
    tell(f"{title}: {', '.join(f'{name} {_wall(runs, name):.3f} s' for name in runs)}")
    return runs


def requests(place: Place, cases: Callable[[Place], Sequence[Case]]) -> dict[str, int]:
    """Return how many requests each case makes, those of its login included: of a second run."""
    cloud = place.cloud
    with counted(cloud.env["OS_AUTH_URL"]) as keystone, counted(cloud.endpoint) as glance:
        endpoint = {"OS_IMAGE_ENDPOINT_OVERRIDE": glance.url, "OS_IMAGE_URL": glance.url}
        env = {**cloud.env, **endpoint, "OS_AUTH_URL": keystone.url}
        found = {}
        for case in cases(place._replace(cloud=Cloud(env, cloud.token, glance.url))):
            execute(case.argv, case.env, case.stdin)
            before = keystone.count + glance.count
            execute(case.argv, case.env, case.stdin)
            found[case.name] = keystone.count + glance.count - before
    return found


def _wall(runs: Runs, name: str) -> float:
    return median(run.wall for run in runs[name])


def share(runs: Runs, ours: str, other: str) -> float:
    """Return ``ours`` as a part of ``other``, the median of the rounds."""
    pairs = zip(runs[ours], runs[other], strict=True)
    return float(median(a.wall / b.wall for a, b in pairs))


def at_most(title: str, runs: Runs, ours: str, other: str, most: float) -> Target:
    """Compare two rows of one measurement."""
    found = share(runs, ours, other)
    what = f"{title}: {ours} against {other}"
    return Target(what, f"at most {most}", f"{found:.2f}", found <= most)


def table(title: str, runs: Runs, first: str, asked: Mapping[str, int] | None = None) -> str:
    """Return a Markdown table of medians, with ``first`` as a part of each other row."""
    asked = asked or {}
    lines = [
        f"### {title}",
        "",
        f"| | median s | first output s | peak memory | requests | {first} is … of it |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, found in runs.items():
        memory = human(max(run.memory for run in found) // MIB * MIB)
        begins = median(run.first_line for run in found)
        part = "" if name == first else f"{share(runs, first, name):.2f}"
        cells = (name, f"{_wall(runs, name):.3f}", f"{begins:.3f}", memory)
        lines.append(f"| {' | '.join(cells)} | {asked.get(name, '')} | {part} |")
    return "\n".join([*lines, ""])


# The sections: each returns its Markdown and the targets it has measured


Section = tuple[str, list[Target]]


def startup(place: Place, rounds: int) -> Section:
    """Measure what needs no cloud."""
    env = environment(place, cloud=False)
    python = str(place.programs[OURS].with_name("python"))
    program = str(place.programs[OURS])
    cases = [
        Case("glancectl --version", [program, "--version"], env),
        Case("glancectl --help", [program, "--help"], env),
        Case("glancectl image list --help", [program, "image", "list", "--help"], env),
        Case("completion of a cloud's name", [program, "_suggest", "cloud"], env),
        *(
            Case(f"{name} --version", [str(place.programs[name]), "--version"], env)
            for name in PEERS
        ),
        Case("python -c pass", [python, "-c", "pass"], env),
    ]
    runs = measure("start-up", cases, rounds)
    limits = (("openstack --version", 0.12), ("glance --version", 0.35))
    targets = [
        at_most("start-up", runs, ours, other, most)
        for ours in ("glancectl --version", "glancectl --help")
        for other, most in limits
    ]
    return table("Start-up", runs, "glancectl --version"), targets


def commands(place: Place, rounds: int) -> Section:
    """Measure ``image show`` and ``image list`` of a few images."""
    image_id = reserve(place.cloud, 10)[0]
    verbs = {
        "show": (["image", "show", image_id], ["image-show", image_id], f"/v2/images/{image_id}"),
        "list": (["image", "list"], ["image-list"], "/v2/images?limit=1000"),
    }
    texts, targets = [], []
    for verb, (words, glance_words, path) in verbs.items():
        title = f"image {verb}"
        warm, cold = f"{OURS}, {WARM}", f"{OURS}, {COLD}"
        cases = partial(_one_command, words, glance_words, path)
        runs = measure(title, cases(place), rounds)
        texts.append(table(title, runs, warm, requests(place, cases)))
        targets += [
            at_most(title, runs, warm, f"{OPENSTACK}, {COLD}", 0.15),
            at_most(title, runs, warm, f"{GLANCE}, {COLD}", 0.2),
            at_most(title, runs, warm, f"{OPENSTACK}, {GIVEN}", 0.17),
            at_most(title, runs, warm, f"{GLANCE}, {GIVEN}", 0.4),
            at_most(title, runs, cold, f"{OPENSTACK}, {COLD}", 0.55),
        ]
    return "\n".join(texts), targets


def _one_command(
    words: Sequence[str], glance_words: Sequence[str], path: str, place: Place
) -> list[Case]:
    return [
        ours(place, f"{OURS}, {WARM}", *words),
        ours(place, f"{OURS}, {COLD}", "--no-token-cache", *words),
        peer(place, OPENSTACK, COLD, *words),
        peer(place, OPENSTACK, GIVEN, *words),
        peer(place, GLANCE, COLD, *glance_words),
        peer(place, GLANCE, GIVEN, *glance_words),
        curl(place, path),
    ]


LISTED = {name: f"glancectl -f {name}" for name in ("json", "tsv", "jsonl")}


def lists(place: Place, rounds: int) -> Section:
    """Measure lists of many images: whole, and until the first line."""
    texts, targets, memory = [], [], {}
    for count in LISTS:
        reserve(place.cloud, count - len(ids(place.cloud)))
        known = ids(place.cloud)
        pages = [f"&marker={known[place - 1]}" for place in range(1000, count, 1000)]
        title = f"image list of {count:,}"
        cases = partial(_one_list, ["", *pages])
        runs = measure(title, cases(place), rounds, warm_up=False)
        texts.append(table(title, runs, LISTED["json"], requests(place, cases)))
        memory[count] = max(run.memory for run in runs[LISTED["jsonl"]])
        if count == 3000:
            for name in ("json", "tsv"):
                targets += [
                    at_most(title, runs, LISTED[name], f"{OPENSTACK}, {COLD}", 0.2),
                    at_most(title, runs, LISTED[name], f"{GLANCE}, {COLD}", 0.6),
                    at_most(title, runs, LISTED[name], CURL, 1.3),
                ]
            first = median(run.first_line / run.wall for run in runs[LISTED["jsonl"]])
            what = f"{title}: first line of -f jsonl, as a part of the whole"
            targets.append(Target(what, "after the first page", f"{first:.2f}", first < 0.67))
    few, many = memory[LISTS[0]], memory[LISTS[-1]]
    what = f"peak memory of -f jsonl, {LISTS[-1]:,} images over {LISTS[0]:,}"
    more = many - few
    targets.append(Target(what, "at most 15 MiB more", human(max(more, 0)), more <= 15 * MIB))
    return "\n".join(texts), targets


def _one_list(pages: Sequence[str], place: Place) -> list[Case]:
    return [
        *(ours(place, row, "image", "list", "-f", name) for name, row in LISTED.items()),
        peer(place, OPENSTACK, COLD, "image", "list", "-f", "json"),
        peer(place, GLANCE, COLD, "image-list"),
        curl(place, *(f"/v2/images?limit=1000{page}" for page in pages)),
    ]


def bulk(place: Place, rounds: int) -> Section:
    """Measure one change to many images."""
    texts, targets = [], []
    title = f"a tag on {BULK} images"
    tagged = reserve(place.cloud, BULK)
    runs: Runs = {}
    one_by_one = f"{OPENSTACK}, a loop over {LOOP} of them"
    set_one = peer(place, OPENSTACK, COLD, "image", "set", "--tag")
    for number in range(rounds):
        tag = f"round{number}"
        cases = [
            ours(place, OURS, "image", "update", *tagged, "--tag", tag),
            looped(set_one._replace(name=one_by_one, argv=[*set_one.argv, tag]), LOOP, tagged),
        ]
        for name, found in measure(title, cases, 1, warm_up=False).items():
            runs.setdefault(name, []).extend(found)
    texts.append(table(title, runs, OURS))
    title, runs = f"delete {BULK} images", {}
    for _ in range(rounds):
        cases = [
            ours(place, OURS, "image", "delete", *reserve(place.cloud, BULK)),
            peer(place, OPENSTACK, COLD, "image", "delete", *reserve(place.cloud, BULK)),
            peer(place, GLANCE, COLD, "image-delete", *reserve(place.cloud, BULK)),
            _parallel_delete(place, reserve(place.cloud, BULK)),
        ]
        for name, found in measure(title, cases, 1, warm_up=False).items():
            runs.setdefault(name, []).extend(found)
    texts.append(table(title, runs, OURS))
    targets.append(at_most(title, runs, OURS, f"{OPENSTACK}, {COLD}", 0.25))
    return "\n".join(texts), targets


def _parallel_delete(place: Place, images: Sequence[str]) -> Case:
    """Return the floor: one curl that sends as many requests at once as glancectl does."""
    floor = curl(place, *(f"/v2/images/{image_id}" for image_id in images))
    program, *arguments = floor.argv
    argv = [program, "--parallel", "--parallel-max", "8", "-X", "DELETE", *arguments]
    return floor._replace(name=f"{CURL}, 8 at once", argv=argv)


def move(place: Place, rounds: int, folder: Path) -> Section:
    """Measure 1 GiB up and down, against the sandbox and against a byte server."""
    with transfers.random_data(folder, GIB) as data:
        texts = [_sandbox_transfers(place, rounds, data, folder)]
        peers = {name: place.programs[name] for name in PEERS}
        there = transfers.Place(folder, peers)
        found, _targets = transfers.transfers(there, data, ("upload", "download"), rounds, None)
        texts.append(f"\n{found}".replace("\n## ", "\n### against a byte server: ").lstrip())
    return "\n".join(texts), []


def _sandbox_transfers(place: Place, rounds: int, data: transfers.Data, folder: Path) -> str:
    kind = ["--disk-format", "raw", "--container-format", "bare"]
    up = [
        ours(place, OURS, "image", "create", "up", "--file", str(data.path), *kind),
        peer(place, OPENSTACK, COLD, "image", "create", "up", "--file", str(data.path), *kind),
        peer(place, GLANCE, COLD, "image-create", "--name", "up", "--file", str(data.path), *kind),
    ]
    title = f"upload of {human(data.size)} to the sandbox"
    texts = [table(title, measure(title, up, rounds, warm_up=False), OURS)]
    image_id = _uploaded(place, data)
    out = str(folder / "out")
    removed = ["sh", "-c", 'rm -f "$0" && exec "$@"', out]  # none may find it there
    down = [
        ours(place, OURS, "image", "download", image_id, out),
        peer(place, OPENSTACK, COLD, "image", "save", "--file", out, image_id),
        peer(place, GLANCE, COLD, "image-download", "--file", out, image_id),
        curl(place, f"/v2/images/{image_id}/file"),
    ]
    down = [case._replace(argv=[*removed, *case.argv]) for case in down]
    title = f"download of {human(data.size)} from the sandbox"
    texts.append(table(title, measure(title, down, rounds, warm_up=False), OURS))
    Path(out).unlink(missing_ok=True)  # curl prints it
    return "\n".join(texts)


def _uploaded(place: Place, data: transfers.Data) -> str:
    """Return the id of an image that has the data."""
    query = f"/v2/images?os_hash_value={data.sha512}&limit=1"
    return str(call(place.cloud, "GET", query)["images"][0]["id"])


# The program


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    cache = Path.home() / ".cache" / "glancectl-benchmarks"
    parser.add_argument("--rounds", type=int, default=11, help="of short commands, default: 11")
    parser.add_argument(
        "--only",
        type=partial(transfers.parse_only, SECTIONS),
        default=SECTIONS,
        metavar=",".join(SECTIONS),
        help="default: all",
    )
    parser.add_argument("--cache", type=Path, default=cache, help=f"default: {cache}")
    parser.add_argument("--out", type=Path, help="write the report to this file too")
    return parser.parse_args()


def main() -> None:
    """Measure, and print the report."""
    arguments = parse_arguments()
    load = os.getloadavg()[0]
    transfers.use_two_cores()
    cache = arguments.cache.absolute()
    cache.mkdir(parents=True, exist_ok=True)
    programs = {**install(cache), OURS: install_ours(cache)}
    short, long = arguments.rounds, min(arguments.rounds, 3)
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=cache) as name:
        folder = Path(name)
        (folder / "home").mkdir()
        with sandbox(folder) as cloud:
            place = Place(programs, folder / "home", cloud)
            made = {
                "startup": partial(startup, place, short),
                "commands": partial(commands, place, short),
                "lists": partial(lists, place, long),
                "bulk": partial(bulk, place, long),
                "transfers": partial(move, place, long, folder),
            }
            found = [made[section]() for section in SECTIONS if section in arguments.only]
    texts, targets = zip(*found, strict=True)
    head = preface("At the prompt, side by side", programs, load, NOTES)
    report = "\n".join([head, target_table([t for each in targets for t in each]), *texts])
    sys.stdout.write(report)
    if arguments.out:
        arguments.out.write_text(report)


NOTES = [
    "medians of interleaved rounds; ratios within a round, then the median",
    f"{WARM}: as any command after the first; {COLD}: as users of the other clients run them; "
    f"{GIVEN}: with no Keystone to ask",
    "one Keystone and one Glance on the same two cores: their time is in every number, curl's too",
    "again: `.venv/bin/python benchmarks/commands.py --out docs/performance.md`, with nothing else "
    "running; how to read it: benchmarks/README.md",
]


if __name__ == "__main__":
    main()
