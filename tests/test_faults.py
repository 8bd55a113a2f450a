"""Each command under each fault of Glance and Keystone: an exit code and a sentence, no traceback.

All faults come from a proxy in front of the real services. As the suite runs it, each command
meets some faults and each fault some commands; with --reliability, all of them meet.
"""

import gc
import gzip
import json
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from conftest import HTTP, Project, Result, Sandbox, log_in, password_token, run, wait_for
from faultproxy import FaultProxy
from test_generated import VERBS
from test_tls import self_signed

from glancectl import retry

FAULTS = "each command, each fault of Glance in each of its requests"
SHAPES = "each command, answers of Glance with a part missing or of another type"
LOGINS = "each command, each fault of Keystone at its login"
CLOCKS = "clocks that differ, and what a busy service says of when to come again"

# Every verb that talks to a service, as it succeeds: {name} is made anew for each run (see World).
COMMANDS = {
    "image list": "image list",
    "image show": "image show {active}",
    "image show by name": "image show {named}",
    "image verify": "image verify {active} -q",
    "image verify FILE": "image verify {active} {raw} -q",
    "image prune": "image prune --name nosuch --yes",
    "image prune of unfinished": "image prune --stuck 1w",
    "image create": "image create {name}",
    "image create --file": "image create {name} --file {raw} --disk-format raw --property a=b",
    "image upload": "image upload {queued} {raw} --no-sniff",
    "image stage": "image stage {queued} {raw} --no-sniff",
    "image download": "image download {active} {dest}",
    "image update": "image update {queued} --property a=b --tag t",
    "image delete": "image delete {queued}",
    "image activate": "image activate {deactivated}",
    "image deactivate": "image deactivate {active}",
    "image import": (
        "image import {queued} --method glance-direct --file {raw} --no-sniff --interval 0.1"
    ),
    "image publish": "image publish {name} {raw} --disk-format raw",
    "image apply": "image apply {catalogue}",
    "image export": "image export --match none-*",
    "image copy": "image copy {active} --name {name}",
    "image wait": "image wait {active}",
    "image locations list": "image locations list {active}",
    "image locations add": "image locations add {queued} {url} --interval 0.1",
    "member list": "member list {shared}",
    "member show": "member show {shared} {other} --no-check",
    "member add": "member add {queued} {other} --no-check",
    "member update": "member update {offered} {own} --status pending --no-check",
    "member accept": "member accept {offered}",
    "member reject": "member reject {offered}",
    "member remove": "member remove {shared} {other} --no-check",
    "member inbox": "member inbox",
    "tag list": "tag list",
    "tag list of one": "tag list {queued}",
    "tag add": "tag add {queued} one two",
    "tag remove": "tag remove {queued} old",
    "tag replace": "tag replace {queued} one two",
    "task list": "task list",
    "task list of one": "task list --image {imported}",
    "task show": "task show {task}",
    "task create": "task create --type import --input {task_input}",
    "task wait": "task wait {task} --interval 0.1",
    "store list": "store list",
    "store delete": "store delete fast {copied}",
    "cache list": "cache list",
    "cache queue": "cache queue {active}",
    "cache delete": "cache delete {active}",
    "cache clear": "cache clear",
    "cache clean": "cache clean",
    "cache prune": "cache prune",
    "cache nodes": "cache nodes {active}",
    "info": "info",
}
LOCAL = ("sandbox", "completion")  # these talk to nobody
AUTH_COMMANDS = {"auth status": "auth status", "auth token": "auth token"}
# Their first request is answered with nothing, so that any JSON is as good.
UNREAD = (
    *("image delete", "member remove", "store delete"),
    *("cache queue", "cache delete", "cache clear", "cache clean"),
)
# Their first request must not be sent twice.
ONCE_ONLY = ("task create",)


@dataclass(frozen=True)
class Trouble:
    """A fault, and what comes of it.

    code, words: the exit code, and what the error says. options: global ones, ``{name}`` as in
    COMMANDS. fault: what the proxy does, if anything. but: another exit code of some commands.
    """

    name: str
    code: int
    words: str = ""
    options: str = ""
    fault: Mapping[str, Any] | None = None
    but: Mapping[str, int] = field(default_factory=dict)


def answer(
    name: str, code: int, words: str, but: Mapping[str, int] | None = None, **fault: Any
) -> Trouble:
    """Return the trouble that an answer of a service is."""
    return Trouble(name, code, words, fault=fault, but=but or {})


def as_json(text: str | bytes, **fault: Any) -> dict[str, Any]:
    """Return the fault that answers 200 with ``text``, said to be JSON."""
    body = text.encode() if isinstance(text, str) else text
    return {"status": 200, "headers": {"Content-Type": "application/json"}, "body": body, **fault}


PAGE = b"<html><head><title>Sign in</title></head><body><h1>Please sign in</h1></body></html>"
HTML = {"Content-Type": "text/html; charset=utf-8"}
LONGER = {"Content-Type": "application/json", "Content-Length": "1000"}
PACKED = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
NO_API = "not what an image API v2 sends"
FREE = dict.fromkeys(UNREAD, 0)
MAY_BE_EMPTY = {**FREE, "image locations list": 0, "cache nodes": 0}
NEEDS_NO_KEY = {**FREE, "cache list": 0, "cache prune": 0}

# Where a connection is reset, urllib3 leaves the socket in a cycle, to be found by the collector.
LOOSE_SOCKETS = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

