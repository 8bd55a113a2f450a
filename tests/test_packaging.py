"""The wheel and the sdist: what is in them, that a build can be repeated, and an installation."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import glancectl

ROOT = Path(__file__).parents[1]
NAME = f"glancectl-{glancectl.__version__}"
# Folder in the clone: folder in the wheel's data, which pip puts below the prefix.
SHARED = {
    "man/man1/glancectl.1": "share/man/man1/glancectl.1",
    "man/man1/glancectl-image-create.1": "share/man/man1/glancectl-image-create.1",
    "man/man5/glancectl-config.5": "share/man/man5/glancectl-config.5",
    "man/man7/glancectl-exit-codes.7": "share/man/man7/glancectl-exit-codes.7",
    "completions/glancectl.bash": "share/bash-completion/completions/glancectl",
    "completions/_glancectl": "share/zsh/site-functions/_glancectl",
    "completions/glancectl.fish": "share/fish/vendor_completions.d/glancectl.fish",
}
IN_THE_SDIST = {
    *(".ci/run", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "pyproject.toml"),
    *("benchmarks/README.md", "completions/_glancectl", "docs/guide.md", "docs/session.svg"),
    *("glancectl/py.typed", "man/man1/glancectl.1", "tests/conftest.py", "tools/generate.py"),
}
LIMITS = {"<", "<=", "==", "~="}


def build(folder: Path) -> dict[str, Path]:
    """Build wheel and sdist into ``folder``, as a release does but for the separate environment."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True, timeout=120)
    return {path.suffix: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def wheel(built: dict[str, Path]) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(built[".whl"]) as opened:
        yield opened


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    return Parser().parsestr(wheel.read(f"{NAME}.dist-info/METADATA").decode())


def modules() -> set[str]:
    """Return the files of the package: all that are not made by running it."""
    found = (path for path in (ROOT / "glancectl").rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in found if path.parent.name != "__pycache__"}


def test_a_second_build_is_the_same_to_the_byte(built: dict[str, Path], tmp_path: Path) -> None:
    again = build(tmp_path / "again")
    assert sorted(again) == [".gz", ".whl"]
    for suffix, path in again.items():
        assert (path.name, path.read_bytes()) == (built[suffix].name, built[suffix].read_bytes())


def test_the_wheel_has_the_package_and_nothing_beside_it(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    kept = (f"{NAME}.dist-info/", f"{NAME}.data/data/share/")
    assert {name for name in names if not name.startswith(kept)} == modules()
    assert "glancectl/py.typed" in names


def test_the_wheel_has_the_pages_and_completions_of_this_clone(wheel: zipfile.ZipFile) -> None:
    data = f"{NAME}.data/data/"
    for source, target in SHARED.items():
        assert wheel.read(data + target) == (ROOT / source).read_bytes(), source
    found = {name.removeprefix(data) for name in wheel.namelist() if name.startswith(data)}
    pages = {f"share/{path.relative_to(ROOT)}" for path in ROOT.glob("man/*/*")}
    assert found == pages | set(SHARED.values())


def test_the_sdist_has_all_that_a_test_of_it_wants(built: dict[str, Path]) -> None:
    with tarfile.open(built[".gz"]) as archive:
        names = {name.removeprefix(f"{NAME}/") for name in archive.getnames()}
    assert modules() | IN_THE_SDIST <= names
    assert [name for name in names if "__pycache__" in name or name.startswith(".venv")] == []


def test_each_dependency_is_bounded_above(metadata: Message) -> None:
    requirements = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    assert len(requirements) > 15
    unbounded = [
        requirement.name
        for requirement in requirements
        if not LIMITS & {specifier.operator for specifier in requirement.specifier}
    ]
    assert unbounded == []


def test_the_metadata_name_the_extras_the_licence_and_the_least_python(metadata: Message) -> None:
    assert metadata.get_all("Provides-Extra") == ["sandbox", "test"]
    assert (metadata["License-Expression"], metadata["Requires-Python"]) == ("Apache-2.0", ">=3.11")
    assert (metadata["Name"], metadata["Version"]) == tuple(NAME.split("-"))
    assert metadata.get_payload().startswith("# glancectl\n")


# An installation.


@pytest.fixture(scope="module")
def prefix(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean environment with the wheel in it; its dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    pip = [sys.executable, "-m", "pip", "-q", "--python", str(folder / "bin" / "python")]
    options = ["--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", *options, built[".whl"]], check=True, timeout=120)
    ours = next(folder.glob("lib/python*/site-packages"))
    # Of a folder that a .pth names, further .pth are not read: not the one of this clone either.
    theirs = next(Path(sys.prefix).glob("lib/python*/site-packages"))
    (ours / "dependencies.pth").write_text(f"{theirs}\n")
    return folder


def test_an_installed_program_starts_from_its_own_files(prefix: Path) -> None:
    program = [prefix / "bin" / "glancectl"]
    done = subprocess.run([*program, "--version"], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == (f"glancectl {glancectl.__version__}\n", "")
    ask = [prefix / "bin" / "python", "-c", "import glancectl; print(glancectl.__file__)"]
    done = subprocess.run(ask, capture_output=True, text=True, timeout=60)
    assert Path(done.stdout).is_relative_to(prefix)


def test_pages_and_completions_are_where_shells_and_man_look(prefix: Path) -> None:
    assert [path for path in SHARED.values() if not (prefix / path).is_file()] == []
    man = shutil.which("man")
    if man is None:
        pytest.skip("man")
    # No MANPATH: man finds the pages by the program's place in PATH.
    environment = {"PATH": f"{prefix / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(
        [man, "-w", "glancectl"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == str(prefix / "share/man/man1/glancectl.1")
