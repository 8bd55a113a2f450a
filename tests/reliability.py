"""How much the tests of trust try, and the page that counts it.

``pytest --reliability=docs/reliability.md tests/test_faults.py …`` runs them at full scale and
writes the page. Without the option the same tests try less, so that the suite takes minutes.
"""

import platform
from collections import Counter
from collections.abc import Generator, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import hypothesis
import pytest

WHAT = "reliability"  # the marker, and the property that carries its text to the controller
TRIED = "tried"  # how many things one test tried; one when it does not say
FULL_EXAMPLES = 10  # so many times as many examples of each property

HEAD = """\
# Reliability

Made by the tests themselves, on {day}, Python {python}; not written by hand. Each line is what a
group of tests tried against a real Keystone and a real Glance, and how much of it ended otherwise
than it has to: with another exit code, a traceback, a secret that showed, a record or a file left
behind, a byte that differs. All of it again, which takes the better part of an hour:

```sh
.venv/bin/pytest -n 2 --dist worksteal --reliability=docs/reliability.md
```

One line again: `.venv/bin/pytest --reliability=/dev/null` and the name of its file.

| what was tried | how often | ended wrongly | tests |
|---|---:|---:|---|
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--reliability``."""
    parser.addoption(
        "--reliability",
        metavar="FILE",
        help="run only the tests of trust, at full scale, and write their counts to FILE",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker, choose how much is tried, and let the controller count."""
    config.addinivalue_line("markers", f"{WHAT}(what): counted in docs/reliability.md")
    full = bool(config.getoption("--reliability"))
    few = hypothesis.settings().max_examples
    hypothesis.settings.register_profile(
        "glancectl",
        deadline=None,  # machines differ, and one with two workers is not idle
        max_examples=few * FULL_EXAMPLES if full else few,
    )
    hypothesis.settings.load_profile("glancectl")
    if full and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Counts(Path(config.getoption("--reliability"))))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note on each item what it is counted as; with the option run no others."""
    for item in items:
        if marker := item.get_closest_marker(WHAT):
            item.user_properties.append((WHAT, marker.args[0]))
    if config.getoption("--reliability"):
        items[:] = [item for item in items if item.get_closest_marker(WHAT)]


@pytest.fixture(scope="session")
def full_scale(pytestconfig: pytest.Config) -> bool:
    """Whether to try all there is time for, and not what fits into minutes."""
    return bool(pytestconfig.getoption("--reliability"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Count the examples of a property as what its test tried."""
    test = getattr(item, "obj", None)
    if not item.get_closest_marker(WHAT) or not hypothesis.is_hypothesis_test(test):
        return (yield)
    examples = Counter[str]()
    inner = test.hypothesis.inner_test

    def counted(*args: object, **kwargs: object) -> object:
        examples[TRIED] += 1
        return inner(*args, **kwargs)

    test.hypothesis.inner_test = counted
    try:
        return (yield)
    finally:
        test.hypothesis.inner_test = inner
        item.user_properties.append((TRIED, examples[TRIED]))


class _Counts:
    """What all workers tried."""

    def __init__(self, page: Path) -> None:
        self._page = page
        self._tried = Counter[str]()
        self._failed = Counter[str]()
        self._files: dict[str, set[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = dict(report.user_properties)
        if WHAT not in found or not (report.when == "call" or report.failed):
            return
        what = str(found[WHAT])
        if report.when == "call":
            self._tried[what] += int(str(found.get(TRIED, 1)))
        self._failed[what] += report.failed
        self._files.setdefault(what, set()).add(report.nodeid.partition("::")[0])

    def pytest_sessionfinish(self) -> None:
        head = HEAD.format(day=date.today().isoformat(), python=platform.python_version())
        self._page.write_text(head + "".join(self._rows()))

    def _rows(self) -> Iterator[str]:
        for what in sorted(self._files, key=lambda what: (min(self._files[what]), what)):
            files = ", ".join(f"`{name}`" for name in sorted(self._files[what]))
            lost = self._failed[what] or "nothing"
            yield f"| {what} | {self._tried[what]:,} | {lost} | {files} |\n"
