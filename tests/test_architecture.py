"""Which way imports point, and what they may bring in: read from the source, never run."""

import ast
from pathlib import Path

import pytest

import glancectl

ROOT = Path(glancectl.__file__).parent
# A room may import those in its row, and from its own folder. None: everything but the sandbox.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "terminal": set(),
    "pager": set(),
    "screen": set(),
    "redact": set(),
    "retry": set(),
    "parallel": set(),
    "private": set(),
    "collector": set(),
    "tokens": {"private"},
    "clouds": set(),
    "nearest": set(),
    "config": {"nearest"},
    "keystone": {"clouds", "tokens"},
    "auth": {"clouds", "keystone", "tokens", "retry"},
    "shape": set(),
    "answer": {"shape", "terminal"},
    "body": set(),
    "rest": {"answer", "auth", "tokens", "retry"},
    "api": {"answer", "rest", "shape"},
    "query": {"api"},
    "patch": set(),
    "resolve": {"api", "auth", "clouds", "nearest", "parallel", "terminal"},
    "watch": {"api", "resolve"},
    "table": {"terminal"},
    "render": {"nearest", "pager", "redact", "screen", "table", "terminal"},
    "transfer": set(),
    "transfer.pace": set(),
    "transfer.checksum": set(),
    "transfer.unpack": set(),
    "transfer.packed": {"transfer"},
    "transfer.source": {"redact", "transfer"},
    "transfer.web": {"body", "redact", "retry", "terminal", "transfer"},
    "transfer.sniff": set(),
    "transfer.digest": {"transfer"},
    "transfer.request": {"redact"},
    "transfer.display": {"terminal"},
    "transfer.progress": {"terminal", "transfer"},
    "transfer.upload": {"api", "retry", "transfer"},
    "transfer.part": {"api", "transfer"},
    "transfer.fetch": {"answer", "api", "body", "retry", "terminal", "transfer"},
    "transfer.download": {"api", "terminal", "transfer"},
    "transfer.relay": {"api", "transfer"},
    "flows": {
        "answer", "api", "nearest", "parallel", "patch", "query", "resolve", "transfer", "watch",
    },
    "flows.suggestions": {
        "answer", "api", "auth", "clouds", "flows", "private", "rest", "terminal",
    },
    "sandbox": {"clouds"},
    "cli": {
        "api", "auth", "cli", "clouds", "collector", "config", "flows", "nearest", "patch", "query",
        "redact", "render", "resolve", "rest", "sandbox", "terminal", "transfer", "watch",
    },
}  # fmt: skip
ONLY_IN = {
    "typer": {"cli"},
    # api, transfer.fetch and transfer.web: a name for type checkers only
    "httpx": {
        "rest",
        "answer",
        "body",
        "transfer.request",
        "transfer.fetch",
        "transfer.web",
        "api",
    },
    "rich": {"table"},
    "tqdm": {"transfer.display"},
    "keystoneauth1": {"keystone"},
    "keystoneclient": {"keystone"},
    "jsonpatch": {"patch"},
    "jsonpointer": {"patch"},
    "backports": {"transfer.unpack"},
    "openstack": {"clouds", "keystone"},  # keystone: a name for type checkers only
}
MODULES = sorted(ROOT.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(path: Path) -> set[str]:
    """Return the dotted names of all modules that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module in ("glancectl", "glancectl.cli", "glancectl.transfer"):
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return found


def room(name: str) -> str:
    """Return the row of ALLOWED that a module belongs to."""
    return name if name in ALLOWED else name.split(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_one_way(path: Path) -> None:
    name = module_name(path)
    if name in ("", "__main__"):
        return
    allowed = ALLOWED[room(name)]
    for imported in imports(path):
        if not imported.startswith("glancectl."):
            continue
        target = imported.removeprefix("glancectl.")
        first = target.split(".")[0]
        if first in ("errors", "__version__") or first == name.split(".")[0] == room(name):
            continue
        assert first in allowed, f"{name} must not import {target}"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_each_library_has_its_room(path: Path) -> None:
    name = module_name(path)
    for imported in imports(path):
        rooms = ONLY_IN.get(imported.split(".")[0])
        if rooms is not None and not name.startswith("sandbox"):
            assert room(name) in rooms, f"{name} must not import {imported}"


def test_the_sandbox_is_imported_by_its_commands_only() -> None:
    importers = {
        module_name(path)
        for path in MODULES
        if any(name.startswith("glancectl.sandbox") for name in imports(path))
    }
    assert {name for name in importers if not name.startswith("sandbox")} == {"cli.sandbox"}
