"""Any text in any place: what users type reaches the real Glance as it is, and comes back so.

Images are made, read and removed without any of our code, which is asked about them in between.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from conftest import HTTP, Project, password_token, run
from faultproxy import FaultProxy
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from test_patch import GLANCE_KEYS, GLANCE_TEXT

from glancectl import query
from glancectl.errors import UsageError
from glancectl.redact import redact
from glancectl.transfer.display import Mode
from glancectl.transfer.download import part_of
from glancectl.transfer.part import opened
from glancectl.transfer.progress import Progress
from glancectl.transfer.request import parse

found_again = pytest.mark.reliability("names, tags and properties: that very image is found")

# An example is several requests; to make it smaller would take hundreds.
in_glance = settings(
    max_examples=settings().max_examples // 8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


class Raw:
    """The images of a project by plain HTTP."""

    def __init__(self, project: Project) -> None:
        self.url = f"{project.sandbox.glance}/v2/images"
        self.headers = {"X-Auth-Token": password_token(project.env)}

    def create(self, fields: Mapping[str, object]) -> dict[str, Any]:
        answer = HTTP.post(self.url, json=fields, headers=self.headers)
        assert answer.status_code == 201, answer.text
        record: dict[str, Any] = answer.json()
        return record

    def show(self, image_id: str) -> dict[str, Any]:
        record: dict[str, Any] = HTTP.get(f"{self.url}/{image_id}", headers=self.headers).json()
        return record

    def put(self, image_id: str, data: bytes) -> None:
        headers = {**self.headers, "Content-Type": "application/octet-stream"}
        answer = HTTP.put(f"{self.url}/{image_id}/file", content=data, headers=headers)
        assert answer.status_code == 204, answer.text

    @contextlib.contextmanager
    def images(self, *records: Mapping[str, object]) -> Iterator[list[str]]:
        """Make images, yield their ids, and remove them."""
        made: list[str] = []
        try:
            for fields in records:
                made.append(self.create(fields)["id"])
            yield made
        finally:
            for image_id in made:
                HTTP.delete(f"{self.url}/{image_id}", headers=self.headers)


@pytest.fixture
def raw(project: Project) -> Raw:
    return Raw(project)


def listed(*options: object) -> set[str]:
    return set(run("image", "list", "-q", *options).lines)


def repeated(flag: str, values: Iterable[str]) -> list[str]:
    return [word for value in values for word in (flag, value)]


# what is found

# What means something in a URL, in a filter, in a shell, or to a reader of CSV.
PIECES = st.sampled_from([
    "in:", "eq:", "neq:", "gt:", "2026-01-01T00:00:00Z", ":", ",", ",,", '"', "'", "\\", '\\"', "?",
    "&", "#", "%", "%2F", "%zz", "+", " ", "/", "..", "=", ";", "-", "*", "[a]", "a", "A", "ab",
    "é", "É", "e\u0301", "ß", "漢", "\t", "\n", "\u3000", "\x7f", "\ufeff", "None", "null", "0",
])  # fmt: skip
TEXTS = (
    st.lists(PIECES, min_size=1, max_size=6).map("".join)
    | st.text(GLANCE_TEXT, min_size=1, max_size=12)
    | st.text(GLANCE_TEXT, min_size=240, max_size=255)
)


def fits(texts: Iterable[str]) -> bool:
    """Tell whether a server takes texts in one URL; gunicorn takes 4094 bytes in all."""
    return sum(map(len, map(quote, texts))) < 3500


def with_twins(texts: list[str]) -> list[str]:
    """Return texts and, behind them, the last in the other case and with a space more."""
    twins = [texts[-1].swapcase(), f"{texts[-1]} "]
    return [text for text in dict.fromkeys([*texts, *twins]) if len(text) <= 255]


@found_again
@in_glance
@given(st.lists(TEXTS, min_size=1, max_size=2))
@example(["in:a,b", "eq:a"])
@example(['"a","b"', "a:b"])
@example([" ", "a\\"])
@example(["漢" * 255, "+"])
def test_a_name_finds_its_image_and_no_other(raw: Raw, names: list[str]) -> None:
    names = with_twins(names)
    with raw.images(*({"name": name} for name in names)) as ids:
        for name, image_id in zip(names, ids, strict=True):
            assert run("image", "show", "-q", "--", name).out == f"{image_id}\n"
            assert listed("--name", name) == {image_id}
        assert listed("--filter", f"name=eq:{names[0]}") == {*ids[:1]}


@found_again
@in_glance
@given(st.lists(st.lists(TEXTS, max_size=3).filter(fits), min_size=1, max_size=3))
@example([["a", "a "], ["a"], ["A", " a"]])
@example([["a,b", "a"], ["/", "é"], [" "]])
def test_tags_find_the_images_that_have_all_of_them(raw: Raw, tags: list[list[str]]) -> None:
    with raw.images(*({"tags": list(dict.fromkeys(own))} for own in tags)) as ids:
        has = dict(zip(ids, map(set, tags), strict=True))
        assert {image_id: set(raw.show(image_id)["tags"]) for image_id in ids} == has
        for own in tags:
            for asked in (own, [tag.swapcase() for tag in own[:1] if len(tag) < 200]):
                expected = {image_id for image_id in ids if set(asked) <= has[image_id]}
                found = listed(*repeated("--tag", asked), "--limit", 10**30)
                assert found & set(ids) == expected  # without a tag, others' public ones too


KEYS = st.sampled_from(["os_distro", "hw_disk_bus", "K", "k", "a/b", "~", "%2F", "name ", "é"])
PROPERTIES = st.dictionaries(
    (KEYS | GLANCE_KEYS).filter(lambda key: not key.endswith(("_min", "_max"))),
    TEXTS | st.just(""),
    max_size=4,
).filter(lambda own: fits([*own, *own.values()]))


@found_again
@in_glance
@given(st.lists(PROPERTIES, min_size=1, max_size=3))
@example([{"os": "in:a,b"}, {"os": "a"}, {"os": "A", "é": "", " x": "1"}])
def test_properties_find_the_images_that_have_them(
    raw: Raw, properties: list[dict[str, str]]
) -> None:
    with raw.images(*properties) as ids:
        for own in properties:
            pairs = [f"{key}={value}" for key, value in own.items()]
            expected = {
                image_id
                for image_id, other in zip(ids, properties, strict=True)
                if own.items() <= other.items()
            }
            for flag in ("--property", "--filter"):
                assert listed(*repeated(flag, pairs)) & set(ids) == expected


def test_glance_does_not_find_what_is_refused(raw: Raw) -> None:
    """Were it to find it, we should not refuse to ask."""
    for key in sorted(query.NO_FILTERS - {"tags", "locations"}):  # which are no texts
        with raw.images({key: "name", "name": "x"}, {"name": "y"}) as ids:
            answer = HTTP.get(f"{raw.url}?{quote(key)}=name", headers=raw.headers)
            found = [i["id"] for i in answer.json()["images"]] if answer.is_success else None
            assert found != ids[:1], key
            assert key in run("image", "list", "--property", f"{key}=name", code=1).err


# what is changed

WORDS = st.sampled_from(["os_distro", "os_version", "hw_disk_bus", "K", "k", "a/b", "~1", "-", "é"])
NAMES = st.none() | TEXTS
CUSTOM = st.dictionaries(WORDS | GLANCE_KEYS, st.sampled_from(["", "1", "@x"]) | TEXTS, max_size=4)
TAGS = st.lists(st.sampled_from(["a", "b", "A", " a"]) | TEXTS, max_size=4)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "min_disk": st.integers(0, 3),
    "min_ram": st.integers(0, 3) | st.just((1 << 31) - 1),
    "visibility": st.sampled_from(["private", "shared", "community"]),
    "protected": st.booleans(),
    "os_hidden": st.booleans(),
    "disk_format": st.sampled_from(["raw", "qcow2"]),
    "container_format": st.sampled_from(["bare", "ova"]),
}
BEFORE = st.fixed_dictionaries({}, optional={**FIELDS, "name": NAMES})
AFTER = st.fixed_dictionaries({}, optional={**FIELDS, "name": TEXTS | st.just("")})
SWITCHES = {
    "protected": ("--unprotected", "--protected"),
    "os_hidden": ("--visible", "--hidden"),
}


def flags_of(fields: Mapping[str, Any]) -> list[str]:
    """Return the options that set fields of a record."""
    flags = []
    for key, value in fields.items():
        if key in SWITCHES:
            flags.append(SWITCHES[key][value])
        else:
            flags += [f"--{key.replace('_', '-')}", str(value)]
    return flags


def spelled(key: str, value: str) -> str:
    """Return K=V; an @ at the value's start would name a file."""
    return f"{key}=@{value}" if value.startswith("@") else f"{key}={value}"


