"""What ``--help`` prints: one screen a command, and one line an option where that can be.

``tools/generate.py`` makes the manual pages from the same parts.
"""

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from glancectl.errors import Exit

OUTPUT = {"--format", "--column", "--quiet", "--help"}  # nearly every command has them: go last
WIDEST = 41  # columns that what is typed may take before its text goes to the next line

# Exit codes besides 0, 1 and 2: of every command that talks to a cloud, of the nouns that do not,
# and of those that have a certain parameter, or are a certain command.
OF_CLOUD = (Exit.AUTH, Exit.NOT_FOUND, Exit.UNAVAILABLE)
OF_NOUN: dict[str, tuple[Exit, ...]] = {
    "completion": (),
    "config": (),
    "sandbox": (Exit.NOT_FOUND, Exit.UNAVAILABLE),
}
OF_SOME: dict[str, tuple[Exit, ...]] = {
    "no_sniff": (Exit.INTEGRITY,),
    "no_verify": (Exit.INTEGRITY,),
    "timeout": (Exit.TIMEOUT, Exit.FAILED),
    "images": (Exit.PARTIAL,),
    "projects": (Exit.PARTIAL,),
    "allow_failure": (Exit.PARTIAL,),
    "exit_code": (Exit.DIFFERS,),
    "tag remove": (Exit.PARTIAL,),
    "image verify": (Exit.INTEGRITY, Exit.PARTIAL, Exit.DIFFERS),
    "image prune": (Exit.PARTIAL,),
    "image copy": (Exit.INTEGRITY,),
    "image publish": (Exit.PARTIAL,),
    "image apply": (Exit.PARTIAL,),
}


@dataclass(frozen=True)
class Entry:
    """What may be typed, and what it means.

    forms: the names of an option (of an argument its metavar alone), or of several that share a
    text. values: what follows each form, empty after a flag.
    """

    forms: tuple[str, ...]
    values: tuple[str, ...]
    text: str

    def typed(self) -> str:
        """Return all forms in one line; a value that all of them take is there once."""
        if len(set(self.values)) == 1:
            return " ".join(filter(None, (", ".join(self.forms), self.values[0])))
        pairs = zip(self.forms, self.values, strict=True)
        return ", ".join(" ".join(filter(None, pair)) for pair in pairs)


def write(command: Any, ctx: Any, formatter: Any) -> None:
    """Write the help of a command or group to one of Click's formatters."""
    formatter.write_usage(ctx.command_path, usage(command, ctx))
    formatter.write_paragraph()
    with formatter.indentation():
        for paragraph in paragraphs(command):
            formatter.write_text(paragraph)
    for title, entries in sections(command, ctx).items():
        with formatter.section(title):
            formatter.write_dl([(entry.typed(), entry.text) for entry in entries], col_max=WIDEST)
    formatter.write_paragraph()
    lines = examples(command)
    if len(lines) == 1:
        formatter.write(f"Example: {lines[0]}\n")
    elif lines:
        formatter.write("Examples:\n" + "".join(f"  {line}\n" for line in lines))
    for line in textwrap.wrap(_last_line(command, ctx), formatter.width, break_on_hyphens=False):
        formatter.write(f"{line}\n")


def usage(command: Any, ctx: Any) -> str:
    """Return what may follow a command's name, without the braces that Typer puts."""
    pieces: list[str] = command.collect_usage_pieces(ctx)
    return " ".join(piece.strip("{}") for piece in pieces)


def paragraphs(command: Any) -> list[str]:
    """Return what a command's docstring says, each paragraph as one line."""
    return [" ".join(text.split()) for text in (command.help or "").split("\n\n")]


