"""The completion scripts of bash, zsh and fish: ``completion.*`` with the words filled in."""

import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from glancectl.cli.words import SETS, TEXT, Argument, Command, Option, root, valued

# The file of each that shells look for.
FILES = {"bash": "glancectl.bash", "zsh": "_glancectl", "fish": "glancectl.fish"}


def script(shell: str) -> str:
    """Return the completion script of a shell."""
    template = Path(__file__).with_name(f"completion.{shell}").read_text("utf-8")
    for name, text in _WORDS[shell](root()).items():
        template = template.replace(f"@{name}@", text)
    return template


# bash: lists of words, which the script splits at spaces.


def _bash(commands: Command) -> dict[str, str]:
    sets = (f"        {kind}) candidates=({' '.join(words)}) ;;" for kind, words in SETS.items())
    return {
        "commands": "\n".join(line for command in commands for line in _bash_command(command)),
        "sets": "\n".join(line for text in sets for line in _wrapped(text)),
    }


def _bash_command(command: Command) -> Iterator[str]:
    names = [(name, option.kind) for option in command.options for name in option.names]
    lists = {
        "commands": [below.path[-1] for below in command.commands],
        "arguments": [a.kind + "..." * a.repeats for a in command.arguments],
        "flags": [name for name, kind in names if kind is None],
        "options": [f"{name}={kind}" for name, kind in names if kind is not None],
    }
    yield f'        "{" ".join(command.path)}")'
    for name, words in lists.items():
        if words:
            yield from _wrapped(f'            {name}="{" ".join(words)}"')
    yield "            ;;"


def _wrapped(line: str) -> list[str]:
    """Return a line in pieces of the usual length, the later ones indented."""
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(
        line.strip(),
        98,
        initial_indent=indent,
        subsequent_indent=f"{indent}    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


# zsh: a function a command, with what its _arguments takes.


def _zsh(commands: Command) -> dict[str, str]:
    return {
        "globals": "\n".join(f"        {spec} \\" for spec in _zsh_options(commands)),
        "groups": _zsh_described(commands, " " * 8),
        "sets": "\n".join(
            line
            for kind, words in SETS.items()
            for line in _wrapped(f"        {kind}) values=({' '.join(words)}) ;;")
        ),
        "functions": "\n\n".join(_zsh_function(command) for command in commands if command.path),
    }


def _zsh_function(command: Command) -> str:
    if command.commands:
        group = "_".join(command.path)
        body = f"    _glancectl_group {group} \\\n"
        body += " \\\n".join(_zsh_described(command, " " * 8).split("\n"))
    else:
        specs = [*_zsh_options(command), *_zsh_arguments(command.arguments)]
        body = "    _arguments -S \\\n" + " \\\n".join(f"        {spec}" for spec in specs)
    return f"_glancectl_{'_'.join(command.path)}() {{\n{body}\n}}"


def _zsh_described(group: Command, indent: str) -> str:
    """Return the commands of a group as _describe takes them."""
    return "\n".join(indent + _quoted(f"{below.path[-1]}:{below.help}") for below in group.commands)


def _zsh_options(command: Command) -> Iterator[str]:
    for option in command.options:
        about = f"[{_escaped(option.help)}]"
        if option.kind is not None:
            about += f":{option.names[-1].lstrip('-')}:{_zsh_action(option.kind)}"
        names = [_zsh_name(name, option.kind) for name in option.names]
        many = "*" if option.repeats else ""
        if len(names) == 1:
            yield _quoted(f"{many}{names[0]}{about}")
        else:
            before = many or f"({' '.join(option.names)})"
            yield f"{_quoted(before)}{{{','.join(names)}}}{_quoted(about)}"


def _zsh_name(name: str, kind: str | None) -> str:
    """Return an option's name, marked to take its value in the same or in the next word."""
    if kind is None:
        return name
    return f"{name}=" if name.startswith("--") else f"{name}+"


def _zsh_arguments(arguments: Iterable[Argument]) -> Iterator[str]:
    for place, argument in enumerate(arguments, 1):
        where = "*" if argument.repeats else str(place)
        yield _quoted(f"{where}:{argument.name}:{_zsh_action(argument.kind, ' argument')}")


def _zsh_action(kind: str, role: str = "") -> str:
    if kind == TEXT:
        return " "
    # The space: else _arguments would add options of its own.
    return f"({kind.replace('|', ' ')})" if "|" in kind else f" _glancectl_values {kind}{role}"


def _escaped(text: str) -> str:
    """Return ``text`` as the explanation of an option, between brackets."""
    for char in "\\[]:":
        text = text.replace(char, f"\\{char}")
    return text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", r"'\''") + "'"


# fish: a line for each word.


def _fish(commands: Command) -> dict[str, str]:
    at_root = [name for option in commands.options if option.kind for name in option.names]
    return {
        "valued": " ".join(valued(commands)),
        "global_valued": " ".join(at_root),
        "lines": "\n".join(line for command in commands for line in _fish_command(command)),
    }


def _fish_command(command: Command) -> Iterator[str]:
    words = " ".join(command.path)
    yield f"\n# glancectl {words}".rstrip()
    after = f"complete -c glancectl -n '{f'__glancectl_after {words}'.strip()}'"
    inside = f"complete -c glancectl -n '__glancectl_in {words}'" if not command.commands else after
    for below in command.commands:
        yield f"{after} -a {below.path[-1]} -d {_fish_quoted(below.help)}"
    for option in command.options:
        yield f"{inside} {_fish_option(option)}"
    for place, argument in enumerate(command.arguments, 1):
        where = f"{place}+" if argument.repeats else str(place)
        if what := _fish_kind(argument.kind, "_argument"):
            yield f"complete -c glancectl -n '__glancectl_argument {where} {words}' {what}"


def _fish_option(option: Option) -> str:
    names = " ".join(
        f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names
    )
    about = f"{names} -d {_fish_quoted(option.help)}"
    if option.kind is None:
        return about
    what = _fish_kind(option.kind)
    return f"{about} {'-r' if what.startswith('-F') else '-x'} {what}".rstrip()


def _fish_kind(kind: str, role: str = "") -> str:
    """Return the flags of ``complete`` that give the values of a kind."""
    match kind:
        case "file":
            return "-F"
        case "image-or-file":
            return f"-F -a '(__glancectl_suggest{role} image)'"
        case "at-file":
            return "-a '(__glancectl_at_files)'"
        case "command":
            return "-a '(__fish_complete_command)'"
        case str() if kind == TEXT:
            return ""
        case str() if kind in SETS:
            return f"-a '{' '.join(SETS[kind])}'"
        case str() if "|" in kind:
            return f"-a '{kind.replace('|', ' ')}'"
        case _:
            return f"-a '(__glancectl_suggest{role} {kind})'"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", r"\\").replace("'", r"\'") + "'"


_WORDS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