# All requests of a command meet these.
STATUSES = [
    answer("101", 5, "the connection broke", status=101),
    answer("204", 5, NO_API, FREE, status=204),
    answer("300", 1, "the endpoint is not an image API v2", status=300, body=PAGE),
    answer("302", 1, "not an image API v2", status=302, headers={"Location": "http://x/y"}),
    answer("400", 1, "not accepted", status=400),
    answer("401", 3, "the token is not accepted", status=401),
    answer("403", 3, "not allowed with these credentials", status=403),
    answer("404", 4, "not found", {"store list": 0, "image import": 1}, status=404, body=PAGE),
    answer("409", 1, "conflicts with the present state", status=409),
    answer("410", 1, "it is gone", status=410),
    answer("413", 1, "too large", status=413, headers=HTML, body=PAGE),
    answer("415", 6, "do not match the format", status=415),
    answer("418", 1, "not accepted", status=418),
    answer("429", 5, "too many requests", status=429),
    answer(
        "429 with Retry-After", 5, "too many requests", status=429, headers={"Retry-After": "9"}
    ),
    answer("500", 5, "the service is failing", status=500),
    answer("502 in HTML", 5, "Please sign in", status=502, headers=HTML, body=PAGE),
    answer("503", 5, "the service is failing", status=503),
    answer("503 with Retry-After", 5, "is failing", status=503, headers={"Retry-After": "9"}),
    answer("500 that cannot be unpacked", 5, "is failing", status=500, headers=PACKED, body=PAGE),
    answer("500 in brackets", 5, "is failing", **as_json("[" * 50_000, status=500)),
    answer("599", 5, "the service is failing", status=599),
]
BODIES = [
    answer("HTML", 5, NO_API, status=200, headers=HTML, body=PAGE),
    answer("text", 5, NO_API, status=200, headers={"Content-Type": "text/plain"}, body=b"OK"),
    answer("HTML said to be JSON", 5, NO_API, **as_json(PAGE)),
    answer("truncated JSON", 5, NO_API, **as_json('{"images": [{"id": "6b1e2d7e-')),
    answer("no UTF-8", 5, NO_API, **as_json(b'{"name": "\xff\xfe"}')),
    answer("brackets", 5, NO_API, **as_json("[" * 200_000)),
    answer("nothing", 5, NO_API, FREE, **as_json("")),
    answer("a list", 5, NO_API, MAY_BE_EMPTY, **as_json("[]")),
    answer("a list of numbers", 5, NO_API, FREE, **as_json("[1, 2]")),
    answer("a number", 5, NO_API, FREE, **as_json("5")),
    answer("a string", 5, NO_API, FREE, **as_json('"images"')),
    answer("null", 5, NO_API, FREE, **as_json("null")),
    answer("an empty object", 5, NO_API, NEEDS_NO_KEY, **as_json("{}")),
    answer("no gzip", 5, "cannot be unpacked", status=200, headers=PACKED, body=PAGE),
    answer(
        "gzip cut short", 5, NO_API, status=200, headers=PACKED,
        body=gzip.compress(b'{"images": []}')[:-12],
    ),
]  # fmt: skip
CONNECTIONS = [
    answer("hung up", 5, "the connection broke", drop=True),
    answer("reset", 5, "the connection broke", drop=True, reset=True),
    answer("cut short", 5, "the connection broke", status=200, headers=LONGER, body=b"{}"),
    answer("no HTTP", 5, "the connection broke", raw=b"220 mail.example ESMTP\r\n"),
    Trouble("silence", 5, "no answer in time", "--timeout 0.5", {"stall": 1, "status": 503}),
]
PLACES = [
    Trouble("refused", 5, "the service cannot be reached", "--endpoint {closed}"),
    Trouble("no such host", 5, "cannot be reached", "--endpoint http://glance.invalid:9292"),
    Trouble("a host that cannot be", 2, "is not a URL", "--endpoint http://glance..example/"),
    Trouble("no URL", 2, "is not a URL", "--endpoint glance.example:9292"),
    Trouble("self-signed", 5, "certificate cannot be verified", "--endpoint {signed}"),
    Trouble("self-signed, known", 0, "", "--cacert {ca} --endpoint {signed}"),
    Trouble("self-signed, --insecure", 0, "", "--insecure --endpoint {signed}"),
    Trouble("expired", 5, "expired", "--cacert {expired_ca} --endpoint {expired}"),
    Trouble("wrong host", 5, "mismatch", "--cacert {stranger_ca} --endpoint {stranger}"),
    Trouble("TLS to no TLS", 5, "cannot be reached", "--endpoint {no_tls}"),
    Trouble("no TLS to TLS", 5, "the connection broke", "--endpoint {plain_to_tls}"),
    Trouble("no CA file", 2, "absent.pem", "--cacert absent.pem --endpoint {signed}"),
    Trouble("with /v2", 0, "", "--endpoint {front}/v2/"),
]
TROUBLES = [*STATUSES, *BODIES, *CONNECTIONS, *PLACES]
# From one request of a command on, all later ones meet these.
OUTAGES = [
    answer("503", 5, "", status=503),
    answer("HTML", 5, "", status=200, headers=HTML, body=PAGE),
    answer("truncated JSON", 5, "", **as_json('{"im')),
    answer("reset", 5, "", drop=True, reset=True),
    Trouble("silence", 5, "", "--timeout 1", {"stall": 1.5, "status": 503}),
]
# Only the first request of a command meets these, and it may be sent once more.
PASSING = [
    answer("429", 0, "", status=429, headers={"Retry-After": "0"}),
    answer("500", 0, "", dict.fromkeys(ONCE_ONLY, 5), status=500),
    answer("503", 0, "", dict.fromkeys(ONCE_ONLY, 5), status=503),
    answer("503 in HTML", 0, "", dict.fromkeys(ONCE_ONLY, 5), status=503, headers=HTML, body=PAGE),
    answer("hung up", 0, "", dict.fromkeys(ONCE_ONLY, 5), drop=True),
    answer("reset", 0, "", dict.fromkeys(ONCE_ONLY, 5), drop=True, reset=True),
    answer("401", 0, "", status=401),
    Trouble(
        "silence", 0, "", "--timeout 1", {"stall": 2, "status": 503}, dict.fromkeys(ONCE_ONLY, 5)
    ),
]

