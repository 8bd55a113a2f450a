"""The README and the guide: every command in them is run, and what they show is what comes.

A section is one shell session on a terminal, in a folder with a few files, with the clouds of
``CLOUDS``. A line shown below a command has to be among what it wrote; ``…`` is any text.
"""

import hashlib
import html
import lzma
import os
import re
import shlex
import shutil
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import picture
import pytest
import yaml
from conftest import HTTP, Project, Sandbox, password_token, run
from test_generated import VERBS, commands_in, parse

from glancectl.sandbox.demo import make_qcow2

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "docs" / "guide.md"]
OTHER_CLIENTS = ROOT / "docs" / "other-clients.md"
BLOCK = re.compile(r"^```(console|sh|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What is not run, and why.
INSTALLS = "installs from an index; .ci/run does it"
NOT_RUN = {
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[sandbox]' "
    "&& .venv/bin/glancectl sandbox demo": INSTALLS,
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[sandbox,test]' "
    "&& .venv/bin/pytest -n 2 --dist loadfile": INSTALLS,
    "pipx install glancectl": INSTALLS,
    "pip install glancectl": INSTALLS,
    "openstack image list": "another client",
    "glancectl sandbox down --purge": "the sandbox of all these tests",
}
WEB = "https://cloud.debian.org/"  # the one server that documented URLs are on
MEMBER = "9f1c0d6e2f0b4c7fa7e5c2d1b3a49586"  # the documented id of the other project
COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # of jq, which not every version leaves out
SYSTEM = ("curl", "jq", "xz", "cmp")


@dataclass
class Command:
    """One command as it is typed, and the lines shown below it."""

    typed: str
    shown: list[str] = field(default_factory=list)


def sections() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield the headings and their blocks, each the language and the text."""
    for page in PAGES:
        for part in re.split(r"^##+ ", page.read_text(), flags=re.MULTILINE):
            if blocks := BLOCK.findall(part):
                yield f"{page.stem}: {part.splitlines()[0]}", blocks


def session(block: str) -> list[Command]:
    """Return the commands of a block; in one without prompts each line is a command."""
    lines = re.sub(r" *\\\n *", " ", block).splitlines()
    if not lines[0].startswith("$ "):
        return [Command(line) for line in lines]
    commands: list[Command] = []
    for line in lines:
        if line.startswith("$ "):
            commands.append(Command(line[2:]))
        else:
            commands[-1].shown.append(line)
    return commands


def recipe(block: str) -> tuple[dict[str, str], list[str]]:
    """Return the variables and the scripts of a CI file, in its order."""
    variables: dict[str, str] = {}
    scripts: list[str] = []

    def walk(node: Any) -> None:
        for key, value in node.items() if isinstance(node, dict) else ():
            if key in ("env", "variables"):
                variables.update(value)
            elif key == "run":
                scripts.append(value)
            elif key in ("before_script", "script"):
                scripts.extend(value)
            else:
                walk(value)
        for value in node if isinstance(node, list) else ():
            walk(value)

    walk(yaml.safe_load(block))
    return variables, scripts


SESSIONS = {
    name: commands
    for name, blocks in sections()
    if (commands := [c for kind, text in blocks if kind != "yaml" for c in session(text)])
}
TO_RUN = {
    name: left
    for name, commands in SESSIONS.items()
    if (left := [command for command in commands if command.typed not in NOT_RUN])
}
RECIPES = {
    name: recipe(text) for name, blocks in sections() for kind, text in blocks if kind == "yaml"
}


@dataclass
class Place:
    """Where a session runs: its folder, its variables, and what documented names are there."""

    folder: Path
    env: dict[str, str]
    names: dict[str, str]
    owner: Project

    def run(self, commands: list[str], options: str = "") -> list[tuple[str, int]]:
        """Run commands in one shell on a terminal; return what each wrote, and its exit code."""
        script = [f"set -o pipefail {options}", "code=0"]
        for command in commands:
            for documented, real in self.names.items():
                command = command.replace(documented, real)
            script += ["(exit $code)", command, r"code=$?; printf '\036%d\036' $code"]
        (self.folder / "session.sh").write_text("\n".join(script))
        shell = ["timeout", "-k", "5", "120", "bash", "session.sh"]
        written = picture.run(shell, self.env, self.folder).replace("\r\n", "\n")
        for documented, real in self.names.items():
            written = written.replace(real, documented)
        parts = written.split("\036")
        return [(text, int(code)) for text, code in zip(parts[::2], parts[1::2], strict=False)]


@pytest.fixture(scope="module")
def owner(sandbox: Sandbox) -> Project:
    """The project of ``mycloud``."""
    return Project(sandbox)


@pytest.fixture(scope="module")
def other(sandbox: Sandbox) -> Project:
    """The project that images are shared with, and copied to."""
    return Project(sandbox)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages name."""
    folder = tmp_path_factory.mktemp("files")
    make_qcow2(folder / "noble.qcow2")
    (folder / "disk.raw.xz").write_bytes(lzma.compress(os.urandom(3 << 20), preset=0))
    (folder / "empty.qcow2").touch()
    (folder / "error-page.qcow2").write_text("<!doctype html><html><title>404</title></html>")
    (folder / "build.sh").write_text('#!/bin/sh\ncp noble.qcow2 "$1"\n')
    (folder / "build.sh").chmod(0o755)
    (folder / "tests").mkdir()
    (folder / "tests" / "test_it.py").write_text("def test_it(): pass\n")
    return folder


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tokens are, so that only the first session logs in."""
    return tmp_path_factory.mktemp("caches")


@pytest.fixture
def place(
    sandbox: Sandbox,
    owner: Project,
    other: Project,
    caches: Path,
    files: Path,
    served: tuple[str, Path],
    tmp_path: Path,
) -> Iterator[Place]:
    """A folder with the files that the pages name, and their clouds, with no image in them."""
    folder = Path.cwd()
    shutil.copytree(files, folder, dirs_exist_ok=True)
    url, web = served
    publish(web / "images/cloud/bookworm/latest", folder / "noble.qcow2")
    clouds = {"mycloud": entry(owner), "old": entry(owner)}
    clouds |= {"partner": entry(other), "new": entry(other)}
    clouds["admin"] = yaml.safe_load(sandbox.clouds_file.read_text())["clouds"]["sandbox-admin"]
    (folder / "clouds.yaml").write_text(yaml.safe_dump({"clouds": clouds}))
    env = picture.environment(tmp_path / "home") | {
        "GLANCECTL_PROGRESS": "plain",
        "NO_COLOR": "1",
        "OS_CLOUD": "mycloud",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(caches),
        "XDG_STATE_HOME": str(sandbox.clouds_file.parents[2]),
    }
    yield Place(folder, env, {WEB: f"{url}/", MEMBER: other.id}, owner)
    for project in (owner, other):
        remove_images(project)


def remove_images(project: Project) -> None:
    """Delete all images of a project."""
    own = ["image", "list", "--owner", project.id, "--no-check", "-q"]
    ids = run(*own, user=project).data + run(*own, "--hidden", user=project).data
    run("image", "delete", "-", "--unprotect", stdin=ids, user=project)


def publish(folder: Path, image: Path) -> None:
    """Serve an image and its checksums as Debian does."""
    folder.mkdir(parents=True)
    name = "debian-12-generic-amd64.qcow2"
    shutil.copy(image, folder / name)
    digest = hashlib.sha512(image.read_bytes()).hexdigest()
    (folder / "SHA512SUMS").write_text(f"{digest}  {name}\n")


def entry(project: Project) -> dict[str, Any]:
    """Return what clouds.yaml says of a project."""
    names = ("auth_url", "username", "password", "project_name", "user_domain_name")
    auth = {name: project.env[f"OS_{name.upper()}"] for name in names}
    return {
        "auth": auth | {"project_domain_name": "Default"},
        "region_name": project.env["OS_REGION_NAME"],
    }


def credential(project: Project) -> dict[str, str]:
    """Return the secrets of the CI recipes: an application credential made now."""
    answer = HTTP.post(
        f"{project.sandbox.keystone}/users/{project.user_id}/application_credentials",
        json={"application_credential": {"name": uuid.uuid4().hex}},
        headers={"X-Auth-Token": password_token(project.env)},
    )
    made = answer.json()["application_credential"]
    return {
        "OS_AUTH_URL": project.sandbox.keystone,
        "OS_APPLICATION_CREDENTIAL_ID": made["id"],
        "OS_APPLICATION_CREDENTIAL_SECRET": made["secret"],
    }


def require(text: str) -> None:
    """Skip the test when it needs a program that this machine has not."""
    for program in SYSTEM:
        if re.search(rf"\b{program}\b", text) and not shutil.which(program):
            pytest.skip(program)


def fails(command: Command, after: Command) -> bool:
    """Tell whether a command is shown to fail: by its error, or by the ``echo $?`` after it."""
    code = after.shown if after.typed == "echo $?" else ["0"]
    return code != ["0"] or any("glancectl: error: " in line for line in command.shown)


def missing(command: Command, written: str) -> list[str]:
    """Return the lines shown below a command that are not among those it wrote."""
    lines = {COLOUR.sub("", line).rstrip() for line in written.splitlines()}
    patterns = {line: ".*".join(map(re.escape, line.rstrip().split("…"))) for line in command.shown}
    return [
        line
        for line, pattern in patterns.items()
        if not any(re.fullmatch(pattern, written) for written in lines)
    ]


@pytest.mark.parametrize("name", TO_RUN)
def test_a_session_goes_as_it_is_written(name: str, place: Place) -> None:
    commands = TO_RUN[name]
    require(" ".join(command.typed for command in commands))
    results = place.run([command.typed for command in commands])
    assert len(results) == len(commands), f"ends or hangs after {results[-1:]}"
    following = [*commands, Command("")][1:]
    for command, after, (written, code) in zip(commands, following, results, strict=True):
        assert (code != 0) == fails(command, after), f"$ {command.typed}\n{written}exit {code}"
        assert missing(command, written) == [], f"$ {command.typed}\n{written}"


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_of_ci_does_what_it_says(name: str, place: Place) -> None:
    variables, scripts = RECIPES[name]
    secrets = {f"${{{{ secrets.{key} }}}}": value for key, value in credential(place.owner).items()}
    secrets["$CLOUDS_YAML"] = str(place.folder / "clouds.yaml")
    del place.env["OS_CLOUD"]
    place.env |= {key: secrets.get(value, value) for key, value in variables.items()}
    place.env |= {"GITHUB_SHA": "5d41402a", "CI_COMMIT_SHA": "5d41402a"}
    steps = [script for script in scripts if script not in NOT_RUN]
    results = place.run(steps, "-e")
    listed = place.run(["glancectl image list --tag nightly -c name -c commit -f value"])
    assert [code for _, code in results] == [0] * len(steps), results[-1]
    assert re.fullmatch(r"nightly(-\d{4}-\d\d-\d\d)? 5d41402a\n", listed[0][0])


def test_what_is_not_run_stands_in_the_pages() -> None:
    typed = {command.typed for commands in SESSIONS.values() for command in commands}
    scripts = {script for _, found in RECIPES.values() for script in found}
    assert set(NOT_RUN) <= typed | scripts


def test_a_line_that_a_command_did_not_write_is_found() -> None:
    shown = Command("x", ["name  noble", "id    …", "size  1"])
    assert missing(shown, "id    77\nname  noble \nsize  2\n") == ["size  1"]


def test_the_links_of_the_pages_lead_somewhere() -> None:
    for page in (*PAGES, OTHER_CLIENTS):
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
            path, _, heading = target.partition("#")
            found = page.parent / path if path else page
            assert found.exists(), target
            titles = re.findall(r"^##+ (.*)$", found.read_text(), re.MULTILINE) if heading else []
            names = [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles]
            assert not heading or heading in names, target


def test_the_picture_shows_the_session_and_asks_no_server_for_fonts() -> None:
    svg = picture.PICTURE.read_text()
    assert "@font-face" not in svg
    for command in picture.SESSION:
        assert html.escape(command).replace(" ", "&#160;") in svg
    assert "<text" in picture.draw([("glancectl info", "")])


# Other clients.

ROWS = re.findall(r"^\| `(.+?)`(.*?) \| (.*) \|$", OTHER_CLIENTS.read_text(), re.MULTILINE)
COVERED = [
    pytest.param(theirs, ours[1], id=theirs)
    for theirs, _, cell in ROWS
    if (ours := re.match("`(.*?)`", cell))
]


@pytest.mark.parametrize(("theirs", "ours"), COVERED)
def test_a_command_in_the_table_is_what_ours_answers(theirs: str, ours: str) -> None:
    (call,) = commands_in(f"glancectl {ours}")
    parse(call)
    words = shlex.split(theirs.partition(" <")[0])
    if " ".join(["glancectl", *words[:2]]) not in VERBS:
        hint = run(*words, code=2).err.splitlines()[1]
        assert set(hint.removeprefix("  hint: glancectl ").split()) - {"--help"} <= set(call)
