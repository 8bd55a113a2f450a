"""Help, manual pages, command reference: made from the program, current, whole, and readable."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import generate
import pytest
from conftest import Project, run
from faultproxy import FaultProxy

from glancectl.cli import State, _root, helptext
from glancectl.cli.nouns import tree
from glancectl.errors import Exit

ROOT = Path(generate.__file__).parent.parent
PAGES = sorted(ROOT.glob("man/*/*"))
COMMANDS = {command.path: command for command in generate.commands()}
VERBS = {path: command for path, command in COMMANDS.items() if not command.subcommands}

each_command = pytest.mark.parametrize("path", COMMANDS)
each_verb = pytest.mark.parametrize("path", VERBS)


def checked_in() -> dict[str, str]:
    """Return the text of what the generator wrote into this clone."""
    paths = [*PAGES, *ROOT.glob("completions/*"), ROOT / "docs" / "commands.md"]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


def test_what_is_checked_in_is_current() -> None:
    found = generate.files()
    stale = [name for name, text in checked_in().items() if found.get(name) != text]
    assert (stale, sorted(found)) == ([], sorted(checked_in())), "run tools/generate.py"


def test_what_is_written_is_the_same_in_any_environment(tmp_path: Path) -> None:
    old = tmp_path / "man" / "man1" / "glancectl-gone.1"
    old.parent.mkdir(parents=True)
    old.touch()
    environment = {"PYTHONHASHSEED": "7", "COLUMNS": "40", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
    program = [sys.executable, ROOT / "tools" / "generate.py", tmp_path]
    subprocess.run(program, env=os.environ | environment, check=True, timeout=60)
    assert not old.exists()
    written = {path for path in tmp_path.rglob("*") if path.is_file()}
    written -= set((tmp_path / "home").rglob("*"))
    assert {
        str(path.relative_to(tmp_path)): path.read_text(encoding="utf-8") for path in written
    } == generate.files()


def test_the_date_is_that_of_the_release_or_of_source_date_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert f" 1 {generate.DATE} " in generate.title("glancectl", 1)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86399")
    assert " 1 1970-01-01 " in generate.title("glancectl", 1)


@each_command
def test_each_option_has_help_and_each_command_an_example(path: str) -> None:
    command = COMMANDS[path]
    assert [param.name for param in command.click.params if not param.help] == []
    assert command.summary.endswith(".")
    assert len(helptext.examples(command.click)) in ((0,) if command.subcommands else (1, 2, 3))


@each_command
def test_the_help_is_one_screen(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    lines = run(*path.split()[1:], "-h").lines
    assert (len(lines) <= 40, max(map(len, lines)) <= 100) == (True, True)
    assert lines[0].startswith(f"Usage: {path}")
    assert "exit codes" in lines[-1].lower() or "Exit codes: 0 done" in lines[-2]
    for example in helptext.examples(COMMANDS[path].click):
        assert any(line.endswith(example) for line in lines), example


def test_the_help_of_a_command_ends_with_its_exit_codes() -> None:
    assert run("image", "show", "-h").lines[-1] == (
        "Exit codes: 0 done, 1 refused, 2 usage, 3 auth, 4 not found, 5 unavailable"
    )
    assert "10 differs" in run("image", "update", "-h").lines[-1]
    assert "7 timeout, 8 failed" in " ".join(run("image", "import", "-h").lines[-2:])
    assert run("completion", "-h").lines[-1] == "Exit codes: 0 done, 1 refused, 2 usage"


def test_each_exit_code_is_explained() -> None:
    assert list(generate.EXIT_CODES) == list(Exit)


@pytest.mark.parametrize(
    ("locale", "pages"), [("C", PAGES), ("C.UTF-8", PAGES[:1])], ids=["C", "C.UTF-8"]
)
def test_man_has_no_warning_of_any_page(locale: str, pages: list[Path]) -> None:
    command = [program("man"), "--warnings", "--local-file", *map(str, pages)]
    done = subprocess.run(
        command, env=os.environ | {"LC_ALL": locale}, capture_output=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_mandoc_has_nothing_to_say_of_any_page() -> None:
    command = [program("mandoc"), "-T", "lint", *map(str, PAGES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("--file 'x'", r"\-\-file \(aqx\(aq"), (".part", r"\&.part"), (r"a\nb", r"a\(rsnb"),
        ("~/`^", r"\(ti/\(ga\(ha"), ("key,…", "key,..."),
    ],
)  # fmt: skip
def test_what_roff_would_read_as_its_own_or_print_otherwise_is_escaped(
    text: str, escaped: str
) -> None:
    assert generate.roff(text) == escaped


def test_a_page_shows_each_option_and_example_as_it_is_typed() -> None:
    command = [program("mandoc"), "-T", "utf8", "-O", "width=200"]
    for path, made in COMMANDS.items():
        page = ROOT / "man" / "man1" / f"{made.page}.1"
        done = subprocess.run([*command, page], capture_output=True, text=True, timeout=60)
        shown = re.sub(".\b", "", done.stdout)
        names = [name for param in made.click.params for name in param.opts if "-" in name[:1]]
        typed = [*names, "--help", path, *helptext.examples(made.click)]
        assert [text for text in typed if text not in shown] == []


def program(name: str) -> str:
    """Return the path of a program of the system; the gate installs both."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(name)
    return found


