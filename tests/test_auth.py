"""Logging in: clouds.yaml, variables, the token cache, and what is wrong with them."""

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from conftest import HTTP, Project, log_in, run, wait_for
from faultproxy import FaultProxy

from glancectl import tokens


@pytest.fixture
def keystone(project: Project, monkeypatch: pytest.MonkeyPatch) -> FaultProxy:
    """A proxy in front of Keystone, which ``run`` logs in through."""
    proxy = FaultProxy(project.sandbox.keystone)
    monkeypatch.setenv("OS_AUTH_URL", f"{proxy.url}/v3")
    yield proxy
    proxy.close()


def write_cloud(folder: Path, project: Project, name: str = "mine", **extra: object) -> None:
    auth = {key.removeprefix("OS_").lower(): value for key, value in project.env.items()}
    region = auth.pop("region_name")
    cloud = {"auth": auth, "region_name": region, **extra}
    (folder / "clouds.yaml").write_text(yaml.safe_dump({"clouds": {name: cloud}}))


def without_variables(monkeypatch: pytest.MonkeyPatch, project: Project) -> None:
    for name in project.env:
        monkeypatch.delenv(name)


def cached() -> list[Path]:
    return list(tokens.directory().glob("*"))


def logins(keystone: FaultProxy) -> int:
    return keystone.count("^POST /v3/auth/tokens")


# ways in


def test_variables_log_in_and_status_says_who(project: Project) -> None:
    status = run("auth", "status", "-f", "json").json
    assert list(status) == [
        "cloud", "auth_url", "user", "project", "roles", "region", "endpoint", "expires_at",
        "cached", "sources",
    ]  # fmt: skip
    assert (status["user"], status["project"]) == (project.name, project.name)
    assert status["auth_url"] == project.sandbox.keystone
    assert "member" in status["roles"]
    assert status["cached"] is False
    assert run("auth", "status", "-f", "json").json["cached"] is True


