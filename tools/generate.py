"""Write the manual pages, the command reference and the completions from the program itself.

    python tools/generate.py [FOLDER]

Into this clone, or into FOLDER. The same program gives the same bytes on every day: the date of
the pages is DATE, or that of SOURCE_DATE_EPOCH.
"""

import os
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer.main

from glancectl import __version__, config
from glancectl.cli import app, helptext, shells
from glancectl.cli.helptext import Entry
from glancectl.cli.nouns import NOUNS, tree
from glancectl.errors import Exit

DATE = "2026-11-24"  # when the pages last changed in substance; a release sets it to its own day
WIDTH = 100  # columns of the help in the command reference

EXIT_CODES = {
    Exit.OK: "Done, or nothing to do.",
    Exit.REFUSED: "The request was refused: an invalid or ambiguous value, the state of the image "
    "(protected, wrong status), a quota, an image without data, or a local file in the way.",
    Exit.USAGE: "Wrong options or arguments, a wrong configuration, or a question with nobody to "
    "answer it.",
    Exit.AUTH: "No credentials, bad ones, or not allowed.",
    Exit.NOT_FOUND: "There is no such image, member, tag, task, store or project.",
    Exit.UNAVAILABLE: "Network, TLS, a timeout or a failing service, after all retries. Trying "
    "again later can help.",
    Exit.INTEGRITY: "Size, checksum or format do not match. Nothing that looks finished is left.",
    Exit.TIMEOUT: "Gave up waiting. The operation may still finish.",
    Exit.FAILED: "The service reports that the awaited operation failed.",
    Exit.PARTIAL: "Some of several targets failed. Each is named with its reason.",
    Exit.DIFFERS: "A comparison found a difference. Nothing went wrong.",
    Exit.READER_GONE: "The reader of standard output went away.",
}
SIGNALS = "SIGHUP, SIGINT and SIGTERM, after a clean-up of bounded length."

ENVIRONMENT = {
    "OS_AUTH_URL, OS_AUTH_TYPE, OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME, ...": "Credentials, as "
    "every OpenStack client reads them.",
    "OS_TOKEN": "A ready token. With OS_ENDPOINT_OVERRIDE no Keystone is asked.",
    "OS_CLIENT_CONFIG_FILE, OS_CLIENT_SECURE_FILE": "Where clouds.yaml and secure.yaml are.",
    config.VARIABLE: "Another configuration file; when empty, none is read.",
    "NO_COLOR, FORCE_COLOR": "Colours off, colours on.",
    "GLANCECTL_PAGER, PAGER": "Program that shows tables which are longer than the screen, on a "
    "terminal only; less if neither is set. Empty or cat: none. The key pager of the configuration "
    "file stands between the two.",
    "XDG_CONFIG_HOME, XDG_CACHE_HOME, XDG_STATE_HOME": "Where FILES are, instead of ~/.config, "
    "~/.cache and ~/.local/state.",
}
CONFIG_ENVIRONMENT = {
    config.VARIABLE: ENVIRONMENT[config.VARIABLE],
    "XDG_CONFIG_HOME": "The folder in which glancectl/config.toml is, instead of ~/.config.",
}
FILES = {
    "~/.config/openstack/clouds.yaml, /etc/openstack/clouds.yaml, ./clouds.yaml": "The clouds and "
    "how to log in to them. Passwords may be in secure.yaml beside it.",
    "~/.config/glancectl/config.toml": "Defaults of options: see glancectl-config(5).",
    "~/.cache/glancectl/tokens/": "Cached tokens, readable by their owner only.",
    "~/.local/state/glancectl/sandbox/": "What the sandbox keeps.",
}
OVERVIEW = (
    "glancectl works with the images of an OpenStack cloud, through version 2 of the Glance API. "
    "Every transfer is streamed, and verified against the digest that Glance stored. Nothing "
    "unverified ever gets a final name, and a failed upload leaves no record behind.",
    "An IMAGE is named by its UUID or its exact name. A SOURCE of data is a path, an http(s):// or "
    "file:// URL, or - for standard input.",
    "Results go to standard output: as a table on a terminal, else as tab-separated values "
    "without a header. Progress, notes and errors go to standard error. With -f json an error is "
    "one JSON object.",
    "Global options come before the command.",
)
OVERVIEW_EXAMPLES = (
    "glancectl sandbox up && export OS_CLOUD=sandbox",
    "glancectl image create ubuntu-24.04 --file noble.qcow2",
    "glancectl image list --status active --match 'ubuntu-*' --long",
    "glancectl image download ubuntu-24.04 /var/tmp/",
    "glancectl image list --tag ci -q | glancectl image delete -",
)
CONFIG_EXAMPLE = """\
cloud = "prod"
progress = "plain"

[columns]
"image list" = ["name", "status", "size"]

[clouds.prod]
timeout = 120
retries = 8
"""


