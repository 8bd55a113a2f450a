"""What a start imports: asserted without a clock, in processes of their own."""

import os
import subprocess
import sys

import pytest
from conftest import Project, run

HEAVY = {
    "httpx",
    "rich",
    "tqdm",
    "keystoneauth1",
    "keystoneclient",
    "openstack",
    "yaml",
    "pydantic",
}
LOGIN = {"keystoneauth1", "keystoneclient", "openstack", "requests"}
PROBE = """
import sys
from glancectl.cli import main
code = main(sys.argv[1:])
sys.stderr.write("MODULES " + " ".join(sorted({name.split(".")[0] for name in sys.modules})))
sys.exit(code)
"""


def imported(*argv: str) -> set[str]:
    """Return the top-level modules in memory after glancectl ran with ``argv``."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *argv], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stderr.partition("MODULES ")[2].split())


@pytest.mark.parametrize(
    "argv",
    [["--help"], ["--version"], ["image", "--help"], ["image", "list", "--help"], []],
    ids=" ".join,
)
def test_help_imports_typer_and_the_standard_library_only(argv: list[str]) -> None:
    assert not imported(*argv) & HEAVY


def test_a_warm_command_imports_nothing_that_logs_in(project: Project) -> None:
    run("image", "list")  # logs in and keeps the token
    found = imported("image", "list")
    assert not found & LOGIN
    assert "httpx" in found


def test_a_cold_command_logs_in(project: Project) -> None:
    assert "keystoneauth1" in imported("--no-token-cache", "image", "list")


def test_python_m_glancectl_is_the_console_script() -> None:
    for command in (
        [sys.executable, "-m", "glancectl"],
        [f"{os.path.dirname(sys.executable)}/glancectl"],
    ):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == run("--version").out