# Examples.


def commands_in(line: str) -> Iterator[list[str]]:
    """Yield the arguments of each call of glancectl in a line of shell."""
    inner = re.findall(r"\$\(([^)]*)\)", line)
    for text in [re.sub(r"\$\([^)]*\)", "x", line), *inner]:
        words: list[str] = []
        lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;()<>")
        lexer.whitespace_split = True
        for word in [*lexer, ";"]:
            if set(word) <= set("|&;()<>"):
                if "glancectl" in words:
                    start = words.index("glancectl")
                    more = ["from-stdin"] if "xargs" in words[:start] else []
                    yield words[start + 1 :] + more
                words = []
            else:
                words.append(word)


def parse(argv: list[str]) -> None:
    """Parse a command line down to its verb, and call nothing."""
    ctx = _root().make_context("glancectl", list(argv), obj=State())
    rest = argv[-len(ctx.args) - 1 :]
    command: Any = tree(rest[0])
    while hasattr(command, "commands"):
        rest = rest[1:]
        command = command.commands[rest[0]]
    command.make_context(rest[0], rest[1:], parent=ctx)


@each_verb
def test_examples_call_the_command_with_what_it_takes(path: str) -> None:
    lines = helptext.examples(VERBS[path].click)
    calls = [call for line in lines for call in commands_in(line)]
    for call in calls:
        parse(call)
    assert any(path in f"glancectl {' '.join(strip_globals(call))}" for call in calls)


def strip_globals(call: list[str]) -> list[str]:
    """Return a call without the one global option that examples have."""
    return call[2:] if call[0] == "--cloud" else call


def test_examples_of_the_overview_are_commands() -> None:
    for line in generate.OVERVIEW_EXAMPLES:
        for call in commands_in(line):
            parse(call)


def test_an_example_with_an_unknown_option_is_found() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse(["image", "list", "--sise"])


# Each works after those before it; the others need a web server, a second project or a shell.
RUN = (
    *("image create", "image list", "image show", "image update", "image download"),
    *("image deactivate", "image activate", "image wait", "image upload", "image stage"),
    *("image locations list", "cache queue", "cache list", "cache nodes", "cache delete"),
    *("cache clear", "cache clean", "cache prune", "store list", "tag add", "tag list"),
    *("tag remove", "tag replace", "member add", "member list", "member show", "member update"),
    *("member remove", "task list", "info", "auth token", "completion", "image delete"),
)