@dataclass(frozen=True)
class Command:
    """A command or group of the program, as the generator needs it.

    path: its words, the program's name first.
    """

    path: str
    click: Any
    ctx: Any

    @property
    def page(self) -> str:
        """The name of its manual page."""
        return self.path.replace(" ", "-")

    @property
    def summary(self) -> str:
        """The first line of its help."""
        return helptext.paragraphs(self.click)[0]

    @property
    def subcommands(self) -> Sequence[str]:
        """The names of the commands below it, if it is a group."""
        return list(getattr(self.click, "commands", {}))


def main(arguments: Sequence[str]) -> None:
    """Write all files below the folder that ``arguments`` name."""
    folder = Path(arguments[0] if arguments else Path(__file__).parent.parent)
    for name, text in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for path in set(folder.glob("man/*/*")) - {folder / name for name in files()}:
        path.unlink()  # of a command that is no more


def files() -> dict[str, str]:
    """Return the text of each generated file, by its path."""
    pages = {f"man/man1/{command.page}.1": command_page(command) for command in commands()}
    return {
        **pages,
        "man/man5/glancectl-config.5": config_page(),
        "man/man7/glancectl-exit-codes.7": exit_codes_page(),
        "docs/commands.md": reference(),
        **{f"completions/{name}": shells.script(shell) for shell, name in shells.FILES.items()},
    }


def commands() -> Iterator[Command]:
    """Yield the program itself, then each group followed by its commands."""
    root: Any = typer.main.get_command(app)
    root.commands.update({noun: tree(noun) for noun in NOUNS})
    ctx = root.context_class(root, info_name="glancectl", **root.context_settings)
    for command, below in helptext.walk(root, ctx):
        yield Command(below.command_path, command, below)


# Manual pages, in the order of sections that man-pages(7) has.


def command_page(command: Command) -> str:
    """Return the manual page of a command or group."""
    is_root = command.path == "glancectl"
    page = [
        title(command.page, 1),
        section("NAME", name_line(command.page, command.summary)),
        section("SYNOPSIS", synopsis(command)),
        section("DESCRIPTION", description(command)),
        section("OPTIONS", options(command)),
        section("EXIT STATUS", exit_status(command)),
        section("ENVIRONMENT", environment(command) if is_root else prose(SEE_ENVIRONMENT)),
        section("FILES", definitions(FILES) if is_root else prose(SEE_FILES)),
        section("EXAMPLES", examples(OVERVIEW_EXAMPLES if is_root else example_lines(command))),
        section("SEE ALSO", see_also(related(command))),
    ]
    return "".join(page)


SEE_ENVIRONMENT = (
    "Options that choose a cloud and how to talk to it have environment variables: see "
    "glancectl(1)."
)
SEE_FILES = (
    "clouds.yaml says how to log in, ~/.config/glancectl/config.toml what options are when nobody "
    "types them: see glancectl(1) and glancectl-config(5)."
)


