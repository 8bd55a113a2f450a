"""Bad answers become one clean line and the right kind of error."""

import httpx
import pytest

from glancectl import errors
from glancectl.answer import check, decode, reason

GLANCE_JSON = (
    '{"message": "No image found with ID x<br /><br />\\n\\n\\n", "code": "404 Not Found", '
    '"title": "Not Found"}'
)
SCHEMA = (
    "{\"message\": \"Provided object does not match schema 'image': 'foo' is not one of "
    "['raw']\\n\\nFailed validating 'enum' in schema['properties']\"}"
)
HTML = "<html><head><title>413 Too Large</title></head><body><h1>413 Request Entity Too Large</h1>"
KEYSTONE = (
    '{"error": {"code": 401, "message": "The request you have made requires authentication."}}'
)

ASKED = httpx.Request("GET", "http://glance.example/v2/images")


@pytest.mark.parametrize(
    ("body", "line"),
    [
        pytest.param(GLANCE_JSON, "No image found with ID x", id="json"),
        pytest.param(
            SCHEMA,
            "Provided object does not match schema 'image': 'foo' is not one of ['raw']",
            id="schema",
        ),
        pytest.param(HTML, "413 Request Entity Too Large", id="html"),
        pytest.param("404 Not Found\n\nNo such image.\n\n   ", "No such image.", id="text"),
        pytest.param(KEYSTONE, "The request you have made requires authentication.", id="keystone"),
        pytest.param("", "", id="empty"),
        pytest.param("[1, 2]", "[1, 2]", id="json-list"),
        pytest.param('{"message": 5}', '{"message": 5}', id="message-no-text"),
        pytest.param("a &amp; b\n\n  c", "a & b c", id="entities"),
    ],
)
def test_reason_is_one_clean_line(body: str, line: str) -> None:
    assert reason(httpx.Response(404, text=body, request=ASKED)) == line


def test_reason_is_bounded() -> None:
    assert len(reason(httpx.Response(500, text="x" * 1_000_000, request=ASKED))) == 501


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (300, "", errors.RefusedError),
        (302, "", errors.RefusedError),
        (400, "bad", errors.RefusedError),
        (401, "", errors.AuthError),
        (403, "You are not authorized to complete this action.", errors.AuthError),
        (403, "Image x is protected and cannot be deleted.", errors.RefusedError),
        (403, "Not allowed to deactivate image in status 'queued'", errors.RefusedError),
        (403, "The requested image has been deactivated.", errors.RefusedError),
        (403, "Attribute 'size' is read-only.", errors.RefusedError),
        (404, "", errors.NotFoundError),
        (409, "", errors.RefusedError),
        (410, "", errors.RefusedError),
        (413, "", errors.RefusedError),
        (415, "", errors.IntegrityError),
        (429, "", errors.UnavailableError),
        (500, "", errors.UnavailableError),
        (503, "", errors.UnavailableError),
    ],
)
def test_each_status_is_one_kind_of_error(
    status: int, text: str, kind: type[errors.GlancectlError]
) -> None:
    headers = {"x-openstack-request-id": "req-1"}
    answer = httpx.Response(status, text=text, headers=headers, request=ASKED)
    with pytest.raises(kind) as caught:
        check(answer, "do it")
    assert caught.value.status == status
    assert caught.value.request_id == "req-1"
    assert caught.value.message.startswith("cannot do it: ")


@pytest.mark.parametrize("body", ["", '{"images": [', "<html>", "[]", '"x"'])
def test_an_answer_that_is_no_json_object_is_unusable(body: str) -> None:
    with pytest.raises(errors.UnavailableError, match="not what an image API v2 sends"):
        decode(httpx.Response(200, text=body))