def test_examples_run_in_the_sandbox(admin: Project, qcow2: Path) -> None:
    shutil.copy(qcow2, "noble.qcow2")
    run("image", "create", "debian-13", "--file", "noble.qcow2", user=admin)
    for verb in RUN:
        if "my-image" in str(helptext.examples(VERBS[f"glancectl {verb}"].click)):
            run("image", "delete", "my-image", "--if-exists", user=admin)
            run("image", "create", "my-image", "--disk-format", "qcow2", user=admin)
        for line in helptext.examples(VERBS[f"glancectl {verb}"].click):
            for call in commands_in(line) if "|" not in line else ():
                run(*call, user=admin)


# Suggestions.


@pytest.mark.parametrize(
    ("typed", "ours"),
    [
        # openstack
        ("image save x --file f", "download"),
        ("image set x --name y", "update"),
        ("image set --accept x --membership p", "member accept"),
        ("image set --reject x", "member reject"),
        ("image set --activate x", "activate"),
        ("image set --deactivate x", "deactivate"),
        ("image unset --property k x", "update --remove-property"),
        ("image unset --tag t x", "tag remove"),
        ("image add project x p", "member add"),
        ("image remove project x p", "member remove"),
        ("image member list x", "member list"),
        ("image member get x", "member show"),
        ("image task list", "task list"),
        ("image task show 1", "task show"),
        ("image cache list", "cache list"),
        ("image stores list", "store list"),
        ("cached image list", "cache list"),
        # glance
        ("image-list --limit 3", "image list"),
        ("image-show x", "image show"),
        ("image-create --name x", "image create"),
        ("image-create-via-import", "image import"),
        ("image-download x --file f", "image download"),
        ("image-reactivate x", "image activate"),
        ("image-stage x", "image stage"),
        ("image-tag-update x t", "tag add"),
        ("image-tag-delete x t", "tag remove"),
        ("image-tasks x", "task list --image"),
        ("member-create x p", "member add"),
        ("member-delete x p", "member remove"),
        ("member-get x p", "member show"),
        ("member-list --image-id x", "member list"),
        ("member-update x p accepted", "member update"),
        ("task-create", "task create"),
        ("task-list", "task list"),
        ("cache-list", "cache list"),
        ("cache-clear", "cache clear"),
        ("stores-info", "store list"),
        ("stores-delete --store s x", "store delete"),
        ("location-add x", "image locations add"),
        ("add-location x", "image locations add"),
        ("get-locations x", "image locations list"),
        ("import-info", "info"),
        ("usage", "info"),
        # habits
        ("list", "image list"),
        ("save x", "image download"),
        ("upload x f", "image upload"),
        ("logout", "auth logout"),
        ("image ls", "list"),
        ("image rm x", "delete"),
        ("tag create x t", "add"),
        ("member rm x p", "remove"),
        ("image downlaod x", "download"),
        ("imgae list", "image"),
        ("image locations lst", "list"),
    ],
)
def test_a_command_of_another_client_is_answered_with_ours(typed: str, ours: str) -> None:
    words = typed.split()
    error = run(*words, code=2).err.splitlines()
    assert error[0].endswith(f": did you mean '{ours}'?")
    hint = error[1].removeprefix("  hint: glancectl ").split()
    assert hint[-1] == "--help"
    assert run(*hint).out.startswith("Usage: glancectl")


@pytest.mark.parametrize("typed", ["md-namespace-list", "image metadef namespace list", "md-tag"])
def test_metadata_definitions_are_said_not_to_be_covered(typed: str) -> None:
    error = run(*typed.split(), code=2).err
    assert "metadata definitions are not covered" in error