KEYS = (
    *("id", "status", "name", "visibility", "tags", "owner", "size", "disk_format", "stores"),
    *("created_at", "updated_at", "os_hash_algo", "os_hash_value", "checksum", "next", "url"),
    *("member_id", "image_id", "type", "message", "input", "result", "metadata", "description"),
    *("images", "members", "tasks", "versions", "cached_images", "queued_images"),
    *("import-methods", "value", "properties", "enum", "usage", "protected", "min_disk"),
)
VALUES: dict[str, object] = {
    "null": None,
    "a number": 5,
    "a fraction": 1e300,
    "a list": [None],
    "an object": {"x": []},
    "true": True,
}
GONE = "gone"


# What it means to a command when an answer that is no nonsense lacks such a key.
MEANS = {
    ("image show by name", "name"): (4, "no image is named"),
    ("image download", "size"): (1, "has no size in its record"),
    ("image create --file", "size"): (6, "is not what was sent"),
    ("image upload", "size"): (6, "is not what was sent"),
    ("image import", "size"): (6, "is not what was sent"),
    ("image verify", "size"): (1, "has no size in its record"),
    ("image verify FILE", "size"): (1, "has no size in its record"),
    ("image publish", "size"): (6, "is not what was sent"),
    ("image apply", "name"): (4, "no image of this project is named"),
    ("image apply", "owner"): (4, "no image of this project is named"),
    ("image copy", "size"): (1, "has no data yet"),
    ("image copy", "disk_format"): (1, "Property disk_format must be set"),
    ("image copy", "protected"): (1, "silently left out /protected"),
}
# And what it means that the size is another one.
OTHER_SIZE = {
    "image stage": (6, "is not what was sent"),
    "image download": (6, "is not what its record says"),
    "image verify": (6, "do not match its record"),
    "image verify FILE": (10, "is not the data of"),
    "image copy": (6, "is not what its record says"),
}


def pairs(commands: Sequence[str], troubles: Sequence[Any], least: int) -> list[tuple[str, Any]]:
    """Return ``least`` troubles or more for each command, so that each trouble is met as well."""
    total = max(len(commands) * least, len(troubles))
    return [(commands[i % len(commands)], troubles[i % len(troubles)]) for i in range(total)]


@dataclass
class Changing:
    """Makes each ``key`` in a JSON body ``value``, of VALUES, or takes it out; ``found`` counts."""

    key: str
    value: str
    found: int = 0

    def __call__(self, body: bytes) -> bytes:
        if body[:1] not in (b"{", b"["):
            return body
        return json.dumps(self._changed(json.loads(body))).encode()

    def _changed(self, part: Any) -> Any:
        if isinstance(part, list):
            return [self._changed(item) for item in part]
        if not isinstance(part, dict):
            return part
        kept = {key: self._changed(item) for key, item in part.items() if key != self.key}
        if self.key in part:
            self.found += 1
            if self.value != GONE:
                kept[self.key] = VALUES[self.value]
        return kept


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class World:
    """An admin's project, a second one, and what commands need: ``world["active"]`` is new."""

    def __init__(self, sandbox: Sandbox, folder: Path, url: str) -> None:
        self.sandbox = sandbox
        self.admin = Project(sandbox, "admin")
        self.project = Project(sandbox)
        self.folder = folder
        self.front = FaultProxy(sandbox.glance)
        self._headers = {"X-Auth-Token": password_token(self.admin.env)}
        self._proxies = [self.front]
        self._kept: list[str] = []
        self._fixed = {
            "raw": str(folder / "noise.raw"),
            "url": url,
            "own": self.admin.id,
            "other": self.project.id,
            "front": self.front.url,
            "no_tls": sandbox.glance.replace("http:", "https:"),
            "closed": "http://127.0.0.1:9",
        }
        (folder / "noise.raw").write_bytes(bytes(range(256)) * 100)
        self._serve_tls("signed", "ca", "127.0.0.1", 1)
        self._serve_tls("expired", "expired_ca", "127.0.0.1", -1)
        self._serve_tls("stranger", "stranger_ca", "127.0.0.2", 1)
        self._fixed["plain_to_tls"] = self._fixed["signed"].replace("https:", "http:")

    def _serve_tls(self, name: str, ca: str, address: str, days: int) -> None:
        certificate = self_signed(self.folder, address, days)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._proxies.append(FaultProxy(self.sandbox.glance, context))
        self._fixed |= {name: self._proxies[-1].url, ca: str(certificate)}

    def clean(self) -> None:
        """Delete what a test has made."""
        for owner in (self.admin.id, self.project.id):
            for image in self.glance("GET", f"images?owner={owner}")["images"]:
                if image["id"] not in self._kept:
                    url = f"{self.sandbox.glance}/v2/images/{image['id']}"
                    HTTP.delete(url, headers=self._headers)  # gone meanwhile, perhaps

    def close(self) -> None:
        for proxy in self._proxies:
            proxy.close()

    def __getitem__(self, name: str) -> str:
        if name in self._fixed:
            return self._fixed[name]
        return str(getattr(self, f"_{name}")())

    def words(self, template: str) -> list[str]:
        """Return an argv, with what its ``{names}`` stand for."""
        return [word.format_map(self) for word in template.split()]

    def glance(self, method: str, path: str, **request: Any) -> Any:
        """Send a request past the proxy, and return what it answers."""
        url = f"{self.sandbox.glance}/v2/{path}"
        headers = {**self._headers, **request.pop("headers", {})}
        answered = HTTP.request(method, url, headers=headers, **request)
        assert answered.is_success, answered.text
        return answered.json() if answered.content else None

    def named(self, name: str) -> list[dict[str, Any]]:
        """Return the images of this name."""
        found: list[dict[str, Any]] = []
        for hidden in ("false", "true"):
            found += self.glance("GET", f"images?name={name}&os_hidden={hidden}")["images"]
        return found

    def _name(self) -> str:
        return f"image-{uuid.uuid4().hex}"

    def _uuid(self) -> str:
        return str(uuid.uuid4())

    def _dest(self) -> str:
        return str(Path(self._name()).absolute())

    def _queued(self, **fields: object) -> str:
        record = {"disk_format": "raw", "container_format": "bare", "tags": ["old"], **fields}
        return str(self.glance("POST", "images", json=record)["id"])

    def _active(self, **fields: object) -> str:
        image_id = self._queued(**fields)
        self._put(image_id, "file")
        return image_id

    def _put(self, image_id: str, where: str) -> None:
        headers = {"Content-Type": "application/octet-stream"}
        data = Path(self["raw"]).read_bytes()
        self.glance("PUT", f"images/{image_id}/{where}", content=data, headers=headers)

    def _catalogue(self) -> Path:
        file = Path(f"{self._name()}.yaml")
        file.write_text(f"images:\n- name: {self._named()}\n  tags: [new]\n")
        return file

    def _named(self) -> str:
        name = self._name()
        self._active(name=name)
        return name

    def _deactivated(self) -> str:
        image_id = self._active()
        self.glance("POST", f"images/{image_id}/actions/deactivate")
        return image_id

    def _shared(self) -> str:
        image_id = self._queued(visibility="shared")
        self.glance("POST", f"images/{image_id}/members", json={"member": self.project.id})
        return image_id

    def _offered(self) -> str:
        image_id = self._queued(visibility="shared", owner=self.project.id)
        self.glance("POST", f"images/{image_id}/members", json={"member": self.admin.id})
        return image_id

    def _copied(self) -> str:
        """Import an image into both writable stores."""
        image_id = self._queued()
        self._put(image_id, "stage")
        body = {"method": {"name": "glance-direct"}, "all_stores": True}
        self.glance("POST", f"images/{image_id}/import", json=body)
        wait_for(lambda: self._is_imported(image_id))
        return image_id

    def _is_imported(self, image_id: str) -> bool:
        record = self.glance("GET", f"images/{image_id}")
        return record["status"] == "active" and "os_glance_import_task" not in record

    def _imported(self) -> str:
        if not self._kept:
            self._kept.append(self._copied())
        return self._kept[0]

    def _task(self) -> str:
        return str(self.glance("GET", f"images/{self._imported()}/tasks")["tasks"][0]["id"])

    def _task_input(self) -> str:
        properties = {"disk_format": "raw", "container_format": "bare"}
        task_input = {
            "import_from": self["url"],
            "import_from_format": "raw",
            "image_properties": properties,
        }
        return json.dumps(task_input, separators=(",", ":"))


