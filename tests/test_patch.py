"""What a record should become, as operations of a JSON patch; without a server, then with one."""

from typing import Any

import jsonpatch
import pytest
from conftest import Project, run
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from test_image import make

from glancectl.errors import RefusedError, UsageError
from glancectl.patch import (
    FIELDS,
    READ_ONLY,
    TRANSIENT,
    Change,
    changed_tags,
    custom,
    differences,
    operations,
    pointer,
)

RECORD: dict[str, Any] = {
    "id": "6b1e2d7e", "name": "web", "status": "active", "visibility": "shared", "size": 3,
    "tags": ["b", "a"], "min_disk": 0, "protected": False, "os_hidden": False, "owner": "me",
    "os_glance_import_task": "t", "schema": "/v2/schemas/image", "os": "linux", "a/b~c": "1",
}  # fmt: skip


def remove(path: str) -> dict[str, object]:
    return {"op": "remove", "path": path}


def add(path: str, value: object) -> dict[str, object]:
    return {"op": "add", "path": path, "value": value}


def replace(path: str, value: object) -> dict[str, object]:
    return {"op": "replace", "path": path, "value": value}


# operations


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(Change(), [], id="nothing"),
        pytest.param(Change(fields={"name": "db"}), [replace("/name", "db")], id="field"),
        pytest.param(Change(fields={"name": ""}), [replace("/name", "")], id="empty-name"),
        pytest.param(Change(fields={"name": "web"}), [], id="same-field"),
        pytest.param(Change(fields={"min_ram": 1}), [replace("/min_ram", 1)], id="field-not-there"),
        pytest.param(
            Change(fields={"protected": True, "min_disk": 0, "owner": "you"}),
            [replace("/protected", True), replace("/owner", "you")],
            id="only-fields-that-differ",
        ),
        pytest.param(Change(properties={"new": "1"}), [add("/new", "1")], id="property"),
        pytest.param(Change(properties={"os": "bsd"}), [add("/os", "bsd")], id="old-property"),
        pytest.param(Change(properties={"os": "linux"}), [], id="same-property"),
        pytest.param(Change(properties={"os": ""}), [add("/os", "")], id="empty-property"),
        pytest.param(Change(properties={"x/~y": "1"}), [add("/x~1~0y", "1")], id="escaped"),
        pytest.param(Change(remove_properties=["os"]), [remove("/os")], id="remove"),
        pytest.param(Change(remove_properties=["os", "os"]), [remove("/os")], id="remove-twice"),
        pytest.param(Change(remove_properties=["nope"]), [], id="remove-what-is-not-there"),
        pytest.param(
            Change(remove_properties=["os"], properties={"os": "bsd"}),
            [add("/os", "bsd")],
            id="removed-and-set-is-set",
        ),
        pytest.param(Change(purge=True), [remove("/a~1b~0c"), remove("/os")], id="purge"),
        pytest.param(
            Change(purge=True, properties={"os": "linux", "new": "1"}),
            [remove("/a~1b~0c"), add("/new", "1")],
            id="purge-leaves-what-is-given",
        ),
        pytest.param(Change(add_tags=["c"]), [replace("/tags", ["b", "a", "c"])], id="tag"),
        pytest.param(Change(add_tags=["a"]), [], id="same-tag"),
        pytest.param(Change(remove_tags=["b"]), [replace("/tags", ["a"])], id="remove-tag"),
        pytest.param(Change(remove_tags=["a", "b"]), [replace("/tags", [])], id="remove-all-tags"),
        pytest.param(Change(remove_tags=["c"]), [], id="remove-absent-tag"),
        pytest.param(
            Change(
                fields={"name": "db"}, properties={"new": "1"}, remove_properties=["os"],
                add_tags=["c"], remove_tags=["a"],
            ),
            [
                remove("/os"), add("/new", "1"), replace("/name", "db"),
                replace("/tags", ["b", "c"]),
            ],
            id="all-at-once",
        ),
    ],
)  # fmt: skip
def test_only_what_differs_becomes_an_operation(
    change: Change, expected: list[dict[str, object]]
) -> None:
    assert operations(RECORD, change) == expected


@pytest.mark.parametrize(
    ("before", "added", "removed", "after"),
    [
        (["b", "a"], [], [], ["b", "a"]),
        (["b", "a"], ["c", "b", "c"], [], ["b", "a", "c"]),
        (["b", "a"], [], ["b", "x"], ["a"]),
        (["b", "a"], ["c"], ["c"], ["b", "a"]),
        ([], ["é", "a b"], [], ["é", "a b"]),
    ],
)
def test_changed_tags(
    before: list[str], added: list[str], removed: list[str], after: list[str]
) -> None:
    assert changed_tags({"tags": before}, added, removed) == after