def test_an_unknown_command_that_is_near_none_is_answered_with_the_help() -> None:
    assert run("image", "qqq", code=2).err == (
        "glancectl: error: no such command 'qqq'\n  hint: glancectl image --help\n"
    )


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("help", ""),
        ("help image", "image "),
        ("help image show", "image show "),
        ("image help show", "image show "),
        ("help image-show", "image show "),
        ("help image save", "image download "),
        ("help image locations add", "image locations "),
        ("help qqq", ""),
    ],
)
def test_help_is_an_option(typed: str, asked: str) -> None:
    assert run(*typed.split(), code=2).err == (
        f"glancectl: error: no such command 'help'\n  hint: glancectl {asked}--help\n"
    )


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("image list -o json", "no such option -o: did you mean '--format'?"),
        ("image list --json", "no such option --json: did you mean '--format json'?"),
        ("image list --all", "no such option --all: did you mean '--visibility all'?"),
        ("image delete x --force", "no such option --force: did you mean '--yes'?"),
        ("-V", "no such option -V: did you mean '--version'?"),
        ("image list --limit x", "Invalid value for '--limit': 'x' is not a valid integer"),
        ("version", "no such command 'version': did you mean '--version'?"),
        ("image create x --chcksum y", "no such option --chcksum: did you mean '--checksum'?"),
        ("image list --public", "no such option --public: did you mean '--visibility public'?"),
        ("image list --sort-key name", "no such option --sort-key: did you mean '--sort'?"),
        (
            "image create --name x",
            "no such option --name: <name> is an argument, as in glancectl image create [<name>]",
        ),
        (
            "image download x --file y",
            "no such option --file: <dest> is an argument, "
            "as in glancectl image download <image>... [<dest>]",
        ),
        (
            "image publish x --file y",
            "no such option --file: <source> is an argument, "
            "as in glancectl image publish <name> <source>",
        ),
        ("image list --file y", "no such option --file: did you mean '--filter'?"),
        ("image show x --qqqq", "no such option --qqqq"),
        ("--clud x image list", "no such option --clud: did you mean '--cloud'?"),
        ("--os-cloud x image list", "no such option --os-cloud: did you mean '--cloud'?"),
    ],
)
def test_an_unknown_option_is_answered_with_ours(typed: str, said: str) -> None:
    assert run(*typed.split(), code=2).err.splitlines()[0] == f"glancectl: error: {said}"


def listed(proxy: FaultProxy) -> int:
    """Return how often images were listed, and forget it."""
    count = proxy.count(r"^GET /v2/images\?")
    proxy.requests.clear()
    return count


def test_an_unknown_image_is_answered_with_the_nearest_name(
    project: Project, proxy: FaultProxy
) -> None:
    for name in ("ubuntu-24.04", "Debian-13", "böse\x1b[31m-Name"):
        run("image", "create", name)
    hint = "  hint: did you mean 'ubuntu-24.04'?\n"
    assert hint in run("image", "show", "ubuntu-2404", code=4).err
    assert listed(proxy) == 3
    assert hint in run("tag", "add", "ubuntu24.04", "x", code=4).err
    assert hint in run("image", "delete", "ubuntu-24.4", code=4).err
    assert hint in run("image", "show", "ubunto", code=4).err  # it begins nearly so
    assert "'Debian-13'" in run("member", "list", "debian-13", code=4).err
    assert "'Debian-13'" in run("image", "show", "deb", code=4).err
    assert "\x1b" not in run("image", "show", "böse[31m-Name", code=4).err
    assert "image list shows" in run("image", "show", "nothing like it", code=4).err


def test_a_name_is_looked_for_only_when_the_command_fails_for_it(
    project: Project, proxy: FaultProxy
) -> None:
    run("image", "create", "ubuntu-24.04")
    run("image", "delete", "ubuntu-2404", "--if-exists")
    assert listed(proxy) == 2
    run("image", "activate", "ubuntu-2404", "ubuntu-24", code=4)
    assert listed(proxy) == 4


def test_a_pattern_in_place_of_a_name_is_answered_with_the_list_that_takes_it(
    project: Project, proxy: FaultProxy
) -> None:
    error = run("image", "delete", "ubuntu-2*", code=4).err
    assert "no image is named 'ubuntu-2*'" in error
    assert "hint: patterns are for lists: glancectl image list --match 'ubuntu-2*'\n" in error
    assert listed(proxy) == 2


def test_a_search_for_the_nearest_name_that_fails_hides_no_error(
    project: Project, proxy: FaultProxy
) -> None:
    proxy.add(r"^GET /v2/images\?limit=1000", status=500, times=9)
    error = run("--retries", 0, "image", "show", "nosuch", code=4).err
    assert "no image is named 'nosuch'" in error
    assert "image list shows" in error