def test_a_cloud_of_clouds_yaml_with_secure_yaml(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cloud(Path(), project)
    content = yaml.safe_load(Path("clouds.yaml").read_text())
    password = content["clouds"]["mine"]["auth"].pop("password")
    Path("clouds.yaml").write_text(yaml.safe_dump(content))
    secure = {"clouds": {"mine": {"auth": {"password": password}}}}
    Path("secure.yaml").write_text(yaml.safe_dump(secure))
    without_variables(monkeypatch, project)
    assert run("--cloud", "mine", "auth", "status", "-c", "user", "-f", "value").out == (
        f"{project.name}\n"
    )
    monkeypatch.setenv("OS_CLOUD", "mine")
    sources = run("auth", "status", "-f", "json").json["sources"]
    assert sources["cloud"] == "OS_CLOUD"
    assert [Path(file).name for file in sources["files"]] == ["clouds.yaml", "secure.yaml"]


def test_a_cloud_may_have_a_profile_and_regions(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = {
        "auth": {"auth_url": project.env["OS_AUTH_URL"]},
        "regions": ["Elsewhere", "RegionOne"],
    }
    Path("clouds-public.yaml").write_text(yaml.safe_dump({"public-clouds": {"vendor": vendor}}))
    auth = {key: project.env[f"OS_{key.upper()}"] for key in ("username", "password")}
    auth |= {"project_name": project.name, "user_domain_name": "Default"}
    auth |= {"project_domain_name": "Default"}
    cloud = {"profile": "vendor", "auth": auth}
    Path("clouds.yaml").write_text(yaml.safe_dump({"clouds": {"mine": cloud}}))
    without_variables(monkeypatch, project)
    run("--cloud", "mine", "--region", "RegionOne", "image", "list")
    result = run("--cloud", "mine", "image", "list", code=4)
    assert "regions that have one: RegionOne" in result.err


def test_the_sandbox_is_built_in_while_it_runs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_variables(monkeypatch, project)
    assert "glancectl sandbox up" in run("--cloud", "sandbox", "image", "list", code=2).err
    monkeypatch.setenv("XDG_STATE_HOME", str(project.sandbox.clouds_file.parents[2]))
    assert run("--cloud", "sandbox", "auth", "status", "-c", "project", "-f", "value").out
    run("--cloud", "sandbox-admin", "image", "list")
    run("--cloud", "sandbox-other", "image", "list")


def test_a_token_and_an_endpoint_need_no_keystone(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = run("auth", "token").out.strip()
    without_variables(monkeypatch, project)
    monkeypatch.setenv("OS_TOKEN", token)
    glance = project.sandbox.glance
    for endpoint in (glance, f"{glance}/", f"{glance}/v2", f"{glance}/v2/"):
        run("--endpoint", endpoint, "image", "list")
    monkeypatch.setenv("OS_TOKEN", "nonsense")
    result = run("--endpoint", glance, "image", "list", code=3)
    assert "the token is not accepted" in result.err


def test_auth_token_is_good_for_other_clients(project: Project) -> None:
    token = run("auth", "token").out.strip()
    answer = httpx.get(f"{project.sandbox.glance}/v2/images", headers={"X-Auth-Token": token})
    assert answer.status_code == 200


def test_an_application_credential_logs_in(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = run("auth", "token").out.strip()
    answer = httpx.post(
        f"{project.sandbox.keystone}/users/{project.user_id}/application_credentials",
        headers={"X-Auth-Token": token},
        json={"application_credential": {"name": "ci"}},
    )
    made = answer.json()["application_credential"]
    without_variables(monkeypatch, project)
    monkeypatch.setenv("OS_AUTH_URL", project.sandbox.keystone)
    monkeypatch.setenv("OS_AUTH_TYPE", "v3applicationcredential")
    monkeypatch.setenv("OS_APPLICATION_CREDENTIAL_ID", made["id"])
    monkeypatch.setenv("OS_APPLICATION_CREDENTIAL_SECRET", made["secret"])
    assert run("auth", "status", "-f", "json").json["user"] == project.name


# the cache


def test_one_login_serves_many_commands(project: Project, keystone: FaultProxy) -> None:
    for _ in range(3):
        run("image", "list")
    assert logins(keystone) == 1


def test_cached_tokens_are_readable_by_their_owner_only(project: Project) -> None:
    run("image", "list")
    [file] = cached()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert project.password not in file.read_text()


@pytest.mark.parametrize("open_up", ["file", "directory", "symlink", "garbage", "other-shape"])
def test_a_cache_that_cannot_be_trusted_is_made_again(
    project: Project, keystone: FaultProxy, tmp_path: Path, open_up: str
) -> None:
    run("image", "list")
    [file] = cached()
    if open_up == "file":
        file.chmod(0o644)
    elif open_up == "directory":
        file.parent.chmod(0o755)
    elif open_up == "symlink":
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
    else:
        file.write_text("{" if open_up == "garbage" else '{"x": 1}')
    run("image", "list")
    run("image", "list")
    assert logins(keystone) == 2
    [file] = cached()
    assert not file.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(("left", "used"), [(119, False), (125, True)])
def test_a_token_is_not_used_within_two_minutes_of_its_end(
    project: Project, keystone: FaultProxy, left: int, used: bool
) -> None:
    run("image", "list")
    [file] = cached()
    content = json.loads(file.read_text())
    content["expires_at"] = (datetime.now(UTC) + timedelta(seconds=left)).isoformat()
    file.write_text(json.dumps(content))
    run("image", "list")
    assert logins(keystone) == (1 if used else 2)


def test_any_other_identity_misses(
    project: Project, keystone: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("image", "list")
    monkeypatch.setenv("OS_PASSWORD", "wrong")
    run("image", "list", code=3)
    monkeypatch.setenv("OS_PASSWORD", project.password)
    monkeypatch.setenv("OS_PROJECT_ID", project.id)
    run("image", "list")
    Path("clouds.yaml").write_text("clouds: {}\n")
    run("image", "list")
    Path("clouds.yaml").write_text("clouds:   {}\n")
    run("image", "list")
    assert logins(keystone) == 5
    run("image", "list")
    assert logins(keystone) == 5


def test_a_refused_cached_token_is_replaced_once_and_silently(
    project: Project, keystone: FaultProxy, proxy: FaultProxy
) -> None:
    run("image", "list")
    proxy.requests.clear()
    proxy.tokens.clear()
    proxy.add("^GET /v2/images", status=401)
    result = run("image", "list")
    assert result.err == ""
    assert logins(keystone) == 2
    refused, accepted = proxy.tokens
    assert refused != accepted
    run("image", "list")
    assert (logins(keystone), proxy.tokens[2]) == (2, accepted)


def test_a_401_on_a_fresh_token_is_final(
    project: Project, keystone: FaultProxy, proxy: FaultProxy
) -> None:
    proxy.add("^GET", times=None, status=401)
    run("image", "list", code=3)
    assert (logins(keystone), proxy.count("^GET")) == (1, 1)
    run("image", "list", code=3)  # now the token is a cached one
    assert (logins(keystone), proxy.count("^GET")) == (2, 3)


def test_no_token_cache_leaves_nothing(project: Project, keystone: FaultProxy) -> None:
    for _ in range(2):
        run("--no-token-cache", "image", "list")
    assert logins(keystone) == 2
    assert not tokens.directory().exists()


def test_logout_forgets_and_revokes(project: Project) -> None:
    token = run("auth", "token").out.strip()
    run("auth", "logout")
    assert cached() == []
    answer = httpx.get(f"{project.sandbox.glance}/v2/images", headers={"X-Auth-Token": token})
    assert answer.status_code == 401
    run("auth", "logout")


# what can be wrong


def test_no_credentials_names_both_ways_and_the_sandbox(tmp_path: Path) -> None:
    result = run("image", "list", code=3)
    for words in ("clouds.yaml", "OS_AUTH_URL", "glancectl sandbox up"):
        assert words in result.err


def test_a_wrong_password_is_exit_3(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_PASSWORD", "wrong")
    result = run("image", "list", code=3)
    assert "Keystone refuses these credentials" in result.err
    assert "wrong" not in result.err


def test_an_unknown_cloud_is_exit_2_and_names_the_files(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cloud(Path(), project)
    without_variables(monkeypatch, project)
    result = run("--cloud", "other", "image", "list", code=2)
    assert "no cloud 'other'" in result.err
    assert str(Path("clouds.yaml").resolve()) in result.err
    assert "mine" in result.err


def test_a_region_without_an_endpoint_is_exit_4_and_names_those_with_one(project: Project) -> None:
    result = run("--region", "Nowhere", "image", "list", code=4)
    assert "RegionOne" in result.err
    assert "--cloud" not in result.err


def test_keystone_out_of_reach_is_exit_5(monkeypatch: pytest.MonkeyPatch, project: Project) -> None:
    monkeypatch.setenv("OS_AUTH_URL", "http://127.0.0.1:9/v3")
    result = run("--retries", 1, "image", "list", code=5)
    assert "Keystone cannot be reached" in result.err


def test_keystone_that_fails_once_is_tried_again(project: Project, keystone: FaultProxy) -> None:
    keystone.add("^POST /v3/auth/tokens", status=503)
    run("image", "list")
    assert logins(keystone) == 2


def test_a_global_option_after_the_group_is_told_where_it_goes() -> None:
    result = run("image", "list", "--cloud", "x", code=2)
    assert result.err == (
        "glancectl: error: --cloud is a global option and goes before the group\n"
        "  hint: glancectl --cloud … image list\n"
    )


@pytest.mark.parametrize(
    ("verb", "ours"),
    [("save", "download"), ("rm", "delete"), ("ls", "list"), ("downlaod", "download")],
)
def test_other_clients_verbs_are_answered_with_ours(verb: str, ours: str) -> None:
    assert f"'{ours}'" in run("image", verb, "x", code=2).err


@pytest.mark.parametrize(
    "argv", [[], ["-h"], ["image"], ["image", "-h"], ["image", "list", "--help"]]
)
def test_help_goes_to_stdout(argv: list[str]) -> None:
    result = run(*argv)
    assert result.out.startswith("Usage: glancectl")
    assert result.err == ""


def test_debug_shows_requests_without_secrets(project: Project) -> None:
    run("image", "list")
    token = run("auth", "token").out.strip()
    result = run("--debug", "image", "list")
    assert "GET http" in result.err
    assert token not in result.err
    assert project.password not in result.err


def test_a_project_is_looked_up_with_the_cached_token_and_with_a_new_one_if_that_is_revoked(
    project: Project, admin: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(admin, monkeypatch)
    image_id = run("image", "create", "x", "--owner", project.name, "-q").out.strip()
    assert "logging in" not in run("-v", "image", "list", "--owner", project.name).err
    token = run("auth", "token").out.strip()
    headers = {"X-Auth-Token": token, "X-Subject-Token": token}
    answer = HTTP.delete(f"{project.sandbox.keystone}/auth/tokens", headers=headers)
    assert answer.status_code == 204
    # Keystone's own cache may let a revoked token through for a moment.
    url = f"{project.sandbox.keystone}/projects?name={project.name}"
    headers = {"X-Auth-Token": token}
    wait_for(lambda: all(HTTP.get(url, headers=headers).status_code == 401 for _ in range(10)))
    found = run("-v", "image", "list", "--owner", project.name, "-q")
    assert found.lines == [image_id]
    assert found.err.count("logging in") == 1
    assert run("auth", "token").out.strip() != token


# files that cannot be used


def broken(
    text: str | bytes, line: int | None, words: str, *, name: str = "clouds.yaml", row: str
) -> Any:
    """Return a row: what a file has, the line that is named, and what is said of it."""
    data = text.encode() if isinstance(text, str) else text
    return pytest.param(name, data, line, words, id=row)


AUTH = "clouds:\n  mine:\n    auth: {auth_url: http://127.0.0.1:9/v3}\n"


@pytest.mark.reliability("cloud files that cannot be read or have a wrong form")
@pytest.mark.parametrize(
    ("name", "content", "line", "words"),
    [
        broken("clouds:\n  mine: {\n", 3, "not YAML", row="open brace"),
        broken("clouds:\n  mine:\n  - a: b: c\n", 3, "not YAML", row="two colons"),
        broken("clouds:\n\tmine: {}\n", 2, "not YAML", row="tab"),
        broken("a: 1\nb: !!python/object:os.system {}\n", 2, "not YAML", row="tag"),
        broken("a: 1\n---\nb: 2\n", 2, "not YAML", row="two documents"),
        broken("a: 1\nb: *nowhere\n", 2, "not YAML", row="alias"),
        broken("a: 1\nb: \0\n", 2, "not YAML", row="NUL"),
        broken("a: 2026-02-31\n", None, "not YAML", row="a date that cannot be"),
        broken("[" * 100_000, None, "not YAML", row="brackets"),
        broken(b"clouds:\n  mine: {a: \xff\xfe}\n", 2, "not UTF-8 text", row="no UTF-8"),
        broken("- clouds\n", 1, "not a mapping", row="list"),
        broken("clouds\n", 1, "not a mapping", row="text"),
        broken("5\n", 1, "not a mapping", row="number"),
        broken("x: 1\nclouds: []\n", 2, "'clouds' is not a mapping", row="clouds: list"),
        broken("x: 1\nclouds:\n", 2, "'clouds' is not a mapping", row="clouds: null"),
        broken("clouds: mine\n", 1, "'clouds' is not a mapping", row="clouds: text"),
        broken("clouds: {}\nclient:\n", 2, "'client' is not a mapping", row="client: null"),
        broken("clouds: {}\ncache: 5\n", 2, "'cache' is not a mapping", row="cache: number"),
        broken("clouds:\n  mine: here\n", 2, "cloud 'mine' is not a", row="cloud: text"),
        broken("clouds:\n  mine:\n", 2, "cloud 'mine' is not a mapping", row="cloud: null"),
        broken("clouds:\n  mine: [a]\n", 2, "cloud 'mine' is not a mapping", row="cloud: list"),
        broken("clouds:\n  mine:\n    auth:\n", 3, "'auth' of cloud 'mine'", row="auth: null"),
        broken("clouds:\n  mine:\n    auth: [x]\n", 3, "'auth' of cloud", row="auth: list"),
        broken(
            "clouds:\n  mine:\n    auth:\n      password: 2026-01-31\n", 4,
            "'password' is no text", row="password: date",
        ),
        broken(f"{AUTH}    auth_type: 5\n", 4, "'auth_type'", row="auth_type: number"),
        broken(f"{AUTH}    auth_type: nope\n", 4, "no auth type 'nope'", row="unknown auth_type"),
        broken(f"{AUTH}    profile: [a]\n", 4, "'profile'", row="profile: list"),
        broken(f"{AUTH}    profile: nope\n", None, "vendor profile nope", row="unknown profile"),
        broken(f"{AUTH}    region_name: {{a: b}}\n", 4, "'region_name'", row="region: mapping"),
        broken(f"{AUTH}    region_name: [5]\n", 4, "'region_name'", row="region: numbers"),
        broken(f"{AUTH}    regions: Here\n", 4, "'regions'", row="regions: text"),
        broken(f"{AUTH}    regions:\n", 4, "'regions'", row="regions: null"),
        broken(f"{AUTH}    regions:\n    - A\n    - 5\n", 6, "a region", row="regions: number"),
        broken(f"{AUTH}    regions:\n    - nome: A\n", 5, "a region", row="regions: no name"),
        broken(
            f"{AUTH}    regions:\n    - {{name: A, values: [x]}}\n", 5, "a region",
            row="regions: values",
        ),
        broken(f"{AUTH}    regions:\n    - {{name: A, x: 1}}\n", None, "region", row="regions: x"),
        broken(f"{AUTH}    networks: 5\n", None, "wrong form", row="networks: number"),
        broken(f"{AUTH}    5: x\n", None, "wrong form", row="a key that is a number"),
        broken(
            "clouds:\n  mine:\n    auth: {auth_url: 'http://{nope}/v3'}\n", None, "wrong form",
            row="braces in auth_url",
        ),
        broken("{", 1, "not JSON", name="clouds.json", row="JSON"),
        broken('{"clouds": {\n"mine": x}}', 2, "not JSON", name="clouds.json", row="JSON, line 2"),
        broken('{"clouds": []}', None, "'clouds'", name="clouds.json", row="JSON, clouds"),
        broken("clouds: [\n", 2, "not YAML", name="secure.yaml", row="secure.yaml"),
        broken("x\n", 1, "not a mapping", name="secure.yaml", row="secure.yaml: text"),
        broken("clouds:\n  mine:\n", 2, "cloud", name="secure.yaml", row="secure.yaml: cloud"),
        broken("a: [\n", 2, "not YAML", name="clouds-public.yaml", row="clouds-public.yaml"),
    ],
)  # fmt: skip
def test_a_cloud_file_that_cannot_be_used_is_named_with_its_line(
    name: str, content: bytes, line: int | None, words: str
) -> None:
    Path(name).write_bytes(content)
    result = run("--cloud", "mine", "--retries", 0, "image", "list", "-f", "json", code=2)
    [message, *_] = result.err.splitlines()
    assert words in result.err
    assert result.err.count("glancectl: error: ") == 1
    if line is not None:
        assert message.startswith(f"glancectl: error: {Path(name).absolute()}, line {line}: ")


def test_a_broken_file_is_not_quoted() -> None:
    Path("clouds.yaml").write_text("clouds:\n  mine:\n    auth: {password: s3cret: x}\n")
    assert "s3cret" not in run("--cloud", "mine", "image", "list", code=2).err


@pytest.mark.reliability("cloud files that cannot be read or have a wrong form")
@pytest.mark.parametrize("name", ["clouds.yaml", "secure.yaml", "clouds-public.yaml"])
@pytest.mark.parametrize("kind", ["folder", "loop", "dangling", "forbidden"])
def test_a_cloud_file_that_cannot_be_read_is_named(name: str, kind: str) -> None:
    path = Path(name)
    if kind == "folder":
        path.mkdir()
    elif kind == "forbidden":
        path.write_text("clouds: {}")
        path.chmod(0)
    else:
        path.symlink_to(name if kind == "loop" else "absent")
    if kind == "forbidden" and os.access(path, os.R_OK):  # root reads anything
        assert "no cloud 'mine'" in run("--cloud", "mine", "image", "list", code=2).err
        return
    result = run("--cloud", "mine", "image", "list", code=2)
    assert result.err.startswith(f"glancectl: error: cannot read {path.absolute()}\n  cause: ")


@pytest.mark.parametrize("variable", ["OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE"])
def test_a_cloud_file_that_a_variable_names_has_to_be_there(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "/absent/x.yaml")
    result = run("--cloud", "mine", "image", "list", code=2)
    assert "cannot read /absent/x.yaml" in result.err


def test_variables_need_no_cloud_file_that_may_not_be_read(project: Project) -> None:
    Path("clouds.yaml").mkdir()
    Path("secure.yaml").symlink_to("secure.yaml")
    run("image", "list")


def test_another_cloud_s_broken_entry_does_no_harm(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cloud(Path(), project)
    with open("clouds.yaml", "a") as file:
        file.write("  other:\n  5: [x]\n")
    without_variables(monkeypatch, project)
    run("--cloud", "mine", "image", "list")
    assert "clouds there are: 5, mine, other" in run("--cloud", "x", "image", "list", code=2).err


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}\n", "clouds: {}\n"])
def test_an_empty_cloud_file_is_none(project: Project, text: str) -> None:
    Path("clouds.yaml").write_text(text)
    run("image", "list")


def test_an_unknown_auth_type_of_a_variable_is_named(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_AUTH_TYPE", "nope")
    result = run("image", "list", code=2)
    assert result.err == "glancectl: error: OS_AUTH_TYPE: there is no auth type 'nope'\n"


def test_a_remote_profile_that_cannot_be_had_is_exit_5() -> None:
    Path("clouds.yaml").write_text("clouds: {mine: {profile: 'http://127.0.0.1:9'}}\n")
    result = run("--cloud", "mine", "--retries", 0, "image", "list", code=5)
    assert "the cloud's profile cannot be fetched" in result.err


def test_what_openstack_config_warns_of_is_not_shown(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cloud(Path(), project, cacert="/absent.pem", external_network="x")
    without_variables(monkeypatch, project)
    assert run("--cloud", "mine", "--insecure", "image", "list").err == ""


def test_a_directory_that_is_gone_is_a_sentence(project: Project) -> None:
    Path("gone").mkdir()
    os.chdir("gone")
    Path("../gone").rmdir()
    assert "the current directory does not exist" in run("image", "list", code=2).err