def title(name: str, number: int) -> str:
    """Return the first lines of a page."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    day = f"{datetime.fromtimestamp(int(epoch), UTC):%Y-%m-%d}" if epoch else DATE
    return (
        '.\\" Generated by tools/generate.py from the program: edit that.\n'
        f'.TH {name.upper()} {number} {day} "glancectl {__version__}"\n'
        ".ad l\n"
    )


def section(heading: str, body: str) -> str:
    """Return a section, nothing when it would be empty."""
    return f".SH {heading}\n{body}" if body else ""


def name_line(page: str, summary: str) -> str:
    """Return the line that whatis and apropos read."""
    return f"{roff(page)} \\-\n{prose(summary.rstrip('.'))}"


def synopsis(command: Command) -> str:
    """Return how a command is called."""
    return f"{bold(command.path)} {roff(helptext.usage(command.click, command.ctx))}\n"


def description(command: Command) -> str:
    """Return what a command does, and the commands below it."""
    texts = OVERVIEW if command.path == "glancectl" else helptext.paragraphs(command.click)
    entries = helptext.sections(command.click, command.ctx).get("Commands", [])
    verbs = ".SS Commands\n" + "".join(item(bold(e.forms[0]), e.text) for e in entries)
    return ".PP\n".join(map(prose, texts)) + (verbs if entries else "")


def options(command: Command) -> str:
    """Return each argument and option with its help."""
    found = helptext.sections(command.click, command.ctx)
    return "".join(
        item(typed(entry), entry.text)
        for heading, entries in found.items()
        for entry in entries
        if heading != "Commands"
    )


def typed(entry: Entry) -> str:
    """Return what is typed: names of options in bold, values in italics."""
    pairs = zip(entry.forms, entry.values, strict=True)
    return ", ".join(
        " ".join(
            [bold(form) if form.startswith("-") else italic(form), *map(italic, value.split())]
        )
        for form, value in pairs
    )


def exit_status(command: Command) -> str:
    """Return the exit codes that a command can give."""
    if command.subcommands:
        return prose("See the pages of the commands, and glancectl-exit-codes(7).")
    codes = helptext.exit_codes(command.click, command.path.removeprefix("glancectl "))
    items = "".join(item(bold(str(code.value)), EXIT_CODES[code]) for code in codes)
    return items + ".PP\n" + prose("Signals are in glancectl-exit-codes(7).")


def environment(command: Command) -> str:
    """Return the variables that stand for global options, and the others."""
    of_options = {
        param.envvar: f"{param.opts[-1]}: {param.help}"
        for param in command.click.params
        if param.envvar
    }
    return definitions({**of_options, **ENVIRONMENT})


def definitions(table: dict[str, str]) -> str:
    """Return a list of terms and what they are."""
    return "".join(item(bold(term), text) for term, text in table.items())


def examples(lines: Sequence[str]) -> str:
    """Return lines that may be pasted."""
    return ".EX\n" + "".join(f"{roff(line)}\n" for line in lines) + ".EE\n" if lines else ""


def example_lines(command: Command) -> list[str]:
    """Return the examples of a command, of a group those of all below it."""
    below = [command.click, *getattr(command.click, "commands", {}).values()]
    return [line for one in below for line in helptext.examples(one)]


def related(command: Command) -> list[tuple[str, int]]:
    """Return the pages to read besides that of ``command``."""
    above = command.path.split()[:-1]
    pages = ["-".join(above[:end]) for end in range(1, len(above) + 1)]
    pages += [f"{command.page}-{name}" for name in command.subcommands]
    return [*((page, 1) for page in pages), ("glancectl-config", 5), ("glancectl-exit-codes", 7)]


def see_also(pages: Sequence[tuple[str, int]]) -> str:
    """Return references to other pages, with commas between them."""
    lines = [f".BR {whole(roff(page))} ({number})" for page, number in pages]
    return " ,\n".join(lines) + "\n"


def config_page() -> str:
    """Return the page about the configuration file."""
    keys = "".join(item(f"{bold(key.name)} ({key.type})", about(key)) for key in config.KEYS)
    text = (
        "A TOML file that says what options are when nobody types them. An option that is typed "
        "wins over its environment variable, that over the table of the cloud in use, that over "
        "the rest of the file. A key or value that does not exist is an error."
    )
    columns = f"Columns may be chosen for {', '.join(config.COMMANDS)}."
    return "".join(
        [
            title("glancectl-config", 5),
            section("NAME", name_line("glancectl-config", "defaults of glancectl's options")),
            section("SYNOPSIS", "~/.config/glancectl/config.toml\n"),
            section("DESCRIPTION", prose(text) + ".SS Keys\n" + keys + ".PP\n" + prose(columns)),
            section("ENVIRONMENT", definitions(CONFIG_ENVIRONMENT)),
            section("FILES", item("~/.config/glancectl/config.toml", "The file itself.")),
            section("EXAMPLES", examples(CONFIG_EXAMPLE.splitlines())),
            section("SEE ALSO", see_also([("glancectl", 1)])),
        ]
    )


def about(key: config.Key) -> str:
    """Return what a key of the configuration is for, and what it may be."""
    where = " May be in the table of a cloud." if key.per_cloud else ""
    values = f" {key.values.capitalize()}." if key.type != "table" else ""
    return f"{key.help}{values} Default: {key.default}.{where}"


def exit_codes_page() -> str:
    """Return the page about exit codes."""
    codes = "".join(
        item(f"{bold(str(code.value))} ({helptext.meaning(code)})", text)
        for code, text in EXIT_CODES.items()
    )
    signals = item(bold("129, 130, 143"), SIGNALS)
    text = (
        "Exit codes are a promise to scripts: what each of them means does not change. With -f "
        "json the error on standard error has the code and the word in parentheses as exit and "
        "kind."
    )
    loop = [
        "until glancectl image upload my-image noble.qcow2; do",
        '    [ "$?" -eq 5 ] || break    # only what may pass by itself',
        "    sleep 60",
        "done",
    ]
    return "".join(
        [
            title("glancectl-exit-codes", 7),
            section("NAME", name_line("glancectl-exit-codes", "how glancectl's commands end")),
            section("DESCRIPTION", prose(text) + codes + signals),
            section("EXAMPLES", examples(loop)),
            section("SEE ALSO", see_also([("glancectl", 1), ("glancectl-config", 5)])),
        ]
    )


# The language of manual pages.


def item(term: str, text: str) -> str:
    """Return a term, already in roff, with the text that explains it."""
    return f".TP\n{term}\n{prose(text)}"


def prose(text: str) -> str:
    """Return running text as roff has it: each sentence begins a line, none is long."""
    lines = [
        line
        for sentence in re.split(r"(?<=[.?!]) +(?=[A-Z])", text)
        for line in textwrap.wrap(sentence, 64, break_long_words=False, break_on_hyphens=False)
    ]
    return "".join(f"{whole(roff(line))}\n" for line in lines)


def whole(text: str) -> str:
    """Return roff text with names and options in it marked so that they are not hyphenated."""
    return re.sub(r"(?<!\S)(?=\S*[-_/])", r"\\%", text)


def bold(text: str) -> str:
    """Return ``text`` in bold."""
    return f"\\fB{roff(text)}\\fR"


def italic(text: str) -> str:
    """Return ``text`` in italics."""
    return f"\\fI{roff(text)}\\fR"


SPECIAL = {
    "\\": "\\(rs", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti",
    "…": "...",
}  # fmt: skip


def roff(text: str) -> str:
    """Return ``text`` so that roff prints just that: nothing in it is a request or a ligature.

    Raises ValueError for what is not ASCII, which not every terminal of a manual can show.
    """
    escaped = "".join(SPECIAL.get(char, char) for char in text)
    escaped.encode("ascii")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


def reference() -> str:
    """Return the command reference: the help of each command, as Markdown."""
    found = list(commands())
    contents = "".join(
        f"{'  ' * (command.path.count(' ') - 1)}- [{command.path.partition(' ')[2]}]"
        f"(#{command.page}): {command.summary}\n"
        for command in found[1:]
    )
    parts = [f"## {c.path}\n\n```text\n{help_of(c)}\n```\n" for c in found]
    return (
        "# Commands\n\n<!-- Generated by tools/generate.py from the program: edit that. -->\n\n"
        f"{contents}\n" + "\n".join(parts)
    )


def help_of(command: Command) -> str:
    """Return what ``--help`` prints on a terminal of WIDTH columns."""
    formatter = command.ctx.formatter_class(width=WIDTH - 2)
    helptext.write(command.click, command.ctx, formatter)
    text: str = formatter.getvalue().rstrip("\n")
    return text


if __name__ == "__main__":
    main(sys.argv[1:])