def comparable(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record without its time, the tags in an order."""
    return {**record, "tags": sorted(record["tags"]), "updated_at": None}


@pytest.mark.reliability("changes of records: applied by Glance, read back, equal")
@in_glance
@given(BEFORE, CUSTOM, TAGS, AFTER, CUSTOM, st.data(), TAGS, st.booleans())
def test_a_change_is_applied_and_read_back(
    raw: Raw,
    proxy: FaultProxy,
    before: dict[str, Any],
    old: dict[str, str],
    old_tags: list[str],
    after: dict[str, Any],
    new: dict[str, str],
    data: st.DataObject,
    tags: list[str],
    purge: bool,
) -> None:
    away = data.draw(st.lists(st.sampled_from([*old, *new, "nope"]), max_size=3), label="away")
    no_tags = data.draw(st.lists(st.sampled_from([*old_tags, "nope"]), max_size=2), label="no tags")
    options = [
        *flags_of(after),
        *repeated("--property", map(spelled, new, new.values())),
        *repeated("--remove-property", away),
        *repeated("--tag", tags),
        *repeated("--remove-tag", no_tags),
        *(["--purge-properties"] if purge else []),
    ]
    own = {**old, **before, "tags": list(dict.fromkeys(old_tags))}
    with raw.images(own) as (image_id,):
        was = raw.show(image_id)
        kept = {key: was[key] for key in was if key not in old or not (purge or key in away)}
        wanted_tags = list({*old_tags, *tags} - {*no_tags})
        wanted = comparable({**kept, **new, **after, "tags": wanted_tags})
        command = ("image", "update", image_id, *options)
        proxy.requests.clear()
        try:
            assert_promised(run(*command, "--dry-run", "-f", "json").json, was, wanted)
            assert proxy.count("^PATCH") == 0
            said = run(*command, "-f", "json").json
            assert comparable(said) == comparable(raw.show(image_id)) == wanted
            proxy.requests.clear()
            assert comparable(run(*command, "-f", "json").json) == wanted
            assert proxy.count("^PATCH") == 0
        finally:
            run("image", "update", image_id, "--unprotected", "-q")


def assert_promised(
    rows: list[dict[str, Any]], was: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    """Assert that a dry run tells all that will differ, with old and new value, and no more."""
    was = comparable(was)
    ordered = [
        {**row, "old": sorted(row["old"]), "new": sorted(row["new"])}
        if row["field"] == "tags"
        else row
        for row in rows
    ]
    expected = [
        {"id": was["id"], "name": was["name"], "field": key, "old": was.get(key), "new": new}
        for key, new in ((key, wanted.get(key)) for key in dict.fromkeys([*was, *wanted]))
        if was.get(key) != new
    ]
    assert sorted(ordered, key=field_of) == sorted(expected, key=field_of)


def field_of(row: Mapping[str, Any]) -> str:
    return str(row["field"])


# what is fetched

SIZE = (9 << 20) + 7  # bytes; several pieces
PLACES = st.integers(0, SIZE) | st.sampled_from([0, 1, 4 << 20, SIZE - 1, SIZE])


@pytest.fixture
def stored(raw: Raw) -> tuple[dict[str, Any], bytes]:
    """An image of noise: its record and its data."""
    data = os.urandom(SIZE)
    made = raw.create({"name": "x", "disk_format": "raw", "container_format": "bare"})
    raw.put(made["id"], data)
    return raw.show(made["id"]), data


@pytest.mark.reliability("ranges of downloads: each byte once, in order")
@in_glance
@given(st.lists(PLACES, max_size=8, unique=True), st.integers(1, 32))
@example([], 1)
@example([0, SIZE], 4)
@example([0, SIZE - 1], 32)
def test_what_is_missing_is_asked_for_once(
    stored: tuple[dict[str, Any], bytes], proxy: FaultProxy, places: list[int], connections: int
) -> None:
    record, data = stored
    cuts = sorted(places)
    kept = list(zip(cuts[::2], cuts[1::2], strict=False))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.raw")
        progress = Progress("x", SIZE, Mode.NONE)
        with opened(part_of(path, record["id"]), record, progress, sparse=True) as part:
            for start, end in kept:
                part.write(start, data[start:end])
        proxy.requests.clear()
        run("image", "download", record["id"], path, "--connections", connections, "-q")
        assert path.read_bytes() == data
    spans = sorted([*kept, *spans_asked_for(proxy)])
    assert [start for start, _ in spans] == [0, *(end for _, end in spans[:-1])]
    assert spans[-1][1] == SIZE


def spans_asked_for(proxy: FaultProxy) -> list[tuple[int, int]]:
    """Return the bytes that each request for data wanted."""
    found = []
    for request in proxy.requests:
        if "/file" in request:
            _, mark, span = request.partition(" bytes=")
            first, _, last = span.partition("-")
            found.append((int(first), int(last) + 1) if mark else (0, SIZE))
    return found


# what is shown of a URL

SECRETS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/?#")
    | st.sampled_from("@:%&=+[]\\ \n\u202e\uff0f"),
    max_size=12,
).map(lambda text: f"Q9q{text}q9Q")
USERS = st.just("") | SECRETS.map("{}@".format) | st.builds("{}:{}@".format, SECRETS, SECRETS)
HOSTS = st.sampled_from([
    "host", "images.example.org", "127.0.0.1", "[::1]", "[2001:db8::1%25eth0]", "bücher.example",
    "xn--bcher-kva.example", "HOST", "h", "漢字.example",
])  # fmt: skip
PATHS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/?#@")
    | st.sampled_from("%+:;=&[]\\ .\uff0f"),
    max_size=12,
).map("/{}".format)


@pytest.mark.reliability("URLs without their secrets")
@given(
    st.sampled_from(["http", "https", "HTTPS", "file", "s3+x"]),
    USERS,
    HOSTS,
    st.sampled_from(["", ":8443", ":"]),
    st.just("") | PATHS,
    st.just("") | SECRETS.map("?{}".format),
    st.just("") | SECRETS.map("#{}".format),
)
def test_of_a_url_all_is_shown_but_its_secrets(
    scheme: str, user: str, host: str, port: str, path: str, query: str, fragment: str
) -> None:
    url = f"{scheme}://{user}{host}{port}{path}{query}{fragment}"
    shown = redact(url)
    assert "Q9q" not in shown
    if "@" in query + fragment:  # it may be the end of a password
        assert shown in (f"{scheme}://{host}{port}/…", f"{scheme}://…/…")
    else:
        assert shown == f"{scheme}://{host}{port}{path}"
    assert "Q9q" not in refusal_of(url)


def refusal_of(url: str) -> str:
    """Return what is said of a URL that cannot be used, nothing of one that can."""
    try:
        parse(url)
    except UsageError as error:
        return f"{error.message} {error.cause} {error.hint}"
    return ""
