"""What a start imports: asserted without a clock, in processes of their own."""

import os
import subprocess
import sys

import pytest
from conftest import Project, run, wait_for

from glancectl.cli.nouns import MORE_OF

TYPER = {"typer", "annotated_doc", "shellingham"}
HTTP = {"httpx", "httpcore", "h11", "anyio", "idna", "certifi"}
# httpx imports the program that it is itself, if that can be: when Click happens to be installed.
OF_CLICK = {"click", "rich", "pygments"}
ROOT = {"glancectl", "glancectl.cli", "glancectl.cli.nouns", "glancectl.errors"}
HELP = ROOT | {"glancectl.cli.helptext"}
IMAGE = ROOT | {f"glancectl.cli.{name}" for name in ("image", "options", "payload")}
MORE = {f"glancectl.cli.{name}" for name in MORE_OF["image"]}
WARM = IMAGE | {
    f"glancectl.{name}"
    for name in (
        *("answer", "api", "auth", "clouds", "collector", "config", "query", "render", "rest"),
        *("retry", "nearest", "private", "redact", "shape", "table", "terminal", "tokens"),
    )
}
SUGGEST = ROOT | {
    f"glancectl.{name}"
    for name in (
        *("cli._suggest", "flows", "flows.suggestions"),
        *("auth", "clouds", "config", "nearest", "private", "retry", "terminal", "tokens"),
    )
}
# What talks to a network, a name server included, ends the process.
PROBE = """
import atexit, sys
before = set(sys.modules)
def watch(event, arguments):
    if offline and event.startswith("socket."):
        raise SystemExit(f"{event} {arguments}")
def report():
    sys.stderr.write("MODULES " + " ".join(sorted(set(sys.modules) - before)))
offline = sys.argv.pop(1) == "offline"
sys.addaudithook(watch)
atexit.register(report)
from glancectl.cli import main
sys.exit(main(sys.argv[1:]))
"""
# How often Python looked for cycles, and whether it has nothing left to look through at the end.
COLLECTIONS = """
import atexit, gc, sys
from glancectl.__main__ import run
def collections():
    return sum(generation["collections"] for generation in gc.get_stats())
before = collections()
@atexit.register
def report():
    sys.stderr.write(f"{collections() - before} {len(gc.get_objects()) < 1000}")
run()
"""


def imported(*argv: str, offline: bool = True) -> tuple[set[str], set[str]]:
    """Run glancectl and return what it imported: our modules, and the names of libraries."""
    mode = "offline" if offline else "online"
    command = [sys.executable, "-c", PROBE, mode, *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = done.stderr.partition("MODULES ")[2].split()
    ours = {name for name in found if name.split(".")[0] == "glancectl"}
    top = {name.split(".")[0] for name in found} - sys.stdlib_module_names - {"glancectl"}
    return ours, top


@pytest.mark.parametrize(
    ("argv", "ours"),
    [
        ("", HELP),
        ("--help", HELP),
        ("--version", ROOT),
        ("image --help", HELP | IMAGE | MORE),
        ("image list --help", HELP | IMAGE),
        ("task list --help", HELP | {"glancectl.cli.task", "glancectl.cli.options"}),
    ],
)
def test_help_imports_typer_and_the_standard_library_only(argv: str, ours: set[str]) -> None:
    assert imported(*argv.split()) == (ours, TYPER)


def test_a_kept_suggestion_imports_nothing_that_speaks_http(project: Project) -> None:
    run("image", "create", "x")  # logs in and keeps the token
    wait_for(lambda: run("_suggest", "image").out == "x\tqueued\n")
    assert imported("_suggest", "image") == (SUGGEST, TYPER)


def test_a_warm_command_imports_nothing_that_logs_in(project: Project) -> None:
    run("image", "list")  # logs in and keeps the token
    ours, libraries = imported("image", "list", offline=False)
    assert ours == WARM
    assert libraries - OF_CLICK == TYPER | HTTP


def test_a_cold_command_logs_in(project: Project) -> None:
    _, libraries = imported("--no-token-cache", "image", "list", offline=False)
    assert {"keystoneauth1", "openstack"} <= libraries


def test_a_start_hardly_looks_for_cycles_among_what_it_imports(project: Project) -> None:
    run("image", "list")  # logs in and keeps the token
    for argv, most in (
        (["--help"], 0),
        (["image", "list"], 1),
        (["--no-token-cache", "image", "list"], 8),
    ):
        done = subprocess.run(
            [sys.executable, "-c", COLLECTIONS, *argv], capture_output=True, text=True, check=True
        )
        collections, kept = done.stderr.split()
        assert (int(collections) <= most, kept) == (True, "True")


def test_python_m_glancectl_is_the_console_script() -> None:
    for command in (
        [sys.executable, "-m", "glancectl"],
        [f"{os.path.dirname(sys.executable)}/glancectl"],
    ):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == run("--version").out