def test_a_record_without_tags_gets_some() -> None:
    assert changed_tags({}, ["a"], ["b"]) == ["a"]


def test_custom_properties_are_all_that_glance_did_not_name() -> None:
    assert custom(RECORD) == {"os", "a/b~c"}
    assert custom(dict.fromkeys([*FIELDS, *READ_ONLY, "os_glance_x", "Name", "os_hash"])) == {
        "Name",
        "os_hash",
    }


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("os", "/os"), ("a/b", "/a~1b"), ("a~b", "/a~0b"), ("~1", "/~01"), ("/", "/~1"),
        ("~", "/~0"), ("-", "/-"), ("é b", "/é b"), ("~0/~1", "/~00~1~01"),
    ],
)  # fmt: skip
def test_pointers_escape_tilde_and_slash(key: str, path: str) -> None:
    assert pointer(key) == path


@pytest.mark.parametrize(("key", "flag"), FIELDS.items())
def test_a_field_is_no_property_and_its_flag_is_the_hint(key: str, flag: str) -> None:
    for wanted in ({"properties": {"os": "x", key: "y"}}, {"remove_properties": ["os", key]}):
        with pytest.raises(UsageError, match=f"'{key}' is no custom property") as refused:
            Change(**wanted)
        assert refused.value.hint == flag


@pytest.mark.parametrize("wanted", [{"properties": {"": "y"}}, {"remove_properties": [""]}])
def test_a_property_has_a_name(wanted: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="name of a property cannot be empty"):
        Change(**wanted)


# differences


@pytest.mark.parametrize(
    ("patch", "changed"),
    [
        ([], []),
        ([replace("/name", "web")], []),
        ([replace("/name", "db")], [("name", "web", "db")]),
        ([replace("/name", None)], [("name", "web", None)]),
        ([add("/new", "1"), remove("/os")], [("os", "linux", None), ("new", None, "1")]),
        ([add("/new", None)], [("new", None, None)]),
        ([add("/a~1b~0c", "2")], [("a/b~c", "1", "2")]),
        ([add("/os", "bsd"), replace("/os", "linux")], []),
        ([replace("/tags", [])], [("tags", ["b", "a"], [])]),
        ([replace("/protected", True)], [("protected", False, True)]),
    ],
)
def test_differences_name_each_field_with_old_and_new(
    patch: list[dict[str, object]], changed: list[tuple[str, object, object]]
) -> None:
    before = dict(RECORD)
    assert differences(RECORD, patch) == [
        {"id": "6b1e2d7e", "name": "web", "field": field, "old": old, "new": new}
        for field, old, new in changed
    ]
    assert before == RECORD


@pytest.mark.parametrize(
    "patch",
    [
        None, True, 5, "x", "[]", {}, {"op": "add"}, [5], [None], ["add"], [[]], [{}],
        [{"op": "add"}], [{"op": "add", "path": "/os"}], [{"op": 5, "path": "/os", "value": ""}],
        [{"op": "sub", "path": "/os", "value": ""}], [remove("/nope")], [replace("/nope", "")],
        [add("os", "")], [add("/~2", "")], [{"op": "add", "path": 5, "value": ""}],
        [add("/nope/x", "")], [add("/name/x", "")], [add("/min_disk/x", "")], [remove("/tags/x")],
        [remove("/tags/9")],
    ],
    ids=str,
)  # fmt: skip
def test_a_patch_that_does_not_fit_is_refused(patch: Any) -> None:
    with pytest.raises(RefusedError, match="the patch does not fit image 6b1e2d7e") as refused:
        differences(RECORD, patch)
    assert refused.value.cause


@pytest.mark.parametrize("value", [5, None, [], "x", {}], ids=str)
def test_a_patch_may_not_replace_the_whole_record(value: object) -> None:
    with pytest.raises(RefusedError):
        differences(RECORD, [replace("", value)])


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/os", "value": "linux"},
        {"op": "move", "path": "/new", "from": "/os"},
        {"op": "copy", "path": "/new", "from": "/os"},
    ],
    ids=lambda operation: operation["op"],
)
def test_operations_that_glance_refuses_are_no_differences(operation: dict[str, object]) -> None:
    with pytest.raises(RefusedError):
        differences(RECORD, [operation])


