"""store, image locations, cache and info: where a cloud keeps its images, and what it can do."""

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import HTTP, LIMITS, Project, run, wait_for
from faultproxy import FaultProxy
from test_image import MISSING, status_of

Served = tuple[str, Path]

FILTERED = "http://169.254.169.254/x"


def make(*options: object) -> str:
    """Reserve a raw image and return its id."""
    return run("image", "create", "-q", "--disk-format", "raw", *options).out.strip()


def show(image_id: str) -> dict[str, Any]:
    record: dict[str, Any] = run("image", "show", image_id, "-f", "json").json
    return record


def copied(raw: Path, name: str = "") -> str:
    """Make an image that is in both writable stores, and return its id."""
    image_id = make("--", name)
    import_ = ("image", "import", image_id, "--method", "glance-direct", "--file", raw)
    run(*import_, "--all-stores")
    assert show(image_id)["stores"] == "fast,slow"
    return image_id


@pytest.fixture
def page(served: Served) -> tuple[str, Path]:
    """A URL of noise that Glance may fetch, and the file behind it."""
    url, folder = served
    file = folder / "page.raw"
    file.write_bytes(os.urandom(70_000))
    return f"{url}/page.raw", file


class Gated(SimpleHTTPRequestHandler):
    """Serves files, but holds GET back while the gate is closed."""

    gate = threading.Event()

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.gate.wait(60)
        super().do_GET()


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[tuple[str, threading.Event]]:
    """A URL of noise that Glance may fetch, and the gate before it, open."""
    (tmp_path / "gated.raw").write_bytes(os.urandom(70_000))
    handler = partial(Gated, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        Gated.gate.set()
        yield f"http://127.0.0.1:{server.server_port}/gated.raw", Gated.gate
        Gated.gate.set()
        server.shutdown()
        thread.join(5)


@pytest.fixture
def plain(project: Project, plain_glance: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project, ``run`` going to a Glance with a single store and no cache."""
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", plain_glance)
    return project


# store list


def test_store_columns_are_a_promise(project: Project) -> None:
    assert run("store", "list").out == "fast\ttrue\t\t\nslow\t\t\t\nweb\t\ttrue\t\n"
    assert run("store", "list", "-f", "csv").lines[0] == "id,default,read-only,description"
    assert run("store", "list", "-q").lines == ["fast", "slow", "web"]
    header = run("store", "list", "-f", "table").lines[0].split()
    assert header == ["id", "default", "read-only", "description"]


def test_stores_in_json_are_the_api_s_own(project: Project) -> None:
    assert run("store", "list", "-f", "json").json == [
        {"id": "fast", "default": "true"},
        {"id": "slow"},
        {"id": "web", "read-only": "true"},
    ]


def test_details_of_stores_are_for_admins(project: Project, admin: Project) -> None:
    assert run("store", "list", "--detail", user=admin).out == (
        "fast\ttrue\t\t\tfile\t0\nslow\t\t\t\tfile\t0\nweb\t\ttrue\t\thttp\t0\n"
    )
    detail = run("store", "list", "--detail", "-f", "json", user=admin).json
    assert [store["type"] for store in detail] == ["file", "file", "http"]
    assert detail[1]["properties"]["data_dir"].endswith("/slow")
    refused = run("store", "list", "--detail", code=3)
    assert "cannot list the stores: not allowed with these credentials" in refused.err
    assert refused.out == ""


def test_a_single_store_is_an_empty_list_and_a_note(plain: Project, admin: Project) -> None:
    result = run("store", "list", "-f", "json")
    assert (result.json, result.err) == ([], "this cloud has a single store, without a name\n")
    assert run("store", "list", "--detail", user=admin).out == ""
    assert run("store", "list", "-q").err == ""


# store delete


def test_one_of_two_copies_can_be_deleted(project: Project, admin: Project, raw: Path) -> None:
    image_id = copied(raw)
    gone = run("store", "delete", "slow", image_id, "-f", "json", user=admin).json
    assert gone == {"id": image_id, "name": None, "status": "deleted", "store": "slow"}
    assert show(image_id)["stores"] == "fast"
    assert run("image", "download", image_id, "-").data == raw.read_bytes()
    last = run("store", "delete", "fast", image_id, "-f", "json", code=1, user=admin)
    error = json.loads(last.err)["error"]
    assert (error["kind"], error["status"], last.out) == ("refused", 403, "")
    assert "from the only store containing it" in error["cause"]
    assert show(image_id)["stores"] == "fast"


def test_a_copy_can_be_deleted_by_the_image_s_name(
    project: Project, admin: Project, raw: Path
) -> None:
    name = f"of {project.name}"
    image_id = copied(raw, name)
    gone = run("store", "delete", "fast", name, "-f", "json", user=admin).json
    assert gone == {"id": image_id, "name": name, "status": "deleted", "store": "fast"}
    assert show(image_id)["stores"] == "slow"


def test_a_copy_that_is_not_there_is_exit_4(project: Project, admin: Project, raw: Path) -> None:
    image_id = copied(raw)

    def words(store: str, image: str) -> str:
        return run("store", "delete", store, image, code=4, user=admin).err

    assert f"cannot delete image {image_id} from store web: not found" in words("web", image_id)
    unknown = words("nope", image_id)
    assert "there is no such store" in unknown
    assert "hint: glancectl store list shows what there is" in unknown
    assert "not found" in words("fast", MISSING)
    assert "no image is named 'nosuch'" in words("fast", "nosuch")
    assert show(image_id)["stores"] == "fast,slow"


def test_a_copy_is_not_deleted_for_an_ordinary_user(project: Project, raw: Path) -> None:
    image_id = copied(raw)
    assert "not allowed" in run("store", "delete", "slow", image_id, code=3).err
    assert show(image_id)["stores"] == "fast,slow"


# image locations


def test_a_url_becomes_the_data_of_an_image(
    project: Project, admin: Project, page: tuple[str, Path]
) -> None:
    url, file = page
    image_id = make()
    record = run("image", "locations", "add", image_id, url, "-f", "json").json
    assert (record["status"], record["stores"], record["size"]) == ("active", "web", 70_000)
    assert run("image", "download", image_id, "-").data == file.read_bytes()
    listing = ("image", "locations", "list", image_id)
    assert run(*listing, "-f", "json", user=admin).json == [
        {"url": url, "metadata": {"store": "web"}}
    ]
    assert run(*listing, user=admin).out == f'{url}\t{{"store":"web"}}\n'
    assert run(*listing, "-q", user=admin).out == f"{url}\n"
    refused = run(*listing, code=3)
    assert f"cannot list the locations of image {image_id}: not allowed" in refused.err


@pytest.mark.parametrize("algorithm", ["md5", "sha256", "sha512"])
def test_a_location_s_checksum_is_checked(
    project: Project, page: tuple[str, Path], algorithm: str
) -> None:
    url, file = page
    right = hashlib.new(algorithm, file.read_bytes()).hexdigest()
    add = ("image", "locations", "add")
    record = run(*add, make(), url, "--checksum", f"{algorithm}:{right}", "-f", "json").json
    assert (record["status"], record["os_hash_value"]) == ("active", right)
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    image_id = make()
    result = run(*add, image_id, url, "--checksum", f"{algorithm}:{wrong}", code=8)
    assert "the image keeps a location that does not hold" in result.err
    assert f"hint: only deleting is left: glancectl image delete {image_id}" in result.err


def test_a_location_that_is_a_404_leaves_the_image_queued(project: Project, served: Served) -> None:
    image_id = make()
    assert run("image", "locations", "add", image_id, f"{served[0]}/absent", code=8).err == (
        f"glancectl: error: adding a location to image {image_id} failed; "
        "the image is queued again\n"
        "  cause: Task failed due to Internal Error\n"
        "  hint: check what was to be imported, or: "
        f"glancectl image upload {image_id} SOURCE\n"
    )
    assert status_of(image_id) == "queued"


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        (FILTERED, 1, f"URI for add location does not pass filtering: {FILTERED}"),
        ("file:///etc/passwd", 3, "http store must be enabled"),
        ("nonsense", 3, "http store must be enabled"),
    ],
)
def test_a_location_that_the_cloud_refuses(
    project: Project, url: str, code: int, words: str
) -> None:
    image_id = make()
    assert words in run("image", "locations", "add", image_id, url, code=code).err
    assert status_of(image_id) == "queued"


def test_only_a_queued_image_takes_a_location(
    project: Project, proxy: FaultProxy, page: tuple[str, Path], raw: Path
) -> None:
    image_id = make("--file", raw)
    result = run("image", "locations", "add", image_id, page[0], code=1)
    assert f"image {image_id} takes no data: its status is active" in result.err
    assert proxy.count("^POST .*/locations") == 0
    assert show(image_id)["stores"] == "fast"


def test_a_location_may_be_added_without_waiting(project: Project, page: tuple[str, Path]) -> None:
    image_id = make()
    task = run("image", "locations", "add", image_id, page[0], "--no-wait", "-f", "json").json
    assert (task["type"], task["image_id"]) == ("location_import", image_id)
    assert run("image", "wait", image_id, "-f", "json").json["stores"] == "web"


# cache


def test_images_are_cached_and_dropped_from_the_cache(
    project: Project, admin: Project, raw: Path
) -> None:
    one, two, queued = make("--file", raw), make("--file", raw), make()
    result = run("cache", "queue", one, "nosuch", two, "-f", "json", code=9, user=admin)
    assert result.json == [{"id": id_, "name": None, "status": "queued"} for id_ in (one, two)]
    [failed] = json.loads(result.err)["error"]["targets"]
    assert (failed["target"], failed["exit"]) == ("nosuch", 4)
    wait_for(lambda: cached(admin, one, two) == {one: "cached", two: "cached"})
    [row] = [line for line in run("cache", "list", user=admin).lines if line.startswith(one)]
    assert re.fullmatch(
        rf"{one}\tcached\t0\t{raw.stat().st_size}\t\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row
    )
    [entry] = [
        entry
        for entry in run("cache", "list", "-f", "json", user=admin).json
        if entry["image_id"] == one
    ]
    assert entry["last_accessed"] > 1.7e9
    assert (entry["state"], entry["hits"], entry["size"]) == ("cached", 0, raw.stat().st_size)
    assert {one, two} <= set(run("cache", "list", "-q", user=admin).lines)
    csv = run("cache", "list", "-f", "csv", user=admin).lines[0]
    assert csv == "image_id,state,hits,size,last_accessed"
    refused = run("cache", "queue", queued, code=1, user=admin)
    assert "Only images with status active can be targeted" in refused.err
    gone = run("cache", "delete", one, "-f", "json", user=admin).json
    assert gone == {"id": one, "name": None, "status": "deleted"}
    assert cached(admin, one, two) == {two: "cached"}
    run("cache", "delete", one, user=admin)
    assert status_of(one) == "active"


def test_clear_empties_what_it_is_told_to(
    project: Project, admin: Project, raw: Path, gated: tuple[str, threading.Event]
) -> None:
    url, gate = gated
    here, there, behind = make("--file", raw), make(), make("--file", raw)
    run("image", "locations", "add", there, url)

    def clear(*options: str) -> tuple[str, dict[str, str]]:
        result = run("cache", "clear", *options, user=admin)
        assert result.out == ""
        return result.err, cached(admin, here, there, behind)

    run("cache", "queue", here, user=admin)
    wait_for(lambda: cached(admin, here) == {here: "cached"})
    gate.clear()
    run("cache", "queue", there, user=admin)  # which Glance cannot read now
    run("cache", "queue", behind, user=admin)
    assert cached(admin, here) == {here: "cached"}
    assert f"{behind}\tqueued\t\t\t" in run("cache", "list", user=admin).lines
    queued = {there: "queued", behind: "queued"}
    assert clear("--target", "cache") == ("the cache is empty\n", queued)
    assert clear("--target", "queue") == ("the queue is empty\n", {})
    gate.set()
    both = {there: "cached", behind: "cached"}  # the queue was read before it was emptied
    wait_for(lambda: cached(admin, there, behind) == both)
    assert clear("--target", "queue") == ("the queue is empty\n", both)
    assert clear() == ("the cache and its queue are empty\n", {})
    assert run("cache", "list", "-f", "json", user=admin).json == []
    assert clear("--target", "both") == ("the cache and its queue are empty\n", {})


def test_the_cache_can_be_cleaned_and_pruned(project: Project, admin: Project, raw: Path) -> None:
    image_id = make("--file", raw)
    nodes = ("cache", "nodes", image_id, "-f", "json")
    assert run(*nodes, user=admin).json == []
    run("cache", "queue", image_id, user=admin)
    wait_for(lambda: cached(admin, image_id) == {image_id: "cached"})
    [node] = run(*nodes, user=admin).json
    assert run("cache", "nodes", image_id, "-q", user=admin).out == f"{node['node']}\n"
    clean = run("cache", "clean", user=admin)
    assert (clean.out, clean.err) == ("", "the cache is clean\n")
    pruned = run("cache", "prune", "-f", "json", user=admin).json
    assert pruned == {"total_files_pruned": 0, "total_bytes_pruned": 0}
    assert cached(admin, image_id) == {image_id: "cached"}


def cached(admin: Project, *image_ids: str) -> dict[str, str]:
    """Return the state in the cache of those of ``image_ids`` that are in it."""
    entries = run("cache", "list", "-f", "json", user=admin).json
    return {e["image_id"]: e["state"] for e in entries if e["image_id"] in image_ids}


CACHE_COMMANDS = ["list", "queue {}", "delete {}", "clear", "nodes {}", "clean", "prune"]


def test_the_cache_is_for_admins(project: Project, raw: Path) -> None:
    image_id = make("--file", raw)
    for command in CACHE_COMMANDS:
        result = run("cache", *command.format(image_id).split(), code=3)
        assert (result.out, "not allowed with these credentials" in result.err) == ("", True)


def test_a_cloud_without_a_cache_is_exit_4(plain: Project, admin: Project, raw: Path) -> None:
    image_id = make("--file", raw)
    for command in CACHE_COMMANDS:
        result = run("cache", *command.format(image_id).split(), code=4, user=admin)
        assert result.out == ""
        assert "cause: Caching via API is not supported at this site.\n" in result.err


def test_an_unknown_target_of_clear_is_a_usage_error() -> None:
    assert "'cache', 'queue', 'both'" in run("cache", "clear", "--target", "x", code=2).err


# info


def test_info_asks_each_thing_once(project: Project, proxy: FaultProxy) -> None:
    found = run("info", "-f", "json").json
    assert sorted(proxy.requests) == [
        "GET /v2/info/import", "GET /v2/info/stores", "GET /v2/info/usage",
        "GET /v2/schemas/image", "GET /versions",
    ]  # fmt: skip
    token = run("auth", "token").out.strip()

    def asked(path: str) -> dict[str, Any]:
        url = f"{project.sandbox.glance}{path}"
        body: dict[str, Any] = HTTP.get(url, headers={"X-Auth-Token": token}).json()
        return body

    formats = asked("/v2/schemas/image")["properties"]
    assert found == {
        "versions": [version["id"] for version in asked("/versions")["versions"]],
        "import_methods": ["glance-direct", "web-download", "copy-image", "glance-download"],
        "stores": run("store", "list", "-f", "json").json,
        "formats": {
            "disk": [name for name in formats["disk_format"]["enum"] if name],
            "container": [name for name in formats["container_format"]["enum"] if name],
        },
        "usage": {},
    }
    assert {"qcow2", "raw"} <= set(found["formats"]["disk"])
    assert run("info", "-c", "import_methods").out == (
        "import_methods\tglance-direct,web-download,copy-image,glance-download\n"
    )


def test_info_shows_the_quota_which_holds(plain: Project) -> None:
    found = run("info", "-f", "json").json
    assert list(found) == ["versions", "import_methods", "stores", "formats", "usage"]
    assert found["stores"] == []
    assert found["usage"] == {key: {"limit": top, "usage": 0} for key, top in LIMITS.items()}
    for _ in range(LIMITS["image_count_total"]):
        make()
    result = run("image", "create", "-f", "json", code=1)
    error = json.loads(result.err)["error"]
    assert (error["kind"], error["status"], result.out) == ("refused", 413, "")
    assert error["message"] == "cannot create the image: too large, or over quota"
    assert "image_count_total is over limit of 5" in error["cause"]
    usage = run("info", "-f", "json").json["usage"]
    assert usage["image_count_total"] == {"limit": 5, "usage": 5}
