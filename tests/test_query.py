"""Filters: which go to Glance, and how they are spelled."""

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from glancectl import errors, query


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        ({"name": "app:v1"}, [("name", "eq:app:v1")]),
        ({"name": "in:a,b"}, [("name", "eq:in:a,b")]),
        ({"protected": True}, [("protected", "true")]),
        ({"os_hidden": False}, [("os_hidden", "false")]),
        ({"size_min": 0}, [("size_min", "0")]),
        ({"status": "active"}, [("status", "active")]),
    ],
)
def test_fields_are_spelled_as_glance_reads_them(
    fields: dict[str, object], params: list[tuple[str, str]]
) -> None:
    assert query.image_params(fields) == params


def test_repeated_and_raw_filters_keep_their_order() -> None:
    params = query.image_params(
        {}, tags=["b", "a"], ids=["1", "2"], properties=[("os", "x")], raw=[("name", "in:a,b")]
    )
    assert params == [
        ("tag", "b"), ("tag", "a"), ("id", "in:1,2"), ("os", "x"), ("name", "in:a,b"),
    ]  # fmt: skip


@pytest.mark.parametrize("key", ["speed_min", "speed_max"])
def test_a_property_that_glance_answers_with_500_is_refused(key: str) -> None:
    with pytest.raises(errors.RefusedError, match="cannot filter"):
        query.image_params({}, properties=[(key, "1")])


@pytest.mark.parametrize("key", sorted(query.NO_FILTERS))
def test_a_property_that_glance_takes_for_something_else_is_refused(key: str) -> None:
    with pytest.raises(errors.RefusedError, match=f"cannot filter on a property .* '{key}'"):
        query.image_params({}, properties=[("os", "x"), (key, "1")])
    assert query.image_params({}, raw=[(key, "1")]) == [(key, "1")]


@pytest.mark.parametrize("key", ["size_min", "min_ram_max", "virtual_size_min", "plain"])
def test_ranges_that_glance_has_pass(key: str) -> None:
    assert query.image_params({}, properties=[(key, "1")]) == [(key, "1")]


MAY, JUNE = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("after", "before", "param"),
    [
        (MAY, None, [("created_at", "gte:2026-05-01T00:00:00Z")]),
        (None, JUNE, [("created_at", "lt:2026-06-01T00:00:00Z")]),
        (MAY, JUNE, [("created_at", "gte:2026-05-01T00:00:00Z")]),
        (None, None, []),
    ],
)
def test_one_bound_of_a_window_goes_to_glance(
    after: datetime | None, before: datetime | None, param: list[tuple[str, str]]
) -> None:
    assert query.Window("created_at", after, before).param() == param


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-04-30T23:59:59Z", False),
        ("2026-05-01T00:00:00Z", True),
        ("2026-05-31T23:59:59Z", True),
        ("2026-06-01T00:00:00Z", False),
    ],
)
def test_a_window_holds_from_its_start_to_before_its_end(moment: str, inside: bool) -> None:
    assert query.Window("created_at", MAY, JUNE).holds({"created_at": moment}) is inside


MOMENTS = st.datetimes().map(lambda moment: moment.replace(microsecond=0, tzinfo=UTC))


@pytest.mark.reliability("sizes, rates, seconds and dates as users type them")
@given(MOMENTS, st.none() | MOMENTS, st.none() | MOMENTS)
@example(MAY, MAY, None)
@example(MAY, None, MAY)
@example(datetime(1, 1, 2, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC), None)
def test_glance_leaves_out_nothing_that_a_window_holds(
    moment: datetime, after: datetime | None, before: datetime | None
) -> None:
    window = query.Window("created_at", after, before)
    for _, value in window.param():
        operator, _, text = value.partition(":")
        bound = datetime.fromisoformat(text)
        assert (operator, bound) == (("gte", after) if after else ("lt", before))
    is_in = (after is None or after <= moment) and (before is None or moment < before)
    shown = moment.isoformat().replace("+00:00", "Z")
    assert window.holds({"created_at": shown}) is is_in
