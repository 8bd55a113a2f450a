"""glancectl task: all tasks for admins, those of an image for everybody."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Project, run
from faultproxy import FaultProxy
from test_image import make

from glancectl.errors import RefusedError
from glancectl.flows.tasks import parse_sort, sort_here

Served = tuple[str, Path]


def import_input(url: str, name: str = "by task") -> str:
    """What a task of type import needs to make an image of what ``url`` names."""
    properties = {"name": name, "disk_format": "raw", "container_format": "bare"}
    return json.dumps(
        {"import_from": url, "import_from_format": "raw", "image_properties": properties}
    )


def imported(served: Served, *names: str) -> str:
    """Make an image and import each of ``names`` into it, in that order; return its id."""
    image_id = make("x", "--disk-format", "raw")
    url, folder = served
    (folder / "good.raw").write_bytes(os.urandom(1000))
    for name in names:
        command = ["image", "import", image_id, "--method", "web-download", "--uri"]
        run(*command, f"{url}/{name}", code=None)
    return image_id


# create and wait, as the seed does


@pytest.mark.parametrize("form", ["argument", "file", "stdin"])
def test_create_and_wait_make_an_image(
    project: Project, admin: Project, served: Served, form: str, tmp_path: Path
) -> None:
    url, folder = served
    (folder / "a.raw").write_bytes(b"data")
    text = import_input(f"{url}/a.raw", f"by task {form}")
    (tmp_path / "input.json").write_text(text)
    given = {"argument": text, "file": f"@{tmp_path}/input.json", "stdin": "-"}[form]
    stdin = text.encode() if form == "stdin" else b""
    task = run(
        "task", "create", "--type", "import", "--input", given, "-f", "json",
        stdin=stdin, user=admin,
    ).json  # fmt: skip
    assert (task["type"], task["owner"], task["input"]) == ("import", admin.id, json.loads(text))
    done = run("task", "wait", task["id"], "-f", "json", user=admin).json
    assert (done["id"], done["status"]) == (task["id"], "success")
    image_id = done["result"]["image_id"]
    assert run("image", "download", image_id, "-", user=admin).data == b"data"
    assert run("task", "show", task["id"], "-f", "json", user=admin).json == done
    listed = run("task", "list", "--id", task["id"], user=admin).out
    dates = f"{done['created_at']}\t{done['updated_at']}"
    assert listed == f"{task['id']}\timport\tsuccess\t{admin.id}\t{dates}\n"
    run("image", "delete", image_id, user=admin)


def test_wait_tells_the_task_s_own_message(admin: Project, served: Served) -> None:
    given = import_input(f"{served[0]}/nope")
    command = ["task", "create", "--type", "import", "--input", given, "-q"]
    task_id = run(*command, user=admin).out.strip()
    message = run("task", "wait", task_id, code=8, user=admin).err
    assert message == (
        f"glancectl: error: task {task_id} failed\n  cause: Task failed due to Internal Error\n"
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{", "the argument is not JSON"),
        ("-", "stdin is not JSON"),
        ("@absent.json", "cannot read absent.json"),
    ],
)
def test_input_that_is_no_json_never_reaches_the_server(
    project: Project, proxy: FaultProxy, given: str, words: str
) -> None:
    command = ["task", "create", "--type", "import", "--input", given]
    result = run(*command, code=1 if given.startswith("@") else 2)
    assert words in result.err
    assert proxy.requests == []


def test_wait_gives_up_and_says_how_to_go_on(
    admin: Project, project: Project, proxy: FaultProxy, stalled: str
) -> None:
    command = ["task", "create", "--type", "import", "--input", import_input(stalled), "-q"]
    task_id = run(*command, user=admin).out.strip()
    result = run("task", "wait", task_id, "--timeout", 0.3, code=7, user=admin)
    assert result.err == (
        f"glancectl: error: gave up waiting for task {task_id} after 0.3 s\n"
        f"  hint: to wait on: glancectl task wait {task_id}\n"
    )
    assert 2 <= proxy.count(f"^GET /v2/tasks/{task_id}") <= 5


def test_wait_ends_at_once_on_a_signal(admin: Project, stalled: str) -> None:
    command = ["task", "create", "--type", "import", "--input", import_input(stalled), "-q"]
    task_id = run(*command, user=admin).out.strip()
    argv = [sys.executable, "-m", "glancectl", "-v", "task", "wait", task_id]
    options = {"env": os.environ | admin.env, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(argv, **options) as process:
        assert process.stderr
        assert process.stderr.readline() == f"task {task_id}: processing\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10)[1] == "glancectl: stopped by SIGINT\n"
    assert process.returncode == 130


# the tasks of an image


def test_tasks_of_an_image_need_no_admin(project: Project, served: Served) -> None:
    image_id = imported(served, "nope", "good.raw")
    tasks = run("task", "list", "--image", "x", "-f", "json").json
    assert [task["status"] for task in tasks] == ["success", "failure"]  # newest first
    assert {task["image_id"] for task in tasks} == {image_id}
    assert "Internal Error" in tasks[1]["message"]
    good, bad = (task["id"] for task in tasks)

    def found(*options: object) -> list[str]:
        return run("task", "list", "--image", image_id, "-q", *options).lines

    assert found("--status", "failure") == [bad]
    assert found("--type", "api_image_import") == [good, bad]
    assert found("--type", "import") == []
    assert found("--id", bad) == [bad]
    assert found("--filter", f"owner={project.id}", "--filter", "deleted=false") == [good, bad]
    assert found("--filter", f"message={tasks[1]['message']}") == [bad]
    assert found("--sort", "created_at:asc") == [bad, good]
    assert found("--sort", "status") == [good, bad]
    assert found("--limit", 1) == [good]
    assert found("--sort", "created_at:asc", "--limit", 1) == [bad]
    assert run("task", "show", bad, "--image", image_id, "-f", "json").json == tasks[1]
    assert run("task", "wait", good, "--image", image_id, "-q").out == f"{good}\n"
    assert "Internal Error" in run("task", "wait", bad, "--image", image_id, code=8).err


def test_a_task_list_without_rights_says_what_needs_none(project: Project) -> None:
    assert "hint: --image IMAGE needs no admin" in run("task", "list", code=3).err
    command = ["task", "create", "--type", "import", "--input", "{}"]
    assert "hint" not in run(*command, code=3).err


# all tasks


def test_every_filter_finds_its_tasks(
    project: Project, admin: Project, proxy: FaultProxy, served: Served
) -> None:
    imported(served, "nope", "good.raw")
    mine = ("--filter", f"owner={project.id}")
    stubs = run("task", "list", *mine, "-f", "json", user=admin).json
    good, bad = (task["id"] for task in stubs)
    assert [task["status"] for task in stubs] == ["success", "failure"]

    def found(*options: object) -> list[str]:
        return run("task", "list", "-q", *mine, *options, user=admin).lines

    assert found("--status", "failure") == [bad]
    assert found("--type", "api_image_import") == [good, bad]  # a 400 if Glance were asked
    assert found("--type", "import") == []
    assert found("--id", good) == [good]
    assert found("--filter", f"user_id={project.user_id}") == [good, bad]
    assert found("--filter", f"expires_at={stubs[1]['expires_at']}", "--status", "failure") == [bad]
    assert found("--sort", "created_at:asc") == [bad, good]
    assert found("--sort", "status:asc,created_at:desc") == [bad, good]
    assert found("--sort", "type,status:desc", "--limit", 1) == [good]
    assert found("--limit", 1) == [good]
    assert found("--type", "api_image_import", "--limit", 1) == [good]
    proxy.requests.clear()
    assert found("--limit", 0) == []
    assert proxy.requests == []
    refused = run("task", "list", *mine, "--filter", "nope=1", code=1, user=admin)
    assert "tasks cannot be filtered by 'nope'" in refused.err


def test_pages_neither_lose_nor_double(
    project: Project, admin: Project, proxy: FaultProxy, served: Served
) -> None:
    image_id = imported(served, "nope", "nope", "nope")
    of_image = run("task", "list", "--image", image_id, "-q").lines
    proxy.requests.clear()
    run("task", "list", "--filter", f"image_id={image_id}", "-q", user=admin)
    assert proxy.count("^GET /v2/tasks") == 1
    everything = run("task", "list", "-q", user=admin).lines
    assert set(of_image) <= set(everything)
    assert len(set(everything)) == len(everything)


# sorting here


def test_sort_directions() -> None:
    assert parse_sort("a,b:asc, c:desc") == [("a", "desc"), ("b", "asc"), ("c", "desc")]
    assert parse_sort(None) == []
    with pytest.raises(RefusedError, match="cannot sort 'up'"):
        parse_sort("a:up")


def test_sorting_by_several_keys() -> None:
    tasks = [{"a": "1", "b": None}, {"a": "2", "b": "x"}, {"a": "1", "b": "x"}]
    assert sort_here(tasks, [("b", "desc"), ("a", "asc")]) == [tasks[2], tasks[1], tasks[0]]
    with pytest.raises(RefusedError, match="cannot be sorted by 'c'"):
        sort_here(tasks, [("c", "asc"), ("a", "asc")])