def sections(command: Any, ctx: Any) -> dict[str, list[Entry]]:
    """Return what may be typed after a command, by the title that it goes under."""
    params = [param for param in command.get_params(ctx) if not getattr(param, "hidden", False)]
    arguments = [param for param in params if param.param_type_name == "argument"]
    options = [param for param in params if param not in arguments]
    subcommands = getattr(command, "commands", {})
    own = [param for param in options if subcommands or not OUTPUT & set(param.opts)]
    title = "Arguments and options" if arguments else "Options"
    found = {
        "Commands": [_command(name, verb) for name, verb in subcommands.items()],
        title: _entries([*arguments, *own], ctx),
        "Output": _entries([param for param in options if param not in own], ctx),
    }
    return {title: entries for title, entries in found.items() if entries}


def _command(name: str, command: Any) -> Entry:
    return Entry((name,), ("",), paragraphs(command)[0])


def _entries(params: Iterable[Any], ctx: Any) -> list[Entry]:
    """Return an entry for each of ``params``; neighbours that share a text share an entry."""
    entries: list[Entry] = []
    for param in params:
        form, value = _spelling(param, ctx)
        text = _text(param)
        last = entries[-1] if entries else Entry((), (), "")
        both = Entry((*last.forms, form), (*last.values, value), text)
        if last.text == text and len(both.typed()) <= WIDEST:
            entries[-1] = both
        else:
            entries.append(Entry((form,), (value,), text))
    return entries


def _spelling(param: Any, ctx: Any) -> tuple[str, str]:
    """Return how a parameter is typed, and the value after it."""
    metavar: str = param.make_metavar(ctx=ctx)
    if param.param_type_name == "argument":
        return metavar, ""
    names = ", ".join(sorted(param.opts, key=len))
    return "/".join([names, *param.secondary_opts]), "" if param.is_flag else metavar


def _text(param: Any) -> str:
    """Return a parameter's help, its default and its environment variable behind."""
    more = []
    if param.required and param.param_type_name == "option":
        more.append("required")
    if default := _default(param):
        more.append(f"default: {default}")
    if param.envvar:
        more.append(f"${param.envvar}")
    return f"{param.help}  [{'; '.join(more)}]" if more else str(param.help)


def _default(param: Any) -> str:
    """Return a parameter's default as it would be typed, empty when it is not worth telling."""
    if isinstance(param.show_default, str):
        return param.show_default
    if not param.show_default or param.default in (None, False, ()):
        return ""
    if getattr(param, "is_flag", False):
        return str(param.opts[0])
    return f"{param.default:g}" if isinstance(param.default, float) else str(param.default)


def examples(command: Any) -> list[str]:
    """Return the lines that may be pasted: those of the command's epilog."""
    return (command.epilog or "").removeprefix("Example: ").splitlines()


def exit_codes(command: Any, path: str) -> list[Exit]:
    """Return the exit codes that a command can give, 0 first.

    path: its nouns and verb, as in ``image locations add``.
    """
    found = {Exit.OK, Exit.REFUSED, Exit.USAGE, *OF_NOUN.get(path.split()[0], OF_CLOUD)}
    for name in (path, *(param.name for param in command.params)):
        found.update(OF_SOME.get(name, ()))
    return sorted(found)


def meaning(code: Exit) -> str:
    """Return the words for an exit code."""
    return "done" if code is Exit.OK else code.name.lower().replace("_", " ")


def _last_line(command: Any, ctx: Any) -> str:
    if hasattr(command, "commands"):
        return f"{ctx.command_path} COMMAND --help tells more; exit codes: glancectl-exit-codes(7)."
    path = ctx.command_path.removeprefix("glancectl ")
    codes = ", ".join(f"{code.value} {meaning(code)}" for code in exit_codes(command, path))
    return f"Exit codes: {codes}"


def walk(command: Any, ctx: Any) -> Iterator[tuple[Any, Any]]:
    """Yield a command and its context, then those below it."""
    yield command, ctx
    for name, below in getattr(command, "commands", {}).items():
        made = below.context_class(below, info_name=name, parent=ctx, **below.context_settings)
        yield from walk(below, made)
