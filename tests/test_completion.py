"""Completion: the scripts, and what comes of typing into real shells against the sandbox."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import HTTP, Project, Result, Sandbox, run, wait_for
from faultproxy import FaultProxy

from glancectl.cli import shells, words
from glancectl.flows import suggestions

SCRIPTS = Path(__file__).parent.parent / "completions"
SHELLS = tuple(shells.FILES)
# What shells take for something else, in one name.
ODD = r"""odd it's "50%" $HOME `id` \back; & | * ? !x ~ # (x) {a,b} <in> [0] ünï"""
NAMES = (
    ODD,
    "my image",
    "my other",
    'ends with "',
    "finishes with '",
    "app:v1:blue",
    "key=value",
    "user@host",
    "same",
    "same",
    "-dash",
    "ctrl\tand\nline",
)
TAGS = ("lts", "built by ci")


def program(name: str) -> str:
    """Return the path of a system program; the test is skipped when there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(name)
    return found


# The scripts.


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_checked_in_is_what_the_command_prints(shell: str) -> None:
    assert run("completion", shell).out == (SCRIPTS / shells.FILES[shell]).read_text()


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_finds_nothing_wrong_with_its_script(shell: str) -> None:
    command = [program(shell), "-n", str(SCRIPTS / shells.FILES[shell])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_shell_without_a_script_is_a_usage_error() -> None:
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in run("completion", "tcsh", code=2).err


def test_each_kind_of_value_is_one_that_can_be_suggested() -> None:
    known = {"file", "image-or-file", "at-file", "command", words.TEXT}
    known |= {*words.SETS, *suggestions.KINDS}
    found = {
        part.kind
        for command in words.root()
        for part in (*command.options, *command.arguments)
        if part.kind
    }
    assert {kind for kind in found if "|" not in kind} <= known


@pytest.mark.parametrize(
    ("command", "kinds"),
    [
        ("image show", ["image"]),
        ("image upload", ["image", "file"]),
        ("image download", ["image", "image-or-file"]),
        ("member add", ["image", "project"]),
        ("tag add", ["image", "tag"]),
        ("task show", ["task-id"]),
        ("store delete", ["store", "image"]),
        ("cache queue", ["image"]),
        ("sandbox run", ["command", "file"]),
        ("image locations add", ["image", "text"]),
    ],
)
def test_arguments_have_the_kind_that_their_metavar_says(command: str, kinds: list[str]) -> None:
    found = {" ".join(each.path): each for each in words.root()}
    assert [argument.kind for argument in found[command].arguments] == kinds


def test_an_option_takes_a_value_with_every_command_or_with_none() -> None:
    # The script of fish skips values without looking which command it is.
    options = [option for command in words.root() for option in command.options]
    flags = {name for option in options if not option.kind for name in option.names}
    assert flags & set(words.valued(words.root())) == set()


# A cloud, seen through proxies that count.


@dataclass
class Cloud:
    """A project with images, how to get at it, and the environment of its user's shells."""

    project: Project
    keystone: FaultProxy
    glance: FaultProxy
    home: Path
    ids: dict[str, str]

    @property
    def env(self) -> dict[str, str]:
        return {
            **self.project.env,
            "OS_AUTH_URL": f"{self.keystone.url}/v3",
            "OS_ENDPOINT_OVERRIDE": self.glance.url,
            "HOME": str(self.home),
            "PATH": f"{Path(sys.executable).parent}:{self.home}/bin:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "ARGUMENTS": str(self.home / "arguments"),
        }

    def run(self, *argv: str, **options: object) -> Result:
        """Run glancectl here as in those shells."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.home / "work")
            for name, value in self.env.items():
                patch.setenv(name, value)
            return run(*argv, **options)

    def log_in(self) -> None:
        """Have a token cached, and nothing else."""
        shutil.rmtree(self.home / ".cache", ignore_errors=True)
        self.run("image", "list")

    def prime(self, kind: str, *options: str) -> list[str]:
        """Ask for the values of a kind until they are there: this machine may be a slow one."""
        found: list[list[str]] = []

        def is_there() -> bool:
            found.append(self.run(*options, "_suggest", kind).lines)
            return bool(found[-1])

        wait_for(is_there)
        return found[-1]


@pytest.fixture(scope="module")
def cloud(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    project = Project(sandbox)
    home = tmp_path_factory.mktemp("home")
    for folder in ("work", "bin", ".config/fish/completions"):
        (home / folder).mkdir(parents=True)
    for name in ("noble one.raw", "other"):
        (home / "work" / name).touch()
    tell = home / "bin" / "tell"
    tell.write_text('#!/bin/sh\nprintf "%s\\0" "$@" >"$ARGUMENTS.part"\n'
                    'mv "$ARGUMENTS.part" "$ARGUMENTS"\n')  # fmt: skip
    tell.chmod(0o755)
    (home / ".bashrc").write_text(f"PS1='$ '\nsource {SCRIPTS}/glancectl.bash\n")
    (home / ".zshrc").write_text(
        f"PS1='$ '\nfpath=({SCRIPTS} $fpath)\nautoload -Uz compinit\ncompinit -u -D\nbindkey -e\n"
    )
    (home / ".config/fish/completions/glancectl.fish").symlink_to(SCRIPTS / "glancectl.fish")
    (home / ".config/fish/config.fish").write_text(
        "set -g fish_greeting\nfunction fish_prompt; echo -n '$ '; end\n"
    )
    keystone, glance = FaultProxy(sandbox.keystone), FaultProxy(sandbox.glance)
    made = Cloud(project, keystone, glance, home, {})
    made.log_in()
    token = made.run("auth", "token").out.strip()
    for name in NAMES:
        body = {"name": name, "tags": list(TAGS) if name == "my image" else []}
        answer = HTTP.post(
            f"{sandbox.glance}/v2/images", json=body, headers={"X-Auth-Token": token}
        )
        made.ids[name] = answer.json()["id"]
    yield made
    keystone.close()
    glance.close()


class Terminal:
    """A shell on a terminal, typed into by way of tmux."""

    def __init__(self, shell: str, cloud: Cloud) -> None:
        self._socket = str(cloud.home / f"{shell}.tmux")
        self._arguments = Path(cloud.env["ARGUMENTS"])
        size = ("-x", "150", "-y", "50")
        subprocess.run(
            self._tmux("-u", "-f", os.devnull, "new-session", "-d", *size, program(shell)),
            env=cloud.env,
            cwd=cloud.home / "work",
            check=True,
            timeout=20,
        )
        wait_for(lambda: self.screen().endswith("$"))

    def _tmux(self, *argv: str) -> list[str]:
        return [program("tmux"), "-S", self._socket, *argv]

    def _do(self, *argv: str) -> str:
        done = subprocess.run(
            self._tmux(*argv), capture_output=True, text=True, check=True, timeout=20
        )
        return done.stdout

    def screen(self) -> str:
        """Return what is on the screen."""
        return self._do("capture-pane", "-p").strip()

    def type(self, line: str) -> None:
        """Type ``line`` at the prompt of an empty screen."""
        self._do("send-keys", "C-l")
        wait_for(lambda: self.screen() == "$")
        self._do("send-keys", "-l", line)

    def press(self, *keys: str) -> None:
        """Press keys by their names."""
        self._do("send-keys", *keys)

    def completed(self, line: str) -> list[str]:
        """Return the arguments that the shell makes of ``glancectl``, ``line`` and a tab."""
        self.type(f"glancectl {line}")
        self.press("Tab")
        return self.arguments()[1:]

    def arguments(self) -> list[str]:
        """Return what the shell makes of the line on the screen, running another program."""
        self._arguments.unlink(missing_ok=True)
        self.press("C-a")
        self._do("send-keys", "-l", "tell ")
        self.press("Enter")
        wait_for(self._arguments.exists)
        return self._arguments.read_text().split("\0")[:-1]

    def close(self) -> None:
        """End the shell."""
        self._do("kill-server")


@pytest.fixture(scope="module", params=SHELLS)
def terminal(request: pytest.FixtureRequest, cloud: Cloud) -> Iterator[Terminal]:
    made = Terminal(request.param, cloud)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("ima", ["image"]),
        ("image downl", ["image", "download"]),
        ("image locations ad", ["image", "locations", "add"]),
        ("--progr", ["--progress"]),
        ("--progress pl", ["--progress", "plain"]),
        ("--progress=pl", ["--progress=plain"]),
        ("--progress plain tas", ["--progress", "plain", "task"]),
        ("--progress=plain tas", ["--progress=plain", "task"]),
        ("-v --cloud image tas", ["-v", "--cloud", "image", "task"]),
        ("image list --visib", ["image", "list", "--visibility"]),
        ("image list --visibility comm", ["image", "list", "--visibility", "community"]),
        ("image list --format=ya", ["image", "list", "--format=yaml"]),
        ("image list -f ya", ["image", "list", "-f", "yaml"]),
        ("image list -c virt", ["image", "list", "-c", "virtual_size"]),
        ("image upload x nob", ["image", "upload", "x", "noble one.raw"]),
        ("image create x --file nob", ["image", "create", "x", "--file", "noble one.raw"]),
        ("image create x --file=nob", ["image", "create", "x", "--file=noble one.raw"]),
        ("task create --input @nob", ["task", "create", "--input", "@noble one.raw"]),
        ("completion fi", ["completion", "fish"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_fixed_is_completed(terminal: Terminal, line: str, arguments: list[str]) -> None:
    assert terminal.completed(line) == arguments


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("image show odd", ["image", "show", ODD]),
        ('image show "odd', ["image", "show", ODD]),
        ("image show 'odd", ["image", "show", ODD]),
        ("image show my\\ im", ["image", "show", "my image"]),
        ('image show "my im', ["image", "show", "my image"]),
        ("image show ends", ["image", "show", 'ends with "']),
        ('image show "ends', ["image", "show", 'ends with "']),
        ("image show finish", ["image", "show", "finishes with '"]),
        ("image show 'finish", ["image", "show", "finishes with '"]),
        ("image show app:", ["image", "show", "app:v1:blue"]),
        ("image show app:v1:b", ["image", "show", "app:v1:blue"]),
        ('image show "app:v1:b', ["image", "show", "app:v1:blue"]),
        ("image show user@h", ["image", "show", "user@host"]),
        ("image show key=", ["image", "show", "key=value"]),
        ("image show -f json same", ["image", "show", "-f", "json", "same"]),
        ("image show -- -d", ["image", "show", "--", "-dash"]),
        ("image delete same app", ["image", "delete", "same", "app:v1:blue"]),
        ("--retries 9 task list --image=key",
         ["--retries", "9", "task", "list", "--image=key=value"]),
        ("image download same nob", ["image", "download", "same", "noble one.raw"]),
        ("tag add x buil", ["tag", "add", "x", "built by ci"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_names_of_the_cloud_are_completed_to_the_letter(
    cloud: Cloud, terminal: Terminal, line: str, arguments: list[str]
) -> None:
    cloud.prime("image")
    assert terminal.completed(line) == arguments


@pytest.mark.parametrize(
    ("kind", "line", "last"),
    [
        ("store", "image create x --store fa", "fast"),
        ("disk-format", "image create x --disk-format qco", "qcow2"),
        ("import-method", "image import x --method web", "web-download"),
    ],
)
def test_other_values_of_the_cloud_are_completed(
    cloud: Cloud, terminal: Terminal, kind: str, line: str, last: str
) -> None:
    cloud.prime(kind)
    assert terminal.completed(line)[-1] == last


def test_ids_and_projects_are_completed(cloud: Cloud, terminal: Terminal) -> None:
    cloud.prime("image")
    cloud.prime("project")
    found = cloud.ids["same"]
    assert terminal.completed(f"image show {found[:8]}") == ["image", "show", found]
    assert terminal.completed("member add x proj")[-1] == cloud.project.name


def test_several_names_are_listed(cloud: Cloud, terminal: Terminal) -> None:
    cloud.prime("image")
    terminal.type("glancectl image show my")

    def are_listed() -> bool:
        terminal.press("Tab")
        _, *below = terminal.screen().splitlines()
        return all(any(name in line for line in below) for name in ("image", "other"))

    wait_for(are_listed)
    assert terminal.arguments()[:3] == ["glancectl", "image", "show"]


def test_clouds_are_completed(cloud: Cloud, terminal: Terminal) -> None:
    file = cloud.home / "work" / "clouds.yaml"
    file.write_text("clouds: {other: {}, my cloud: {}}\n")
    try:
        assert terminal.completed("--cloud my\\ c") == ["--cloud", "my cloud"]
        assert terminal.completed("sandbox env oth") == ["sandbox", "env", "other"]
    finally:
        file.unlink()


def test_the_cloud_that_is_typed_is_the_one_that_is_asked(
    cloud: Cloud, terminal: Terminal, new_project: Callable[[], Project]
) -> None:
    other = new_project()
    auth = {
        "auth_url": other.sandbox.keystone,
        "username": other.name,
        "password": other.password,
        "project_name": other.name,
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    }
    file = cloud.home / "work" / "clouds.yaml"
    file.write_text(json.dumps({"clouds": {"my cloud": {"auth": auth}}}))
    there = ("--cloud", "my cloud")
    try:
        cloud.run(*there, "image", "create", "apple")
        cloud.prime("image", *there)
        line = "--cloud 'my cloud' image show app"
        assert terminal.completed(line) == [*there, "image", "show", "apple"]
    finally:
        file.unlink()


def test_without_a_token_nothing_is_suggested_and_nobody_logs_in(
    cloud: Cloud, terminal: Terminal
) -> None:
    shutil.rmtree(cloud.home / ".cache")
    before = cloud.keystone.count() + cloud.glance.count()
    assert terminal.completed("image show my") == ["image", "show", "my"]
    assert terminal.completed("image sho") == ["image", "show"]
    assert cloud.keystone.count() + cloud.glance.count() == before
    assert not (cloud.home / ".cache").exists()
    cloud.log_in()


def test_what_is_fixed_needs_no_program() -> None:
    # Nothing can be started where PATH is empty.
    line = "glancectl image list --visibility comm"
    script = f"PATH=; source {SCRIPTS}/glancectl.bash; COMP_LINE='{line}' COMP_POINT={len(line)}\n"
    script += "_glancectl; echo ${COMPREPLY[@]}"
    command = [program("bash"), "--norc", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.stderr) == ("community\n", "")


# What the scripts call.


def test_suggestions_are_values_and_what_they_are(cloud: Cloud) -> None:
    cloud.log_in()
    found = cloud.prime("image")
    described = {name: "queued" for name in NAMES if "\n" not in name} | {"same": "2 images"}
    assert sorted(found) == sorted(f"{name}\t{what}" for name, what in described.items())
    assert cloud.prime("tag") == ["built by ci\t1 image", "lts\t1 image"]
    assert sorted(cloud.prime("store")) == ["fast\t", "slow\t", "web\t"]
    assert cloud.prime("project") == [f"{cloud.project.name}\t{cloud.project.id}"]


def test_ids_come_after_four_hexadecimal_digits(cloud: Cloud) -> None:
    cloud.log_in()
    cloud.prime("image")
    found = cloud.ids["my image"]
    line = f"{found}\tmy image"
    assert line not in cloud.run("_suggest", "image", found[:3]).lines
    assert line in cloud.run("_suggest", "image", found[:4]).lines
    assert line in cloud.run("_suggest", "image-id").lines


def test_an_answer_is_used_for_a_minute(cloud: Cloud) -> None:
    cloud.log_in()
    cloud.prime("image")
    before = cloud.glance.count()
    cloud.prime("image")
    cloud.prime("tag")
    assert cloud.glance.count() == before
    (kept,) = (cloud.home / ".cache/glancectl/completion").iterdir()
    long_ago = time.time() - suggestions.FRESH - 1
    os.utime(kept, (long_ago, long_ago))
    cloud.prime("image")
    assert cloud.glance.count("GET /v2/images") > 0
    assert cloud.glance.count() > before


def test_an_answer_is_kept_for_its_user_alone(cloud: Cloud) -> None:
    cloud.log_in()
    cloud.prime("image")
    folder = cloud.home / ".cache/glancectl/completion"
    (kept,) = folder.iterdir()
    assert (folder.stat().st_mode & 0o777, kept.stat().st_mode & 0o777) == (0o700, 0o600)
    for path, mode in ((folder, 0o750), (kept, 0o604)):
        before, usual = cloud.glance.count(), path.stat().st_mode
        path.chmod(mode)
        cloud.run("_suggest", "image")
        assert cloud.glance.count() == before + 1
        path.chmod(usual)


def test_who_has_logged_out_sees_nothing(cloud: Cloud) -> None:
    cloud.log_in()
    cloud.prime("image")
    cloud.run("auth", "logout")
    assert cloud.run("_suggest", "image").out == ""
    cloud.log_in()


@pytest.mark.parametrize(
    "fault",
    [{"status": 401}, {"status": 500}, {"drop": True}, {"status": 200, "body": b"[1]"}],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
def test_what_goes_wrong_is_nobodys_business(cloud: Cloud, fault: dict[str, object]) -> None:
    cloud.log_in()
    logins = cloud.keystone.count()
    cloud.glance.add("GET /v2/images", **fault)
    done = cloud.run("_suggest", "image")
    assert (done.out, done.err, cloud.keystone.count()) == ("", "", logins)
    cloud.glance.faults.clear()


@pytest.mark.parametrize("argv", [("nonsense",), ("image",), ("cloud",)], ids=" ".join)
def test_nothing_is_suggested_where_nothing_is(argv: tuple[str, ...]) -> None:
    done = run("_suggest", *argv)
    assert (done.out, done.err) == ("", "")


def test_a_silent_service_costs_a_moment(cloud: Cloud) -> None:
    cloud.log_in()
    cloud.glance.add("GET /v2/images", stall=30.0)
    command = [f"{Path(sys.executable).parent}/glancectl", "_suggest", "image"]
    begun = time.monotonic()
    done = subprocess.run(
        command, env=cloud.env, cwd=cloud.home / "work", capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert time.monotonic() - begun < 10  # far from 30: on a busy machine the start takes long
    assert cloud.glance.count("GET /v2/images") > 0