# any record, any change

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
KEYS = st.sampled_from(["os", "a/b", "a~b", "~1", "-", "é"]) | TEXT.filter(
    lambda key: (
        key
        and key == key.strip()
        and key not in (*FIELDS, *READ_ONLY)
        and not key.startswith(TRANSIENT)
    )
)
TAGS = st.lists(st.sampled_from(["a", "b", "c"]) | TEXT, max_size=5)
FIELD_VALUES = {
    "name": st.none() | TEXT,
    "min_disk": st.integers(0, 3),
    "protected": st.booleans(),
    "visibility": st.sampled_from(["private", "shared"]),
}
PROPERTIES = st.dictionaries(KEYS, st.sampled_from(["", "1"]) | TEXT, max_size=5)


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    fields = draw(st.fixed_dictionaries(FIELD_VALUES))
    tags = list(dict.fromkeys(draw(TAGS)))
    glances_own = {"id": "1", "size": 3, "schema": "/v2/schemas/image", "os_glance_x": "2"}
    return {**draw(PROPERTIES), **fields, "tags": tags, **glances_own}


CHANGES = st.builds(
    Change,
    fields=st.fixed_dictionaries({}, optional=FIELD_VALUES),
    properties=PROPERTIES,
    remove_properties=st.lists(KEYS, max_size=4),
    add_tags=TAGS.map(lambda tags: [tag for tag in tags if tag]),
    remove_tags=TAGS,
    purge=st.booleans(),
)


def wanted_of(record: dict[str, Any], change: Change) -> dict[str, Any]:
    """What ``record`` should be after ``change``, said without any patch."""
    own = {*FIELD_VALUES, "tags", "id", "size", "schema", "os_glance_x"}
    kept = {
        key: value
        for key, value in record.items()
        if key in own or not (change.purge or key in change.remove_properties)
    }
    tags = {*record["tags"], *change.add_tags} - {*change.remove_tags}
    return {**kept, **change.properties, **change.fields, "tags": tags}


@pytest.mark.reliability("changes of records as JSON patches")
@given(records(), CHANGES)
def test_the_operations_make_exactly_what_was_wanted(
    record: dict[str, Any], change: Change
) -> None:
    planned = operations(record, change)
    after = jsonpatch.apply_patch(record, planned)
    assert len(set(after["tags"])) == len(after["tags"])
    assert {**after, "tags": set(after["tags"])} == wanted_of(record, change)
    assert operations(after, change) == []
    named = [row["field"] for row in differences(record, planned)]
    assert sorted(named) == sorted(
        key for key in {**record, **after} if record.get(key) != after.get(key)
    )


# any property, in the real Glance

# Glance takes no four-byte characters and strips keys; an equals sign ends the key in K=V. A word
# may be an attribute of Glance's own objects, which it then sets instead (see test_update.py).
GLANCE_TEXT = st.characters(
    exclude_categories=["Cs"], max_codepoint=0xFFFF, exclude_characters="\0"
)
GLANCE_KEYS = st.text(GLANCE_TEXT, min_size=1, max_size=255).filter(
    lambda key: (
        key == key.strip()
        and "=" not in key
        and not (key.isidentifier() and len(key) > 1)
        and not key.startswith(TRANSIENT)
    )
)


@pytest.fixture
def image_id(project: Project) -> str:
    return make("any property")


@pytest.mark.reliability("changes of records: applied by Glance, read back, equal")
@settings(
    max_examples=settings().max_examples // 4,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # an example is four commands
)
@given(
    st.dictionaries(
        GLANCE_KEYS | st.sampled_from(["/", "~", "~1", "a/b", "-x", "--", "%2F", "hw_disk_bus"]),
        st.text(GLANCE_TEXT, max_size=300),
        min_size=1,
        max_size=5,
    )
)
@example({"/~" * 127 + "x": "é" * 1000, "漢/字": "\n", "-": "@@x", "K": "1", "k": "2"})
def test_any_property_is_set_read_and_removed(image_id: str, properties: dict[str, str]) -> None:
    before = run("image", "show", image_id, "-f", "json").json
    command, setting, removing = ["image", "update", image_id, "-q"], [], []
    for key, value in properties.items():
        text = f"@{value}" if value.startswith("@") else value
        setting += ["--property", f"{key}={text}"]
        removing += ["--remove-property", key]
    run(*command, *setting)
    now = run("image", "show", image_id, "-f", "json").json
    assert {key: value for key, value in now.items() if key not in before} == properties
    assert run(*command, *removing).err == ""
    assert run("image", "show", image_id, "-f", "json").json.keys() == before.keys()
