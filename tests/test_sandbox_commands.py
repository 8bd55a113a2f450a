"""glancectl sandbox, as typed: with the test run's own sandbox, and without any."""

import shlex
import sys

import pytest
from conftest import Sandbox, password_token, run


@pytest.fixture
def running(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Make the sandbox of the test run the one that the commands find."""
    monkeypatch.setenv("XDG_STATE_HOME", str(sandbox.clouds_file.parents[2]))
    return sandbox


def test_up_finds_the_running_one_and_status_says_where(running: Sandbox) -> None:
    up = run("sandbox", "up", "-f", "json").json
    assert (up["keystone"], up["glance"], up["running"]) == (running.keystone, running.glance, True)
    assert up["clouds"] == ["sandbox", "sandbox-admin", "sandbox-other"]
    assert up["stores"] == ["fast", "slow"]
    assert run("sandbox", "status", "-f", "json").json == up
    assert run("sandbox", "status", "-q").out == f"{running.glance}\n"


def test_env_prints_exports_that_log_in(running: Sandbox) -> None:
    words = [shlex.split(line) for line in run("sandbox", "env", "sandbox-other").lines]
    assert all(word[0] == "export" and len(word) == 2 for word in words)
    assert password_token(dict(word[1].split("=", 1) for word in words))
    assert "sandbox-admin" in run("sandbox", "env", "nope", code=2).err


def test_run_gives_a_command_the_sandbox_and_ends_as_it_does(running: Sandbox) -> None:
    script = "import os, sys; sys.exit(7 if os.environ['OS_CLOUD'] == 'sandbox' else 1)"
    run("sandbox", "run", "--", sys.executable, "-c", script, code=7)
    listing = [sys.executable, "-m", "glancectl", "image", "list"]
    run("sandbox", "run", *listing)
    run("sandbox", "run", "--", "no-such-program", code=127)
    assert run("sandbox", "status", "-c", "running", "-f", "value").out == "true\n"


def test_without_one_status_is_exit_4_and_down_has_nothing_to_do() -> None:
    assert run("sandbox", "status", code=4).err == (
        "glancectl: error: no sandbox is running\n  hint: glancectl sandbox up\n"
    )
    assert run("sandbox", "env", code=4).out == ""
    assert run("sandbox", "down").err == "no sandbox was running\n"


def test_the_demo_says_when_its_file_cannot_be_read() -> None:
    result = run("sandbox", "demo", "absent.iso", code=1)
    assert "absent.iso" in result.err
    assert result.out == ""
