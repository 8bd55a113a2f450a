"""The config file: what each key does in each place, what wins, and how wrong ones are told."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, log_in, run
from faultproxy import FaultProxy
from test_auth import without_variables, write_cloud
from test_hostile import on_terminal
from typer.main import get_command

from glancectl import config
from glancectl.cli import app
from glancectl.cli.nouns import NOUNS, tree
from glancectl.cli.options import LONGEST_REQUEST
from glancectl.config import COMMANDS, KEYS, OF_A_CLOUD


def write_config(text: str) -> Path:
    path = Path.home() / ".config" / "glancectl" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def mine(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The test's project, as the cloud ``mine`` of clouds.yaml and by no variable."""
    write_cloud(Path(), project)
    without_variables(monkeypatch, project)
    return project


@pytest.fixture
def image(project: Project, raw: Path) -> dict[str, Any]:
    """An image of the test's project."""
    source = ("--file", raw, "--disk-format", "raw", "--property", "os_distro=debian")
    created: dict[str, Any] = run("image", "create", "noise", *source, "-f", "json").json
    return created


def sources(*argv: object) -> dict[str, Any]:
    found: dict[str, Any] = run(*argv, "auth", "status", "-f", "json").json["sources"]
    return found


# which value wins


def test_a_flag_wins_over_a_variable_over_a_cloud_over_the_file_over_the_default(
    mine: Project, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown(*flags: str) -> str:
        record = ("image", "create", "noise", "--file", raw, "--disk-format", "raw")
        return run("--cloud", "mine", *flags, *record).err

    write_config('progress = "none"\n[clouds.mine]\nprogress = "bar"\n')
    monkeypatch.setenv("GLANCECTL_PROGRESS", "json")
    assert shown("--progress", "none") == ""
    assert shown().startswith('{"event": ')
    monkeypatch.delenv("GLANCECTL_PROGRESS")
    assert "\r" in shown()
    write_config('progress = "none"\n[clouds.other]\nprogress = "bar"\n')
    assert shown() == ""
    write_config("")
    assert shown().startswith("noise: 3.0 MiB in ")


VALUES = {
    "format": '"table"',
    "progress": '"plain"',
    "color": '"always"',
    "timeout": "20.5",
    "retries": "2",
    "jobs": "3",
}


@pytest.mark.parametrize("name", VALUES)
def test_status_says_where_each_setting_came_from(
    name: str, mine: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_CLOUD", "mine")
    monkeypatch.delenv("NO_COLOR")

    def source() -> str:
        status = on_terminal("auth", "status").out
        line = next(line for line in status.splitlines() if f" {name} " in line)
        return line.partition(f" {name} ")[2]

    value = VALUES[name]
    path = write_config("")
    assert source() == "default"
    write_config(f"{name} = {value}")
    assert source() == str(path)
    write_config(f"{name} = {value}\n[clouds.mine]\n{name} = {value}")
    assert source() == f"{path} [clouds.mine]"


def test_the_values_tried_are_those_of_all_keys() -> None:
    assert set(VALUES) == {key.name for key in OF_A_CLOUD}
    assert {key.name for key in KEYS} - set(VALUES) == {"cloud", "pager", "columns", "clouds"}


def test_status_names_flags_variables_and_files(
    mine: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_config('cloud = "mine"\nretries = 2\ntimeout = 9\n[columns]\n"info" = ["stores"]')
    monkeypatch.setenv("GLANCECTL_RETRIES", "3")
    monkeypatch.setenv("GLANCECTL_PAGER", "cat")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert sources("--progress", "none") == {
        "retries": "GLANCECTL_RETRIES",
        "progress": "--progress",
        "color": "NO_COLOR",
        "pager": "GLANCECTL_PAGER",
        "cloud": str(path),
        "format": "--format",
        "timeout": str(path),
        "jobs": "default",
        "columns": f"{path} [columns]",
        "files": [str(Path.cwd() / "clouds.yaml"), str(path)],
    }
    monkeypatch.delenv("NO_COLOR")
    assert sources()["color"] == "FORCE_COLOR"
    monkeypatch.delenv("FORCE_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert sources()["color"] == "TERM"
    assert sources("--color", "never")["color"] == "--color"


# what each key does


def test_the_cloud_of_the_file_is_used(mine: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    write_config('cloud = "mine"')
    assert run("auth", "status", "-c", "user", "-f", "value").out == f"{mine.name}\n"
    write_config('cloud = "elsewhere"')
    assert "no cloud 'elsewhere'" in run("image", "list", code=2).err
    run("--cloud", "mine", "image", "list")
    monkeypatch.setenv("OS_CLOUD", "mine")
    run("image", "list")


def test_the_variables_of_an_openrc_file_win_over_the_cloud_of_the_file(project: Project) -> None:
    write_config('cloud = "elsewhere"\n[clouds.elsewhere]\nretries = 9\n')
    status = run("auth", "status", "-f", "json").json
    assert (status["cloud"], status["user"]) == (None, project.name)
    assert "cloud" not in status["sources"]
    assert status["sources"]["retries"] == "default"


def test_a_given_token_wins_over_the_cloud_of_the_file(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = run("auth", "token").out.strip()
    without_variables(monkeypatch, project)
    write_config('cloud = "elsewhere"')
    monkeypatch.setenv("OS_TOKEN", token)
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", project.sandbox.glance)
    run("image", "list")
    assert run("auth", "status", "-f", "json").json["cloud"] is None


def test_the_format_of_the_file_is_that_of_a_terminal_only(
    project: Project, image: dict[str, Any]
) -> None:
    row = f"{image['id']}\tnoise\tactive\tshared\t{image['size']}\n"
    write_config('format = "json"')
    assert run("image", "list").out == row
    assert json.loads(on_terminal("image", "list").out) == [image]
    assert on_terminal("image", "list", "-f", "tsv").out == row
    assert on_terminal("image", "list", "-q").out == f"{image['id']}\n"
    # JSON is for the result: whoever reads the error is the one who reads the terminal.
    error = on_terminal("image", "show", "nothing", code=4).err
    assert error.startswith("glancectl: error: ")


def test_the_columns_of_the_file_are_those_of_tables_only(
    project: Project, image: dict[str, Any]
) -> None:
    before = {form: run("image", "list", "-f", form).out for form in ("tsv", "csv", "value")}
    write_config('[columns]\n"image list" = ["name", "OS_distro", "typo"]')
    table = "name   OS_distro  typo\n──────────────────────\nnoise  debian     -\n"
    assert on_terminal("image", "list").out == table
    assert run("image", "list", "-f", "table").out == table
    for form, out in before.items():
        assert on_terminal("image", "list", "-f", form).out == out
    assert run("image", "list", "-f", "json").json == [image]
    assert run("image", "list").out == before["tsv"]


def test_columns_that_are_asked_for_win_over_those_of_the_file(
    image: dict[str, Any], admin: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config('[columns]\n"image list" = ["size"]\n"store list" = ["id"]')
    assert on_terminal("image", "list", "-c", "name").out.split() == ["name", "─────", "noise"]
    assert {"name", "disk_format"} <= set(on_terminal("image", "list", "--long").out.split())
    assert on_terminal("store", "list").out.splitlines()[0] == "id"
    log_in(admin, monkeypatch)
    assert on_terminal("store", "list", "--detail").out.splitlines()[0].endswith("weight")


def test_columns_of_one_resource_are_its_fields(project: Project, image: dict[str, Any]) -> None:
    write_config('[columns]\n"image show" = ["size", "os_distro", "typo"]')
    assert on_terminal("image", "show", "noise").out == (
        "size       3.0 MiB\nos_distro  debian\ntypo       -\n"
    )
    assert on_terminal("image", "show", "noise", "-c", "name").out == "name  noise\n"
    assert run("image", "show", "noise", "-f", "json").json == image
    update = ("--no-pager", "image", "update", "noise", "--tag", "x")
    assert on_terminal(*update).out.startswith("id  ")


def test_progress_of_the_file_yields_to_quiet_and_to_the_log(mine: Project, raw: Path) -> None:
    record = ("image", "create", "noise", "--file", raw, "--disk-format", "raw")
    write_config('cloud = "mine"\nprogress = "bar"')
    assert "\r" in run(*record).err
    assert run(*record, "-q").err == ""
    assert "\r" not in run("-v", *record).err
    assert "\r" in run("--progress", "bar", *record, "-q").err


def test_colours_of_the_file(
    project: Project, image: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_coloured(*flags: str) -> bool:
        return "\x1b[" in on_terminal(*flags, "image", "list").out

    monkeypatch.delenv("NO_COLOR")
    assert is_coloured()
    write_config('color = "never"')
    assert not is_coloured()
    assert is_coloured("--color", "auto")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert is_coloured()
    monkeypatch.setenv("NO_COLOR", "1")
    write_config('color = "always"')
    assert not is_coloured()


def test_the_timeout_of_the_file(proxy: FaultProxy) -> None:
    run("auth", "token")
    proxy.add("^GET /v2/images", times=None, stall=30)
    write_config("timeout = 0.5\nretries = 0")
    begun = time.monotonic()
    run("image", "list", code=5)
    assert time.monotonic() - begun < 20


def test_the_retries_of_the_file_and_of_a_cloud(mine: Project, proxy: FaultProxy) -> None:
    proxy.add("^GET /v2/images", times=None, status=503)

    def tries(*flags: object) -> int:
        before = proxy.count("^GET /v2/images")
        run("--cloud", "mine", *flags, "image", "list", code=5)
        return proxy.count("^GET /v2/images") - before

    write_config("retries = 0")
    assert tries() == 1
    assert tries("--retries", 1) == 2
    write_config("retries = 0\n[clouds.other]\nretries = 2")
    assert tries() == 1
    write_config("retries = 0\n[clouds.mine]\nretries = 1")
    assert tries() == 2


def test_the_jobs_of_the_file(proxy: FaultProxy) -> None:
    """At once or one after the other: told by the time that answers take which come late."""
    count, late = 4, 0.8
    names = [f"image-{number}" for number in range(count)]
    ids = [run("image", "create", name, "-q").out.strip() for name in names]
    proxy.add("^POST .*/actions/deactivate", times=None, stall=late, status=204)

    def seconds(*flags: object) -> float:
        begun = time.monotonic()
        run("image", "deactivate", *ids, *flags)
        return time.monotonic() - begun

    write_config("jobs = 1")
    assert seconds() >= count * late
    assert seconds("--jobs", count) < count * late


# which file


def test_variables_name_the_file_or_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = write_config("a = 1")
    assert told() == f"{usual}, line 1: unknown key 'a'"
    folder = tmp_path / "elsewhere"
    (folder / "glancectl").mkdir(parents=True)
    (folder / "glancectl" / "config.toml").write_text("b = 1")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    assert told() == f"{folder}/glancectl/config.toml, line 1: unknown key 'b'"
    Path("own.toml").write_text("c = 1")
    monkeypatch.setenv("GLANCECTL_CONFIG", "own.toml")
    assert told() == "own.toml, line 1: unknown key 'c'"


def told() -> str:
    """Return what a command that needs no cloud says of the config file."""
    result = run("sandbox", "status", code=2)
    line = result.err.splitlines()[0].removeprefix("glancectl: error: ")
    return line.partition(";")[0]


@pytest.mark.parametrize("named", ["", os.devnull], ids=["empty", "devnull"])
def test_no_file_is_read_when_the_variable_says_so(
    named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config("broken")
    monkeypatch.setenv("GLANCECTL_CONFIG", named)
    assert "no sandbox is running" in run("sandbox", "status", code=4).err


def test_a_file_that_is_named_has_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLANCECTL_CONFIG", "absent.toml")
    assert run("sandbox", "status", code=2).err == (
        "glancectl: error: cannot read absent.toml\n"
        "  cause: No such file or directory\n"
        "  hint: to go without: GLANCECTL_CONFIG= glancectl …\n"
    )


def test_a_link_that_leads_nowhere_is_told_and_a_folder_that_is_none_is_not() -> None:
    path = write_config("")
    path.unlink()
    path.symlink_to("nowhere")
    assert told() == f"cannot read {path}"
    path.unlink()
    path.parent.rmdir()
    path.parent.write_text("")
    assert "no sandbox is running" in run("sandbox", "status", code=4).err


# what is wrong


WRONG = {
    "an unknown key": ("retires = 2", 1, "unknown key 'retires'; did you mean 'retries'?"),
    "a key like no other": (
        "\n\nfoo = 1",
        3,
        f"unknown key 'foo'; there are {', '.join(key.name for key in KEYS)}",
    ),
    "an unknown table": ("# first\n[colums]\n", 2, "unknown key 'colums'; did you mean 'columns'?"),
    "an unknown key of a cloud": (
        'retries = 2\n[clouds."my cloud"]\nretires = 2',
        3,
        "unknown key 'retires'; did you mean 'retries'?",
    ),
    "a cloud of a cloud": (
        '[clouds.mine]\nformat = "csv"\ncloud = "other"',
        3,
        "unknown key 'cloud'; did you mean 'color'?",
    ),
    "a cloud that is no table": (
        "[clouds]\nmine = 3", 2, "'mine' must be a table, as in [clouds.NAME]",
    ),
    "clouds that are no table": ("clouds = []", 1, "'clouds' must be a table"),
    "a format that is none": (
        'format = "xml"', 1, "'format' must be one of table, tsv, json, jsonl, yaml, csv, value",
    ),
    "progress that is none": (
        'progress = "dots"', 1, "'progress' must be one of auto, bar, plain, json, none",
    ),
    "a colour": ('color = "red"', 1, "'color' must be one of auto, always, never"),
    "a switch for a choice": ("color = true", 1, "'color' must be one of auto, always, never"),
    "an empty cloud": ('cloud = ""', 1, "'cloud' must be a string that is not empty"),
    "a cloud that is a number": ("cloud = 1", 1, "'cloud' must be a string that is not empty"),
    "jobs in quotes": ('jobs = "4"', 1, "'jobs' must be an integer, 1 to 64"),
    "no jobs": ("jobs = 0", 1, "'jobs' must be an integer, 1 to 64"),
    "too many jobs": ("jobs = 65", 1, "'jobs' must be an integer, 1 to 64"),
    "jobs switched on": ("jobs = true", 1, "'jobs' must be an integer, 1 to 64"),
    "half a try": ("retries = 0.5", 1, "'retries' must be an integer, 0 or more"),
    "less than no try": (
        "[clouds.mine]\nretries = -1", 2, "'retries' must be an integer, 0 or more",
    ),
    "no time": ("timeout = 0", 1, "'timeout' must be a number, 0.1 to 2000000"),
    "for ever": ("timeout = inf", 1, "'timeout' must be a number, 0.1 to 2000000"),
    "no number": ("timeout = nan", 1, "'timeout' must be a number, 0.1 to 2000000"),
    "columns of no command": (
        '[columns]\n"image lst" = ["id"]', 2, "unknown command 'image lst'; did you mean "
        "'image list'?",
    ),
    "columns of a command that changes": (
        '[columns]\n\n"image create" = ["id"]', 3, "unknown command 'image create'; did you mean "
        "'image list'?",
    ),
    "columns without quotes": (
        'columns.image.list = ["id"]', 1, "unknown command 'image'; did you mean 'image show'?",
    ),
    "columns that are no list": (
        '[columns]\n"image list" = "id"', 2, "'image list' must be a list of names of columns",
    ),
    "no columns": ('[columns]\n"info" = []', 2, "'info' must be a list of names of columns"),
    "a column without a name": (
        '[columns]\n"info" = [""]', 2, "'info' must be a list of names of columns",
    ),
    "a list of several lines": (
        'jobs = 2\n\n[columns] # of\n"info" = [\n  "stores",\n  3,\n]\n', 4,
        "'info' must be a list of names of columns",
    ),
    "below a text of several lines": (
        'cloud = """\nretires = 1\n"""\nretires = 2\n', 4,
        "unknown key 'retires'; did you mean 'retries'?",
    ),
}  # fmt: skip


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize(("text", "line", "problem"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_with_file_line_and_key(
    text: str, line: int, problem: str, ends: str
) -> None:
    path = write_config("")
    path.write_bytes(text.replace("\n", ends).encode())
    expected = f"glancectl: error: {path}, line {line}: {problem}\n"
    assert run("sandbox", "status", code=2).err == expected


NO_TOML = {
    "half a line": (b"jobs = 2\nretries =\n", ", line 2: not TOML", "Invalid value (at line 2"),
    "an open list": (b"jobs = [\n1,", ": not TOML", "Invalid value (at end of document)"),
    "the same key again": (
        b"jobs = 1\njobs = 2\n", ", line 2: not TOML", "Cannot overwrite a value (at line 2",
    ),
    "a list without end": (b"a = " + b"[" * 50_000, ": not TOML", "maximum recursion depth"),
    "latin-1": (b"jobs = 1\n\ncloud = 'caf\xe9'\n", ", line 3: not UTF-8 text", None),
}  # fmt: skip


@pytest.mark.parametrize(("content", "where", "cause"), NO_TOML.values(), ids=NO_TOML)
def test_what_is_no_toml_is_told_with_its_line(
    content: bytes, where: str, cause: str | None
) -> None:
    path = write_config("")
    path.write_bytes(content)
    first, *rest = run("sandbox", "status", code=2).err.splitlines()
    assert first == f"glancectl: error: {path}{where}"
    assert [line.startswith(f"  cause: {cause}") for line in rest] == [True] * bool(cause)


@pytest.mark.parametrize("seconds", ["nan", "inf", "3e6", "0.05", "-1"])
def test_a_timeout_that_no_socket_can_wait_for_is_a_usage_error(seconds: str) -> None:
    result = run("--timeout", seconds, "image", "list", code=2)
    assert f"expected 0.1 to 2000000 seconds, got '{seconds}'" in result.err


def test_a_section_of_a_cloud_that_no_file_has_is_no_error(mine: Project) -> None:
    write_config('cloud = "mine"\n[clouds.far-away]\nretries = 2\n[clouds."a b"]\n')
    assert sources()["retries"] == "default"


def test_a_command_does_nothing_when_the_file_is_wrong(proxy: FaultProxy, raw: Path) -> None:
    write_config("retires = 2")
    for argv in (
        ("image", "create", "noise", "--file", raw),
        ("image", "list"),
        ("tag", "add", "noise", "x"),
        ("auth", "logout"),
        ("sandbox", "up"),
    ):
        assert "unknown key 'retires'" in run(*argv, code=2).err
    assert proxy.requests == []
    assert not (Path.home() / ".local" / "state").exists()


@pytest.mark.parametrize(
    "argv", ["", "--help", "--version", "image --help", "image list -h", "completion bash"]
)
def test_help_comes_whatever_is_in_the_file(argv: str) -> None:
    before = run(*argv.split()).out
    write_config("broken")
    assert run(*argv.split()).out == before


# what it costs


PROBE = """
import sys
opened = []
def watch(event, arguments):
    if event == "open":
        opened.append(str(arguments[0]))
sys.addaudithook(watch)
from glancectl.cli import main
code = main(sys.argv[1:])
has_read = any(name.endswith("config.toml") for name in opened)
sys.stderr.write(f"{code} {has_read} {'tomllib' in sys.modules}")
"""


@pytest.mark.parametrize(
    ("argv", "is_there", "expected"),
    [
        pytest.param("sandbox status", True, "4 True True", id="a command"),
        pytest.param("sandbox status", False, "4 False False", id="a command without a file"),
        pytest.param("--help", True, "0 False False", id="help"),
        pytest.param("image list --help", True, "0 False False", id="help of a verb"),
        pytest.param("--version", True, "0 False False", id="version"),
    ],
)
def test_the_file_is_read_and_toml_imported_only_for_it(
    argv: str, is_there: bool, expected: str
) -> None:
    if is_there:
        write_config("jobs = 2")
    command = [sys.executable, "-c", PROBE, *argv.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.splitlines()[-1] == expected


# what is declared


def options(command: Any) -> dict[str, Any]:
    return {param.opts[-1]: param for param in command.params}


def verbs(name: str, command: Any) -> dict[str, Any]:
    """Return all commands below one, by what is typed."""
    if not hasattr(command, "commands"):
        return {name: command}
    found = {}
    for verb, below in command.commands.items():
        found |= verbs(f"{name} {verb}", below)
    return found


def all_commands() -> dict[str, Any]:
    found = {}
    for noun in NOUNS:
        found |= verbs(noun, tree(noun))
    return found


def test_the_commands_with_columns_are_those_that_show_what_there_is() -> None:
    shows = ("list", "show", "inbox", "status", "info")
    found = {
        name
        for name, command in all_commands().items()
        if name.split()[-1] in shows and "--column" in options(command)
    }
    assert set(COMMANDS) == found


@pytest.mark.parametrize("key", [key for key in KEYS if key.option], ids=lambda key: key.name)
def test_each_key_is_an_option_with_its_values(key: config.Key) -> None:
    of = all_commands()
    found = {"--format": of["image list"], "--jobs": of["image delete"]}
    param = options(found.get(key.option, get_command(app)))[key.option]
    choices = getattr(param.type, "choices", ())
    assert key.choices == tuple(choices)
    if key.type == "integer":
        assert (key.least, key.most) == (param.type.min, param.type.max or key.most)
        assert key.default.split(",")[0] == str(param.default)
    if key.name in ("progress", "color"):
        assert key.default == param.default
    if key.name == "timeout":
        assert float(key.default) == param.default
        assert key.most == LONGEST_REQUEST
    assert key.help