@pytest.fixture(scope="session")
def made(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world of this file, and a web server for what Glance fetches."""
    folder = tmp_path_factory.mktemp("faults")
    handler = partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        world = World(sandbox, folder, f"http://127.0.0.1:{server.server_port}/noise.raw")
        assert world["imported"]  # so that no list is empty
        yield world
        world.close()
        server.shutdown()
        thread.join(5)


@pytest.fixture
def world(made: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The same, free of faults; ``run`` is its admin, through the proxy, with a cached token."""
    log_in(made.admin, monkeypatch)
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", made.front.url)
    monkeypatch.setenv("HOME", str(made.folder))
    made.front.faults.clear()
    made.front.requests.clear()
    run("auth", "token")
    yield made
    made.clean()


def judge(result: Result, code: int, words: str, *, in_json: bool = False) -> None:
    """Compare a run with what it has to be: done, or one error in the form that is promised."""
    assert result.code == code, f"exit {result.code}, expected {code}\n{result.out}\n{result.err}"
    if code == 0:
        assert "glancectl: error" not in result.err
        return
    assert result.out == ""
    if in_json and code != 2:  # usage errors stay plain
        error = json.loads(result.err.splitlines()[-1])["error"]
        assert list(error)[:7] == [
            *("exit", "kind", "message", "cause", "hint", "status", "request_id"),
        ]
        assert error["exit"] == code
        assert words in f"{error['message']} {error['cause']} {error['hint']}"
    else:
        assert result.err.count("glancectl: error: ") == 1
        assert words in result.err


def judge_rest(world: World, argv: Sequence[str], result: Result) -> None:
    """Make sure that a failed command left nothing that looks finished, or says what it left."""
    if result.code and argv[:2] in (["image", "create"], ["image", "publish"]):
        left = world.named(argv[2])
        assert all(image["id"] in result.err for image in left)
    if result.code and argv[:2] == ["image", "download"]:
        assert not Path(argv[3]).exists()


# Glance


@pytest.mark.reliability(FAULTS)
def test_a_fault_is_an_exit_code_and_a_sentence(
    world: World, command: str, trouble: Trouble
) -> None:
    argv = world.words(COMMANDS[command])
    if trouble.fault is not None:
        world.front.add(".*", times=None, **trouble.fault)
    in_json = len(command + trouble.name) % 2 == 0
    options = ["-f", "json"] if in_json else []
    result = run("--retries", 0, *world.words(trouble.options), *argv, *options, code=None)
    world.front.faults.clear()
    code = trouble.but.get(command, trouble.code)
    judge(result, code, trouble.words if code == trouble.code else "", in_json=in_json)
    judge_rest(world, argv, result)


@pytest.mark.reliability(FAULTS)
def test_a_fault_that_passes_is_outlived(world: World, command: str, trouble: Trouble) -> None:
    argv = world.words(COMMANDS[command])
    assert trouble.fault is not None
    world.front.add(".*", **trouble.fault)
    result = run("--retries", 1, *world.words(trouble.options), *argv, code=None)
    judge(result, trouble.but.get(command, trouble.code), trouble.words)
    assert world.front.count() >= 1


@pytest.mark.reliability(FAULTS)
def test_an_outage_in_the_midst_is_a_sentence_that_says_what_is_left(
    world: World,
    command: str,
    trouble: Trouble,
    full_scale: bool,
    record_property: Callable[[str, object], None],
) -> None:
    assert trouble.fault is not None
    fault, options = dict(trouble.fault), world.words(trouble.options)
    if "stall" in fault and full_scale:  # the tests of load run beside this one, and slow it down
        fault["stall"], options = 4, ["--timeout", "3"]
    for passing in count(1):
        argv = world.words(COMMANDS[command])
        world.front.requests.clear()
        world.front.add(".*", times=None, skip=passing, **fault)
        result = run("--retries", 0, *options, *argv, code=None)
        world.front.faults.clear()
        is_over = world.front.count() <= passing
        judge(result, 0 if is_over else trouble.code, trouble.words)
        judge_rest(world, argv, result)
        if is_over or (passing == 3 and not full_scale):
            record_property("tried", passing)
            break


@pytest.mark.reliability(SHAPES)
def test_an_answer_of_another_shape_is_no_traceback(
    world: World,
    command: str,
    trouble: str,
    full_scale: bool,
    record_property: Callable[[str, object], None],
) -> None:
    values = list(VALUES) if full_scale else [list(VALUES)[len(command + trouble) % len(VALUES)]]
    tried = 0
    for value in (GONE, *values):
        argv = world.words(COMMANDS[command])
        changing = Changing(trouble, value)
        world.front.add(".*", times=None, rewrite=changing)
        result = run("--retries", 0, *argv, "-f", "json", code=None)
        world.front.faults.clear()
        if result.code == 5:
            judge(result, 5, NO_API, in_json=True)
        else:
            meaning = MEANS.get((command, trouble), (0, ""))
            if (trouble, value) == ("size", "a number"):
                meaning = OTHER_SIZE.get(command, meaning)
            judge(result, *meaning, in_json=True)
        judge_rest(world, argv, result)
        tried += 1
        if not changing.found:
            break
    record_property("tried", tried)


ESSENTIAL = [
    *("image list", "image show", "image create", "image create --file", "image upload"),
    *("image update", "image activate", "image wait", "image import", "tag list", "tag add"),
    *("image download", "task show", "task list", "task wait", "store list", "info"),
]


@pytest.mark.reliability(SHAPES)
@pytest.mark.parametrize("command", ESSENTIAL)
def test_a_record_without_an_id_is_none(
    world: World, command: str, full_scale: bool, record_property: Callable[[str, object], None]
) -> None:
    tried = [GONE, *VALUES] if full_scale else [GONE]
    for value in tried:
        argv = world.words(COMMANDS[command])
        world.front.add(".*", times=None, rewrite=Changing("id", value))
        result = run("--retries", 0, *argv, code=None)
        world.front.faults.clear()
        judge(result, 5, NO_API)
        judge_rest(world, argv, result)
    record_property("tried", len(tried))


@pytest.mark.reliability(SHAPES)
@pytest.mark.parametrize(
    "following",
    [
        "/v2/images?marker=6b1e2d7e-0000-4000-8000-0000000000aa",
        *(5, ["x"], {"x": 1}, True, "http://[::1/?marker=x"),
    ],
    ids=str,
)
def test_pages_that_go_on_for_ever_or_nowhere_end(world: World, following: object) -> None:
    page = as_json(json.dumps({"images": [], "next": following}))
    world.front.add("^GET /v2/images", times=None, **page)
    judge(run("image", "list", code=None), 5, NO_API)
    assert world.front.count() <= 2


# What was sent, and no answer came that tells whether it was carried out.

NOT_REPEATABLE = {
    "task create": ("POST /v2/tasks", COMMANDS["task create"]),
    "image create --id": ("POST /v2/images", "image create {name} --id {uuid}"),
    "image update --patch": (
        "PATCH",
        'image update {queued} --patch [{{"op":"add","path":"/a","value":"b"}}]',
    ),
}
OPEN = {
    "500": {"status": 500},
    "502": {"status": 502, "headers": HTML, "body": PAGE},
    "answer lost": {"lose_answer": True},
    "hung up": {"drop": True},
    "HTML": {"status": 200, "headers": HTML, "body": PAGE},
    "carried out, then 500": {"carry_out": True, "status": 500},
}


@pytest.mark.reliability(FAULTS)
@pytest.mark.parametrize("fault", OPEN.values(), ids=OPEN)
@pytest.mark.parametrize("row", NOT_REPEATABLE.values(), ids=NOT_REPEATABLE)
def test_what_cannot_be_repeated_is_sent_once_and_may_have_been_carried_out(
    world: World, row: tuple[str, str], fault: dict[str, Any]
) -> None:
    request, template = row
    argv = world.words(template)
    world.front.add(f"^{request}", times=None, **fault)
    judge(run("--retries", 2, *argv, code=None), 5, "may have been carried out")
    assert world.front.count(f"^{request}") == 1


# Keystone


def token_with(**changes: object) -> dict[str, Any]:
    """Return the fault that changes fields of the token document: to None is null, to GONE none."""

    def rewrite(body: bytes) -> bytes:
        document = json.loads(body)
        for key, value in changes.items():
            if value == GONE:
                document["token"].pop(key)
            else:
                document["token"][key] = value
        return json.dumps(document).encode()

    return {"on": TOKENS, "rewrite": rewrite}


def catalog_with(**changes: object) -> dict[str, Any]:
    """Return the fault that changes fields of the image endpoints in the catalogue."""

    def rewrite(body: bytes) -> bytes:
        document = json.loads(body)
        for service in document["token"]["catalog"]:
            for endpoint in service["endpoints"] if service["type"] == "image" else ():
                endpoint |= {
                    key: f(endpoint[key]) if callable(f) else f for key, f in changes.items()
                }
        return json.dumps(document).encode()

    return {"on": TOKENS, "rewrite": rewrite}


TOKENS = "^POST /v3/auth/tokens"
NO_KEYSTONE = "not what an identity API v3 sends"
UNREACHED = "Keystone cannot be reached"
NO_ENDPOINT = "no image endpoint for this region"
NO_TOKEN = {"status": 201, "headers": {"Content-Type": "application/json"}}
LOGIN_TROUBLES = [
    Trouble("refused", 5, UNREACHED, "{closed}/v3"),
    Trouble("refused, no /v3", 5, UNREACHED, "{closed}"),
    Trouble("no such host", 5, UNREACHED, "http://keystone.invalid:5000/v3"),
    Trouble("a host that cannot be", 2, "is not a URL", "http://keystone..example/v3"),
    Trouble("no URL", 2, "is not a URL", "keystone.example:5000/v3"),
    Trouble("TLS to no TLS", 5, UNREACHED, "{no_tls}/v3"),
    answer("hung up", 5, UNREACHED, on=".*", drop=True),
    answer("reset", 5, UNREACHED, on=".*", drop=True, reset=True),
    answer("no HTTP", 5, "220 mail.example", on=".*", raw=b"220 mail.example ESMTP\r\n"),
    answer("silence", 5, UNREACHED, on=".*", stall=0.7, status=503),
    answer("300", 5, NO_KEYSTONE, on=TOKENS, status=300, headers=HTML, body=PAGE),
    answer("400", 3, "Keystone refuses the login", on=TOKENS, status=400),
    answer("401", 3, "Keystone refuses these credentials", on=TOKENS, status=401),
    answer("403", 3, "Keystone does not allow this", on=TOKENS, status=403),
    answer("404", 5, "is not a Keystone that answers", on=".*", status=404, body=PAGE),
    answer("429", 5, "too many requests", on=".*", status=429),
    answer("500", 5, "Keystone is failing", on=".*", status=500),
    answer("502 in HTML", 5, "is failing", on=".*", status=502, headers=HTML, body=PAGE),
    answer("503", 5, "is failing", on=".*", status=503, headers={"Retry-After": "9"}),
    answer("HTML", 5, NO_KEYSTONE, on=".*", status=200, headers=HTML, body=PAGE),
    answer("truncated JSON", 5, NO_KEYSTONE, on=TOKENS, **as_json('{"token": {"user')),
    answer("brackets", 5, NO_KEYSTONE, on=".*", **as_json("[" * 200_000)),
    answer("a list", 5, NO_KEYSTONE, on=TOKENS, **as_json("[]")),
    answer("a number", 5, NO_KEYSTONE, on=TOKENS, **as_json("5")),
    answer("a number, everywhere", 5, NO_KEYSTONE, on=".*", **as_json("5")),
    answer("null", 5, NO_KEYSTONE, on=".*", **as_json("null")),
    answer("an empty object", 5, NO_KEYSTONE, on=TOKENS, **as_json("{}")),
    answer("token is null", 5, NO_KEYSTONE, on=TOKENS, **NO_TOKEN, body=b'{"token": null}'),
    answer("token is a list", 5, NO_KEYSTONE, on=TOKENS, **NO_TOKEN, body=b'{"token": []}'),
    answer("no X-Subject-Token", 5, NO_KEYSTONE, on=TOKENS, **NO_TOKEN, body=b'{"token": {}}'),
    answer("no expires_at", 5, NO_KEYSTONE, **token_with(expires_at=GONE)),
    answer("expires_at is null", 5, NO_KEYSTONE, **token_with(expires_at=None)),
    answer("expires_at is a number", 5, NO_KEYSTONE, **token_with(expires_at=5)),
    answer("expires_at is no date", 5, NO_KEYSTONE, **token_with(expires_at="soon")),
    answer("no user", 5, NO_KEYSTONE, **token_with(user=GONE)),
    answer("user is null", 5, NO_KEYSTONE, **token_with(user=None)),
    answer("roles are null", 5, NO_KEYSTONE, **token_with(roles=None)),
    answer("roles are numbers", 5, NO_KEYSTONE, **token_with(roles=[1])),
    answer("no catalogue", 4, NO_ENDPOINT, **token_with(catalog=GONE)),
    answer("an empty catalogue", 4, NO_ENDPOINT, **token_with(catalog=[])),
    answer("catalogue is null", 5, NO_KEYSTONE, **token_with(catalog=None)),
    answer("catalogue of numbers", 5, NO_KEYSTONE, **token_with(catalog=[5])),
    answer("no image service", 4, NO_ENDPOINT, **token_with(catalog=[{"type": "compute"}])),
    answer("another region", 4, "Elsewhere", **catalog_with(region="Elsewhere", region_id="E")),
    answer("another interface", 4, NO_ENDPOINT, **catalog_with(interface="internal")),
    answer("endpoint is null", 4, NO_ENDPOINT, **catalog_with(url=None)),
    answer("endpoint is a number", 5, NO_KEYSTONE, **catalog_with(url=5)),
    answer("endpoint is no URL", 2, "is not a URL", **catalog_with(url="glance.example")),
    answer("endpoint with /v2", 0, "", **catalog_with(url="{}/v2".format)),
    answer("endpoint with /v2/", 0, "", **catalog_with(url="{}/v2/".format)),
]


@pytest.fixture(scope="session")
def gate(sandbox: Sandbox) -> Iterator[FaultProxy]:
    """A proxy in front of Keystone."""
    proxy = FaultProxy(sandbox.keystone)
    yield proxy
    proxy.close()


@pytest.fixture
def keystone(world: World, gate: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> FaultProxy:
    """The same, free of faults; ``run`` logs in through it, and finds Glance in the catalogue."""
    monkeypatch.delenv("OS_ENDPOINT_OVERRIDE")
    monkeypatch.setenv("OS_AUTH_URL", f"{gate.url}/v3")
    gate.faults.clear()
    gate.requests.clear()
    return gate


@pytest.mark.reliability(LOGINS)
@LOOSE_SOCKETS
def test_a_fault_of_keystone_is_an_exit_code_and_a_sentence(
    world: World,
    keystone: FaultProxy,
    command: str,
    trouble: Trouble,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if trouble.options:
        monkeypatch.setenv("OS_AUTH_URL", trouble.options.format_map(world))
    if trouble.fault is not None:
        keystone.add(**{**trouble.fault, "times": None})
    argv = world.words({**COMMANDS, **AUTH_COMMANDS}[command])
    in_json = len(command + trouble.name) % 2 == 0
    options = ["--no-token-cache", "--retries", 0, "--timeout", 0.5 if is_slow(trouble) else 5]
    result = run(*options, *argv, *(["-f", "json"] if in_json else []), code=None)
    keystone.faults.clear()
    gc.collect()
    # An endpoint that is no URL troubles only those who call it.
    is_local = command in AUTH_COMMANDS and trouble.name == "endpoint is no URL"
    judge(result, 0 if is_local else trouble.code, trouble.words, in_json=in_json)
    judge_rest(world, argv, result)


def is_slow(trouble: Trouble) -> bool:
    return bool(trouble.fault and trouble.fault.get("stall"))


LOGIN_PASSING = {
    "429": {"status": 429, "headers": {"Retry-After": "0"}},
    "500": {"status": 500},
    "503": {"status": 503},
    "hung up": {"drop": True},
    "reset": {"drop": True, "reset": True},
}


@pytest.mark.reliability(LOGINS)
@LOOSE_SOCKETS
@pytest.mark.parametrize("fault", LOGIN_PASSING.values(), ids=LOGIN_PASSING)
def test_a_fault_of_keystone_that_passes_is_outlived(
    world: World, keystone: FaultProxy, fault: dict[str, Any]
) -> None:
    keystone.add(TOKENS, **fault)
    run("--no-token-cache", "--retries", 1, "image", "list", "--limit", 1)
    gc.collect()
    assert keystone.count(TOKENS) == 2


@pytest.mark.reliability(LOGINS)
@pytest.mark.parametrize(
    ("address", "days", "options", "code", "words"),
    [
        pytest.param("127.0.0.1", 1, "", 5, "Keystone's certificate", id="self-signed"),
        pytest.param("127.0.0.1", 1, "--insecure", 0, "", id="insecure"),
        pytest.param("127.0.0.1", 1, "--cacert {ca}", 0, "", id="known"),
        pytest.param("127.0.0.1", -1, "--cacert {ca}", 5, "expired", id="expired"),
        pytest.param("127.0.0.2", 1, "--cacert {ca}", 5, "mismatch", id="wrong host"),
        pytest.param("127.0.0.1", 1, "--cacert absent.pem", 2, "absent.pem", id="no CA file"),
        pytest.param("127.0.0.1", 1, "--cacert {key}", 2, "certificates", id="no CA"),
    ],
)
def test_keystone_s_certificate_is_verified(
    world: World,
    keystone: FaultProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    days: int,
    options: str,
    code: int,
    words: str,
) -> None:
    ca = self_signed(tmp_path, address, days)
    (tmp_path / "key").write_text("no certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca)
    secure = FaultProxy(world.sandbox.keystone, context)
    monkeypatch.setenv("OS_AUTH_URL", f"{secure.url}/v3")
    typed = options.format(ca=ca, key=tmp_path / "key").split()
    result = run("--no-token-cache", "--retries", 2, *typed, "auth", "status", code=None)
    secure.close()
    judge(result, code, words)
    assert secure.count(TOKENS) == (code == 0)


LOOKUPS = [
    answer("silence", 5, UNREACHED, stall=0.7, status=503),
    answer("reset", 5, UNREACHED, drop=True, reset=True),
    answer("429", 5, "too many requests", status=429),
    answer("500", 5, "Keystone is failing", status=500),
    answer("HTML", 5, NO_KEYSTONE, status=200, headers=HTML, body=PAGE),
    answer("a list", 5, NO_KEYSTONE, **as_json("[]")),
    answer("an empty object", 5, NO_KEYSTONE, **as_json("{}")),
    answer("null", 5, NO_KEYSTONE, **as_json('{"projects": null}')),
    answer("numbers", 5, NO_KEYSTONE, **as_json('{"projects": [5]}')),
    answer("no id", 5, NO_KEYSTONE, **as_json('{"projects": [{"name": "x"}]}')),
    answer("none", 4, "no project", **as_json('{"projects": []}')),
]


@pytest.mark.reliability(LOGINS)
@LOOSE_SOCKETS
@pytest.mark.parametrize("trouble", LOOKUPS, ids=lambda trouble: trouble.name)
def test_a_fault_while_a_project_is_looked_up_is_a_sentence(
    world: World, keystone: FaultProxy, trouble: Trouble
) -> None:
    run("auth", "token")
    image_id = world["queued"]
    assert trouble.fault is not None
    keystone.add("^GET /v3/projects", times=None, **trouble.fault)
    options = ["--retries", 0, "--timeout", 0.5]
    result = run(*options, "member", "add", image_id, world.project.name, code=None)
    gc.collect()
    judge(result, trouble.code, trouble.words)
    assert world.glance("GET", f"images/{image_id}/members")["members"] == []


def test_a_fault_while_a_project_is_looked_up_that_passes_is_outlived(
    world: World, keystone: FaultProxy
) -> None:
    run("auth", "token")
    keystone.add("^GET /v3/projects", status=503)
    run("--retries", 1, "member", "add", world["queued"], world.project.name)


@pytest.mark.reliability(LOGINS)
@pytest.mark.parametrize("path", ["/v3", ""])
def test_stderr_has_the_error_and_nothing_of_the_libraries(
    world: World, keystone: FaultProxy, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("OS_AUTH_URL", f"{world['closed']}{path}")
    command = [sys.executable, "-m", "glancectl", "--no-token-cache", "--retries", "0"]
    ended = subprocess.run([*command, "image", "list", "-f", "json"], capture_output=True)
    assert (ended.returncode, ended.stdout) == (5, b"")
    [line] = ended.stderr.splitlines()
    assert json.loads(line)["error"]["message"] == UNREACHED


# Clocks


@pytest.mark.reliability(CLOCKS)
@pytest.mark.parametrize("expires_at", ["2000-01-01T00:00:00.000000Z", "9999-12-31T23:59:59Z"])
def test_a_token_of_another_time_does(world: World, keystone: FaultProxy, expires_at: str) -> None:
    keystone.add(**token_with(expires_at=expires_at), times=None)
    for _ in range(2):
        keystone.requests.clear()
        run("image", "list", "--limit", 1)
        assert keystone.count(TOKENS) <= 2


@pytest.mark.reliability(CLOCKS)
@pytest.mark.parametrize("command", ["image list", "image create --file", "image download"])
def test_a_token_that_looks_old_and_is_refused_is_renewed_once(
    world: World, keystone: FaultProxy, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", world.front.url)
    keystone.add(**token_with(expires_at="2000-01-01T00:00:00.000000Z"), times=None)
    argv = world.words(COMMANDS[command])
    world.front.add(".*", times=None, status=401)
    judge(run("--no-token-cache", *argv, code=None), 3, "the token is not accepted")
    assert world.front.count() == 2
    assert keystone.count(TOKENS) <= 4


YEARS_OFF = ("Sat, 01 Jan 2000 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "now", "")


@pytest.mark.reliability(CLOCKS)
@pytest.mark.parametrize("date", YEARS_OFF)
def test_the_date_of_an_answer_does_not_matter(world: World, date: str) -> None:
    kind = {"Content-Type": "application/json", "Date": date, "Expires": date}
    world.front.add("^GET", status=200, headers=kind, body=b'{"images": []}')
    assert run("image", "list").out == ""


@pytest.mark.reliability(CLOCKS)
@pytest.mark.parametrize(
    "when", [*YEARS_OFF, "0", "00", "-5", "+0", "0.5", "1e3", "soon", "\xb2", "0, 0"]
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_after_that_makes_no_sense_is_none(world: World, status: int, when: str) -> None:
    fault = f"HTTP/1.1 {status} Busy\r\nRetry-After: {when}\r\nContent-Length: 0\r\n\r\n"
    world.front.add("^GET", raw=fault.encode("latin-1"))
    start = time.monotonic()
    run("--retries", 1, "image", "list", "--limit", 1)
    assert time.monotonic() - start < 2
    assert world.front.count() == 2


@pytest.mark.reliability(CLOCKS)
@pytest.mark.parametrize("who", ["glance", "keystone"])
def test_a_retry_after_is_waited_for(world: World, keystone: FaultProxy, who: str) -> None:
    busy = {"status": 503, "headers": {"Retry-After": "1"}}
    if who == "keystone":
        keystone.add(TOKENS, **busy)
        options = ["--no-token-cache"]
    else:
        world.front.add("^GET", **busy)
        options = ["--endpoint", world.front.url]
    start = time.monotonic()
    run("--retries", 1, *options, "image", "list", "--limit", 1)
    assert time.monotonic() - start >= 1


@pytest.mark.reliability(CLOCKS)
@pytest.mark.parametrize("when", ["31", "3600", "9" * 400])
def test_a_retry_after_is_obeyed_for_half_a_minute_at_most(
    world: World, full_scale: bool, when: str
) -> None:
    assert retry.delay(1, when) == retry.LONGEST == 30
    if full_scale:
        world.front.add("^GET", status=503, headers={"Retry-After": when})
        start = time.monotonic()
        run("--retries", 1, "image", "list", "--limit", 1)
        assert 29 < time.monotonic() - start < 35


# What each test's commands meet: the table, and how much of it when not everything is tried.
TABLES: dict[Callable[..., None], tuple[Sequence[str], Sequence[Any], int]] = {
    test_a_fault_is_an_exit_code_and_a_sentence: (list(COMMANDS), TROUBLES, 2),
    test_a_fault_that_passes_is_outlived: (list(COMMANDS), PASSING, 1),
    test_an_outage_in_the_midst_is_a_sentence_that_says_what_is_left: (list(COMMANDS), OUTAGES, 1),
    test_an_answer_of_another_shape_is_no_traceback: (
        list(COMMANDS),
        KEYS,
        1,
    ),
    test_a_fault_of_keystone_is_an_exit_code_and_a_sentence: (
        [*COMMANDS, *AUTH_COMMANDS],
        LOGIN_TROUBLES,
        1,
    ),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let each command meet each trouble of the test's table, or some of them."""
    table = TABLES.get(metafunc.function)
    if table is None:
        return
    commands, troubles, least = table
    if metafunc.config.getoption("--reliability"):
        rows = [(command, trouble) for command in commands for trouble in troubles]
    else:
        rows = pairs(commands, troubles, least)
    names = [f"{command}-{getattr(trouble, 'name', trouble)}" for command, trouble in rows]
    metafunc.parametrize(("command", "trouble"), rows, ids=names)


def test_each_verb_that_talks_to_a_service_is_tried() -> None:
    verbs = [path.removeprefix("glancectl ") for path in VERBS]
    verbs = [verb for verb in verbs if verb.split()[0] not in LOCAL]
    tried = {*COMMANDS.values(), *AUTH_COMMANDS.values(), "auth logout"}
    assert [verb for verb in verbs if not any(f"{t} ".startswith(f"{verb} ") for t in tried)] == []


def test_each_command_and_each_trouble_is_met_by_the_quick_run() -> None:
    for commands, troubles, least in TABLES.values():
        rows = pairs(commands, troubles, least)
        assert {command for command, _ in rows} == set(commands)
        assert all(trouble in [met for _, met in rows] for trouble in troubles)
