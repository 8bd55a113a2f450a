"""No secret shows: not in what a session prints or leaves behind, nor at another origin.

Whole sessions run as processes of their own, with every kind of credential. What they print, and
each file below their home, cache, configuration, work and temporary directories, is searched for
each secret, in base64 and percent-encoded too.
"""

import base64
import contextlib
import itertools
import json
import os
import shlex
import signal
import ssl
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from conftest import HTTP, Project, Sandbox, password_token, run, wait_for
from faultproxy import FaultProxy
from test_tls import self_signed
from test_web import NOISE, Server, answer, basic, file

from glancectl.sandbox import processes, settings
from glancectl.transfer.source import open_source

REDIRECTS = (301, 302, 303, 307, 308)
# What changes how much is said, and in which form: how a step of a session is run, in turn.
VARIANTS = list(itertools.product(("--debug", "-v", ""), ("json", "plain"), ("", "json")))
PLENTY = 24  # characters of a secret that are too many to show


# Secrets, and where they are looked for


def new_secret() -> str:
    """Return one with a character that URLs encode, and enough on each side of it."""
    return f"{uuid.uuid4().hex}/{uuid.uuid4().hex}"


def forms(secret: str) -> set[bytes]:
    """Return what gives a secret away: its ends, and what base64 makes of it behind anything."""
    raw = secret.encode()
    found = {raw[:PLENTY], raw[-PLENTY:]}
    for before in range(3):
        coded = base64.b64encode(bytes(before) + raw)
        # The other characters depend on what stands beside it.
        own = coded[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        found |= {own, own.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def shows(text: bytes, secret: str) -> bool:
    return any(form in text for form in forms(secret))


@pytest.mark.parametrize("user", ["", "u", "us", "use", "user"])
def test_the_search_finds_a_secret_in_each_of_its_forms(user: str) -> None:
    secret = new_secret()
    pair = f"{user}:{secret}"
    for text in (
        pair,
        f"http://{user}:{quote(secret, safe='')}@host/",
        basic(user, secret),
        base64.urlsafe_b64encode(pair.encode()).decode(),
        f"{secret[:PLENTY]}…",
    ):
        assert shows(text.encode(), secret), text
    assert not shows(basic(user, new_secret()).encode(), secret)


# A user with every kind of credential


class Stage:
    """The files and the secrets of one user, and the servers that they are for.

    secrets: by name; the tokens that are issued come to them. words: what argv and variables
    may name in braces. shown: where a secret was found that has no business there.
    """

    def __init__(self, root: Path, sandbox: Sandbox, stack: contextlib.ExitStack) -> None:
        self.root = root
        self.project = Project(sandbox)
        self.glance = FaultProxy(sandbox.glance)
        self.keystone = FaultProxy(sandbox.keystone)
        self.other_keystone = FaultProxy(sandbox.keystone)
        self.web = Server()
        self.elsewhere = Server("127.0.0.2")
        for name in ("home", "config/openstack", "cache", "state", "work", "tmp"):
            (root / name).mkdir(parents=True)
        self.certificate = self_signed(root, "127.0.0.1", 1)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        self.tls = Server("127.0.0.1", context)
        for server in (self.glance, self.keystone, self.other_keystone):
            stack.callback(server.close)
        for server in (self.web, self.elsewhere, self.tls):
            stack.callback(server.close)
        names = ("url", "query", "header", "netrc", "endpoint", "wrong")
        self.secrets = {name: new_secret() for name in names}
        self.secrets |= {"word": uuid.uuid4().hex, "number": str(uuid.uuid4().int)}
        self.secrets["password"] = self.project.password
        self.given_token = password_token(self.project.env)
        self.application_credential = self._make_application_credential()
        self.words = self._words()
        self.shown: list[str] = []
        self.own_files: dict[Path, str] = {}
        self._found: set[str] = set()
        self.steps = 0
        self._write_files()
        self._serve()

    def _make_application_credential(self) -> str:
        answered = HTTP.post(
            f"{self.project.sandbox.keystone}/users/{self.project.user_id}/application_credentials",
            headers={"X-Auth-Token": self.given_token},
            json={"application_credential": {"name": "ci"}},
        )
        made = answered.json()["application_credential"]
        self.secrets["application credential"] = made["secret"]
        return str(made["id"])

    def _words(self) -> dict[str, str]:
        encoded = {name: quote(secret, safe="") for name, secret in self.secrets.items()}

        def with_login(url: str, name: str) -> str:
            return url.replace("//", f"//user:{encoded[name]}@")

        signed = "&".join(
            f"{key}={encoded['query']}" for key in ("X-Amz-Signature", "sig", "token")
        )
        return {
            **self.secrets,
            "root": str(self.root),
            "web": self.web.url,
            "login": with_login(self.web.url, "url"),
            "tls": with_login(self.tls.url, "url"),
            "nowhere": with_login("http://127.0.0.1:1", "url"),
            "nameless": with_login("http://no.such.host.invalid", "url"),
            "filtered": with_login("http://169.254.0.1", "url"),
            "signed": signed,
            "glance": self.glance.url,
            "glance_with_login": with_login(self.glance.url, "endpoint"),
            "keystone_with_login": with_login(self.keystone.url, "endpoint"),
            "proxy": with_login("http://127.0.0.1:1", "endpoint"),
            "odd_proxy": with_login("odd://127.0.0.1:1", "endpoint"),
            "given": self.given_token,
        }

    def _write_files(self) -> None:
        entry = {key.removeprefix("OS_").lower(): v for key, v in self.project.env.items()}
        entry["auth_url"] = f"{self.keystone.url}/v3"
        region, password = entry.pop("region_name"), entry.pop("password")
        clouds = {"clouds": {"mine": {"auth": entry, "region_name": region}}}
        secure = {"clouds": {"mine": {"auth": {"password": password}}}}
        folder = self.root / "config" / "openstack"
        self.write(folder / "clouds.yaml", yaml.safe_dump(clouds))
        self.write(folder / "secure.yaml", yaml.safe_dump(secure))
        netrc = f"machine 127.0.0.1 login ned password {self.secrets['netrc']}\n"
        self.write(self.root / "home" / ".netrc", netrc)
        (self.root / "work" / "noise.raw").write_bytes(NOISE)

    def write(self, path: Path, text: str) -> None:
        """Write a file of the user's own, which may hold secrets."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
        self.own_files[path] = text

    def _serve(self) -> None:
        location = f"{self.elsewhere.url}/file?sig={quote(self.secrets['query'], safe='')}"
        self.elsewhere.paths["/file"] = file()
        for server in (self.web, self.tls):
            server.paths |= {
                "/file": file(),
                "/breaks": file(cut=1 << 20),
                "/moved": answer(status=302, location=location),
                "/to-http": answer(status=302, location=location),
                "/to-ftp": answer(status=302, location=location.replace("http:", "ftp:")),
                "/circle": answer(status=302, location=f"/circle?sig={self.secrets['query']}"),
                "/absent": answer(status=404),
                "/page": answer(b"<html>log in</html>", content_type="text/html"),
                "/echo": _echo,
                "/raw-echo": _raw_echo,
            }
        self.web.paths["/hangs"] = lambda _: self.web.closing.wait(60)

    # Running

    def env(self, **changes: str | None) -> dict[str, str]:
        """Return all variables of a process; None leaves one out."""
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root / "home"),
            "XDG_CONFIG_HOME": str(self.root / "config"),
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "XDG_STATE_HOME": str(self.root / "state"),
            "TMPDIR": str(self.root / "tmp"),
            "NO_COLOR": "1",
            **self.project.env,
            "OS_AUTH_URL": f"{self.keystone.url}/v3",
            "OS_ENDPOINT_OVERRIDE": self.glance.url,
            **changes,
        }
        return {
            name: value.format(**self.words)
            for name, value in variables.items()
            if value is not None
        }

    def argv(self, command: str, variant: tuple[str, str, str]) -> list[str]:
        """Return what is typed for ``command``, whose words in braces are filled in."""
        level, progress, form = variant
        typed = [word.format(**self.words) for word in shlex.split(command)]
        options = [*filter(None, [level]), "--progress", progress]
        shape = ["-f", form] if form and "-f" not in typed else []
        return [sys.executable, "-m", "glancectl", *options, *typed, *shape]

    def run(
        self,
        command: str,
        *,
        code: int = 0,
        prints: tuple[str, ...] = (),
        variant: tuple[str, str, str] | None = None,
        **env: str | None,
    ) -> str:
        """Run a command, look for secrets in what it says, and return its stdout and stderr.

        prints: names of the secrets that its stdout is meant to have.
        """
        variant = variant or VARIANTS[self.steps % len(VARIANTS)]
        self.steps += 1
        done = subprocess.run(
            self.argv(command, variant),
            cwd=self.root / "work",
            env=self.env(**env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )
        where = f"{command!r} {variant}"
        said = done.stdout + done.stderr
        assert done.returncode == code, f"{where}: exit {done.returncode}\n{said.decode()}"
        self.secrets |= self._tokens()
        for name, secret in self.secrets.items():
            if shows(done.stdout, secret) and name not in prints:
                self.shown.append(f"{name} in stdout of {where}")
            if shows(done.stderr, secret):
                self.shown.append(f"{name} in stderr of {where}")
        return said.decode()

    def _tokens(self) -> dict[str, str]:
        """Return the tokens that were given, that Glance has seen and that are cached."""
        cached = [json.loads(p.read_text()) for p in self.root.glob("cache/*/tokens/*.json")]
        issued = [login["headers"]["X-Auth-Token"] for login in cached]
        seen = dict.fromkeys([self.given_token, *filter(None, self.glance.tokens), *issued])
        return {f"token {number}": token for number, token in enumerate(seen)}

    def left_behind(self) -> list[str]:
        """Return the files that have come to hold a secret, other than the user's own.

        A cached token is where it belongs if nobody else can read it.
        """
        before, self._found = self._found, set(self._search())
        changed = [path for path, text in self.own_files.items() if path.read_text() != text]
        return sorted(self._found - before) + [f"{path} was changed" for path in changed]

    def _search(self) -> Iterator[str]:
        for path in self.root.rglob("*"):
            is_own = path in (*self.own_files, self.certificate)
            if is_own or path.is_symlink() or not path.is_file():
                continue
            content = path.read_bytes()
            for name, secret in self.secrets.items():
                if shows(content, secret) and not (name.startswith("token ") and _is_cache(path)):
                    yield f"{name} in {path}"

    def forget_faults(self) -> None:
        for proxy in (self.glance, self.keystone, self.other_keystone):
            proxy.faults.clear()


def _is_cache(path: Path) -> bool:
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent)]
    return path.parent.name == "tokens" and modes == [0o600, 0o700]


def _echo(handler: BaseHTTPRequestHandler) -> None:
    """Refuse a login in words that repeat it."""
    handler.send_response(401, f"no {handler.headers['Authorization']} {handler.path}")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def _raw_echo(handler: BaseHTTPRequestHandler) -> None:
    """Answer with the request itself, which is no HTTP."""
    handler.wfile.write(handler.raw_requestline + str(handler.headers).encode())


@contextlib.contextmanager
def new_stage(root: Path, sandbox: Sandbox) -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        yield Stage(root, sandbox, stack)


# Sessions in which all goes well


def log_in_every_way(stage: Stage) -> None:
    without_password = {"OS_PASSWORD": None, "OS_USERNAME": None, "OS_USER_DOMAIN_NAME": None}
    without_scope = {"OS_PROJECT_NAME": None, "OS_PROJECT_DOMAIN_NAME": None}
    stage.run("auth status")
    stage.run("--no-token-cache auth status")
    stage.run("auth status -f yaml")
    stage.run(
        "auth status",
        OS_AUTH_TYPE="v3applicationcredential",
        OS_APPLICATION_CREDENTIAL_ID=stage.application_credential,
        OS_APPLICATION_CREDENTIAL_SECRET="{application credential}",
        **without_password,
        **without_scope,
    )
    from_files = dict.fromkeys(stage.project.env)
    stage.run("--cloud mine auth status", **from_files)
    stage.run("image list", OS_TOKEN="{given}", **without_password)
    stage.run("auth status", OS_TOKEN="{given}", **without_password)
    again = {"OS_AUTH_TYPE": "token", "OS_TOKEN": "{given}", "OS_ENDPOINT_OVERRIDE": None}
    stage.run("image list", **again, **without_password)
    stage.run("auth status", OS_ENDPOINT_OVERRIDE="{glance_with_login}")
    stage.run("auth status", OS_AUTH_URL="{keystone_with_login}/v3")
    said = stage.run("image list")  # so that Glance sees the token that is printed next
    assert stage.glance.tokens[-1] not in said
    names = tuple(name for name in stage.secrets if name.startswith("token "))
    printed = stage.run("auth token", prints=names)
    assert stage.glance.tokens[-1] in printed


def fetch_and_send(stage: Stage) -> None:
    create = "image create {name} --disk-format raw --file"
    stage.run("image create local --disk-format raw --file noise.raw")
    stage.run(f"{create.format(name='login')} {{login}}/file")
    stage.run(f"{create.format(name='query')} '{{web}}/file?{{signed}}'")
    stage.run(
        f"{create.format(name='header')} {{web}}/file --header 'Authorization: Bearer {{header}}'"
    )
    stage.run(f"{create.format(name='netrc')} {{web}}/file")
    stage.run(f"{create.format(name='moved')} '{{login}}/moved?{{signed}}'")
    stage.run("image create broken --disk-format raw")
    assert "going on from there" in stage.run("image upload broken '{login}/breaks?{signed}'")
    for sent in (
        basic("user", stage.secrets["url"]),
        f"Bearer {stage.secrets['header']}",
        basic("ned", stage.secrets["netrc"]),
    ):
        assert sent in stage.web.asked("authorization")
    stage.run("image create staged --disk-format raw")
    stage.run("image import staged --method glance-direct --file {login}/file --interval 0.1")
    stage.glance.add("^GET .*/file", cut=1 << 20)
    stage.run("image download local copy.raw")
    assert stage.glance.count("^GET .*/file bytes=") == 1
    stage.run("image download local two.raw --connections 2")
    for name in ("copy.raw", "two.raw"):
        assert (stage.root / "work" / name).read_bytes() == NOISE


def let_glance_fetch(stage: Stage) -> None:
    """Glance's record of a task has the URL as it was given; nothing else may show it."""
    kept = ("url", "query")
    command = "image import {name} --method web-download --uri '{{login}}/file?{{signed}}'"
    stage.run("image create fetched --disk-format raw")
    stage.run(f"{command.format(name='fetched')} --interval 0.1")
    stage.run("image create later --disk-format raw")
    stage.run(f"{command.format(name='later')} --no-wait", prints=kept)
    stage.run("image wait later --interval 0.1")
    stage.run("task list --image later -f json", prints=kept)


def change_and_ask(stage: Stage) -> None:
    for command in (
        "image update local --property a=b --tag x",
        "tag list local",
        "member add local {project} --no-check",
        "member list local",
        "store list",
        "info",
        "image show local",
        "image delete local",
        "auth logout",
    ):
        stage.words["project"] = uuid.uuid4().hex
        stage.run(command)


@pytest.mark.reliability("whole sessions: each stream and file searched for each secret")
def test_a_session_shows_no_secret(
    sandbox: Sandbox,
    tmp_path: Path,
    full_scale: bool,
    record_property: Callable[[str, object], None],
) -> None:
    """Each turn runs each step in another variant."""
    steps = 0
    for turn in range(len(VARIANTS) if full_scale else 1):
        with new_stage(tmp_path / f"turn-{turn}", sandbox) as stage:
            stage.steps = turn
            for part in (log_in_every_way, fetch_and_send, let_glance_fetch, change_and_ask):
                part(stage)
            assert stage.shown + stage.left_behind() == []
            steps += stage.steps - turn
    record_property("tried", steps)


@pytest.mark.reliability("whole sessions: each stream and file searched for each secret")
@pytest.mark.parametrize("form", ["table", "tsv", "json", "jsonl", "yaml", "csv", "value"])
def test_no_format_of_the_status_shows_a_secret(project: Project, form: str) -> None:
    token = run("auth", "token").out.strip()
    result = run("--debug", "auth", "status", "-f", form)
    assert project.name in result.out
    assert not any(shows(result.data + result.err.encode(), s) for s in (token, project.password))


# Commands that fail


@pytest.fixture(scope="module")
def stage(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One user for all tests of this file, logged in and with an image in Glance."""
    with new_stage(tmp_path_factory.mktemp("stage"), sandbox) as made:
        made.run("image create queued --disk-format raw")
        yield made


@dataclass(frozen=True)
class Failure:
    """A command that fails, with which exit code, and a word of what it says.

    breaks: called before it. env: variables that differ.
    """

    command: str
    code: int
    says: str
    env: dict[str, str | None] = field(default_factory=dict)
    breaks: Callable[[Stage], object] = lambda _: None


def echo_token(status: int, body: str) -> Callable[[Stage], None]:
    """Have Glance answer with a body that repeats the token it was sent."""

    def fault(stage: Stage) -> None:
        stage.run("image list")
        text = body.format(stage.glance.tokens[-1]).encode()
        stage.glance.add("^GET /v2/images", status=status, body=text)

    return fault


def redirect_with_token(stage: Stage) -> None:
    stage.run("image list")
    token = stage.glance.tokens[-1]
    location = f"http://user:{token}@127.0.0.1:1/v2?token={token}"
    stage.glance.add("^GET /v2/images", status=302, headers={"Location": location})


def echo_password(stage: Stage) -> None:
    error = {"code": 500, "message": f"cannot read {stage.project.password}", "title": "Error"}
    stage.keystone.add(
        "^POST /v3/auth/tokens",
        status=500,
        headers={"Content-Type": "application/json"},
        body=json.dumps({"error": error}).encode(),
    )


def redirect_login(stage: Stage) -> None:
    location = f"{stage.other_keystone.url}/v3/auth/tokens"
    stage.keystone.add("^POST /v3/auth/tokens", status=307, headers={"Location": location})


def write_broken_netrc(stage: Stage) -> None:
    text = f"machine 127.0.0.1 login ned {stage.secrets['netrc']}\n"
    stage.write(stage.root / "other-home" / ".netrc", text)


def write_secure(value: str) -> Callable[[Stage], None]:
    """Write a secure.yaml whose password is no plain YAML string."""

    def write(stage: Stage) -> None:
        password = value.format(word=stage.secrets["word"], number=stage.secrets["number"])
        text = f"clouds:\n  mine:\n    auth:\n      password: {password}\n"
        stage.write(stage.root / "broken-secure.yaml", text)

    return write


CREATE = "--retries 0 image create x --disk-format raw --file"
BROKEN_SECURE = {"OS_CLIENT_SECURE_FILE": "{root}/broken-secure.yaml"}
FAILURES = {
    # Logging in.
    "wrong password": Failure("auth status", 3, "Keystone refuses", {"OS_PASSWORD": "{wrong}"}),
    "wrong application credential": Failure(
        "auth status",
        3,
        "Keystone refuses",
        {
            "OS_AUTH_TYPE": "v3applicationcredential",
            "OS_APPLICATION_CREDENTIAL_ID": "absent",
            "OS_APPLICATION_CREDENTIAL_SECRET": "{wrong}",
        },
    ),
    "wrong token": Failure("image list", 3, "not accepted", {"OS_TOKEN": "{wrong}"}),
    "token with a line break": Failure("image list", 3, "no token", {"OS_TOKEN": "{wrong}\n"}),
    "token that is not ASCII": Failure("image list", 3, "no token", {"OS_TOKEN": "{wrong}é"}),
    "Keystone repeats the password": Failure(
        "--no-token-cache --retries 0 auth status", 5, "Keystone is failing", breaks=echo_password
    ),
    "Keystone redirects": Failure(
        "--no-token-cache auth status", 1, "redirects", breaks=redirect_login
    ),
    "Keystone that cannot be reached": Failure(
        "--no-token-cache --retries 0 auth status",
        5,
        "cannot be reached",
        {"OS_AUTH_URL": "{proxy}/v3"},
    ),
    "a tag as password": Failure(
        "--cloud mine auth status", 2, "secure", BROKEN_SECURE, write_secure("!{word}")
    ),
    "an alias as password": Failure(
        "--cloud mine auth status", 2, "secure", BROKEN_SECURE, write_secure("*{word}")
    ),
    "an anchor as password": Failure(
        "--cloud mine auth status", 2, "secure", BROKEN_SECURE, write_secure("&{word} *none")
    ),
    "a number as password": Failure(
        "--cloud mine auth status", 3, "Keystone refuses", BROKEN_SECURE, write_secure("{number}")
    ),
    # What Glance answers.
    "forbidden": Failure("cache list", 3, "not allowed"),
    "Glance repeats the token": Failure(
        "--retries 0 image list",
        5,
        "the service is failing",
        breaks=echo_token(500, "<html><h1>Error</h1>X-Auth-Token: {}</html>"),
    ),
    "Glance repeats the token in JSON": Failure(
        "image list", 3, "not allowed", breaks=echo_token(403, '{{"message": "no {}"}}')
    ),
    "Glance sends the token elsewhere": Failure(
        "image list", 1, "not an image API", breaks=redirect_with_token
    ),
    "a URL that Glance refuses": Failure(
        "image import queued --method web-download --uri '{filtered}/file?{signed}'", 1, "filtering"
    ),
    "a URL that Glance cannot fetch": Failure(
        "image import queued --method web-download --uri '{login}/absent?{signed}' --interval 0.1",
        8,
        "failed",
    ),
    "a location that Glance refuses": Failure(
        "image locations add queued '{filtered}/file?{signed}'", 1, "filtering"
    ),
    # How Glance is reached.
    "endpoint with a login": Failure(
        "image list", 0, "", {"OS_ENDPOINT_OVERRIDE": "{glance_with_login}"}
    ),
    "endpoint that is no URL": Failure(
        "image list", 2, "not a URL", {"OS_ENDPOINT_OVERRIDE": "http://user:{endpoint}@127.0.0.1"}
    ),
    "proxy that cannot be reached": Failure(
        "--retries 0 image list", 5, "cannot be reached", {"http_proxy": "{proxy}"}
    ),
    "proxy that cannot be reached by Keystone": Failure(
        "--retries 0 --no-token-cache image list", 5, "cannot be", {"http_proxy": "{proxy}"}
    ),
    "proxy of an unknown kind": Failure("image list", 2, "proxy", {"http_proxy": "{odd_proxy}"}),
    "proxy that is no URL": Failure(
        "image list", 2, "proxy", {"http_proxy": "http://user:{endpoint}@127.0.0.1"}
    ),
    # Sources.
    "absent": Failure(f"{CREATE} '{{login}}/absent?{{signed}}'", 1, "404"),
    "source that repeats the login": Failure(f"{CREATE} '{{login}}/echo?{{signed}}'", 1, "401"),
    "source that repeats a header": Failure(
        f"{CREATE} '{{web}}/echo?{{signed}}' --header 'Authorization: Bearer {{header}}'", 1, "401"
    ),
    "source that repeats what netrc has": Failure(f"{CREATE} {{web}}/echo", 1, "401"),
    "source that sends the request back": Failure(
        f"{CREATE} '{{login}}/raw-echo?{{signed}}'", 5, "cannot be reached"
    ),
    "source that breaks": Failure(f"{CREATE} '{{login}}/breaks?{{signed}}'", 5, "broke off"),
    "source that cannot be reached": Failure(f"{CREATE} '{{nowhere}}/x?{{signed}}'", 5, "reached"),
    "source without an address": Failure(f"{CREATE} '{{nameless}}/x?{{signed}}'", 5, "reached"),
    "source with an unknown CA": Failure(f"{CREATE} '{{tls}}/x?{{signed}}'", 5, "CERTIFICATE"),
    "source that leads back to http": Failure(
        f"{CREATE} '{{tls}}/to-http?{{signed}}'",
        1,
        "from https to http",
        {"SSL_CERT_FILE": "{root}/127.0.0.1-1.pem"},
    ),
    "source that leads to ftp": Failure(f"{CREATE} '{{login}}/to-ftp?{{signed}}'", 1, "not http"),
    "source that leads in a circle": Failure(f"{CREATE} '{{login}}/circle?{{signed}}'", 1, "10"),
    "web page": Failure(f"{CREATE} '{{login}}/page?{{signed}}'", 6, "HTML"),
    "checksum that is not there": Failure(
        f"{CREATE} {{login}}/file --checksum '{{login}}/absent?{{signed}}'", 1, "404"
    ),
    "broken netrc": Failure(
        f"{CREATE} {{web}}/file", 2, "not valid", {"HOME": "{root}/other-home"}, write_broken_netrc
    ),
    # What is typed wrong.
    "URL that is none": Failure(f"{CREATE} 'http://user:{{url}}@127.0.0.1/x?{{signed}}'", 2, "URL"),
    "URL without --file": Failure("image create x '{login}/file?{signed}'", 2, "unexpected"),
    "URL as a verb": Failure("image '{login}/file?{signed}'", 2, "command"),
    "URL as a choice": Failure("image create x --visibility '{login}/?{signed}'", 2, "visibility"),
    "header without a name": Failure(f"{CREATE} {{web}}/file --header '{{header}}'", 2, "header"),
    "header that is none": Failure(
        f"{CREATE} {{web}}/file --header 'Authorization Bearer: {{header}}'", 2, "header"
    ),
}


@pytest.mark.reliability("failures of all kinds: each stream and file searched for each secret")
@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_shows_no_secret(
    stage: Stage, name: str, full_scale: bool, record_property: Callable[[str, object], None]
) -> None:
    failure = FAILURES[name]
    stage.shown.clear()
    turns = VARIANTS if full_scale else VARIANTS[:1]
    for variant in turns:
        try:
            failure.breaks(stage)
            env: dict[str, str | None] = failure.env
            said = stage.run(failure.command, code=failure.code, variant=variant, **env)
        finally:
            stage.forget_faults()
        assert failure.says in said
    assert stage.shown + stage.left_behind() == []
    assert stage.other_keystone.requests == []
    record_property("tried", len(turns))


# What else could show one


@pytest.mark.reliability("what /proc and a traceback show of a process")
def test_a_process_shows_no_more_than_was_typed(stage: Stage) -> None:
    """A secret in a URL that was typed stands there until the process ends, as with curl."""
    command = f"{CREATE} '{{login}}/hangs?{{signed}}'"
    argv = stage.argv(command, VARIANTS[0])
    pipe = subprocess.PIPE
    with subprocess.Popen(
        argv, cwd=stage.root / "work", env=stage.env(), stdout=pipe, stderr=pipe
    ) as process:
        wait_for(lambda: any(path.startswith("/hangs") for path, _headers in stage.web.seen))
        proc = Path(f"/proc/{process.pid}")
        assert (proc / "cmdline").read_bytes().split(b"\0")[:-1] == [arg.encode() for arg in argv]
        names = [task / "comm" for task in (proc / "task").iterdir()]
        children = [task / "children" for task in (proc / "task").iterdir()]
        assert not any(shows(n.read_bytes(), s) for n in names for s in stage.secrets.values())
        assert [path.read_text() for path in children] == [""] * len(children)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
    assert not any(shows(out + err, secret) for secret in stage.secrets.values())
    assert stage.left_behind() == []


@pytest.mark.reliability("what /proc and a traceback show of a process")
def test_the_services_of_a_sandbox_are_told_no_password_in_their_command_line(
    sandbox: Sandbox,
) -> None:
    state = sandbox.clouds_file.parent
    known = settings.load(state)
    assert known is not None
    found = processes.find(state)
    assert {process.service for process in found} == {"keystone", "glance"}
    for process in found:
        line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert not any(shows(line, password) for password in known.passwords.values())


@pytest.mark.reliability("what /proc and a traceback show of a process")
@pytest.mark.parametrize("options", ["", "--debug "], ids=["plain", "debug"])
def test_a_traceback_shows_no_variables(stage: Stage, options: str) -> None:
    """A broken library is what a bug of ours would be: it raises what nobody expects.

    Nothing of ours writes a core; whether the system does is for ``ulimit -c`` to say.
    """
    broken = stage.root / "broken" / "rich"
    broken.mkdir(parents=True, exist_ok=True)
    (broken / "__init__.py").touch()
    stage.shown.clear()
    said = stage.run(
        f"{options}--no-token-cache auth status -f table",
        code=1,
        variant=("", "plain", ""),
        PYTHONPATH=str(broken.parent),
    )
    assert "Traceback (most recent call last)" in said
    assert "No module named 'rich." in said
    assert stage.shown + stage.left_behind() == []
    assert not list(stage.root.rglob("core*"))


# Redirects

# Commands, and which of their requests is redirected.
REDIRECTED = {
    "image list": "^GET /v2/images",
    "image show {id}": "^GET /v2/images/",
    "image download {id} -": "^GET .*/file",
    "image create another": "^POST /v2/images",
    "image upload {id} noise.raw": "^PUT .*/file",
    "image stage {id} noise.raw": "^PUT .*/stage",
    "image update {id} --property a=b": "^PATCH",
    "image delete {id}": "^DELETE",
    "tag add {id} x": "^PUT .*/tags/",
    "member add {id} {project} --no-check": "^POST .*/members",
    "image import {id} --method copy-image": "^GET /v2/info/import",
}


@pytest.fixture
def other_origins(project: Project, tmp_path: Path) -> Iterator[dict[str, tuple[FaultProxy, str]]]:
    """Ways to the same Glance at another port, host or scheme: each server, and its URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path, "127.0.0.1", 1))
    plain, secure = FaultProxy(project.sandbox.glance), FaultProxy(project.sandbox.glance, context)
    yield {
        "port": (plain, plain.url),
        "host": (plain, plain.url.replace("127.0.0.1", "localhost")),
        "scheme": (secure, secure.url),
    }
    plain.close()
    secure.close()


@pytest.mark.reliability("redirects of Glance, Keystone and sources to another origin")
@pytest.mark.parametrize(("command", "request_line"), REDIRECTED.items(), ids=list(REDIRECTED))
def test_a_redirect_of_glance_is_not_followed(
    proxy: FaultProxy,
    other_origins: dict[str, tuple[FaultProxy, str]],
    command: str,
    request_line: str,
    full_scale: bool,
    record_property: Callable[[str, object], None],
) -> None:
    Path("noise.raw").write_bytes(b"noise" * 1000)
    image_id = run("image", "create", "x", "--disk-format", "raw", "-q").out.strip()
    if "download" in command:
        run("image", "upload", image_id, "noise.raw")
    if "member" in command:
        run("image", "update", image_id, "--visibility", "shared")
    argv = shlex.split(command.format(id=image_id, project=uuid.uuid4().hex))
    tries = [
        (status, place)
        for number, status in enumerate(REDIRECTS)
        for turn, place in enumerate(other_origins)
        if full_scale or turn == number % len(other_origins)
    ]
    for status, place in tries:
        server, url = other_origins[place]
        location = f"{url}/v2/images"
        proxy.add(request_line, times=None, status=status, headers={"Location": location})
        result = run("--insecure", *argv, code=1)
        assert "the endpoint is not an image API v2" in result.err, (status, place)
        assert server.requests == []
        proxy.faults.clear()
    record_property("tried", len(tries))


@pytest.fixture
def keystone(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy in front of Keystone, which ``run`` logs in through."""
    made = FaultProxy(project.sandbox.keystone)
    monkeypatch.setenv("OS_AUTH_URL", f"{made.url}/v3")
    yield made
    made.close()


@pytest.fixture
def other_keystone(project: Project) -> Iterator[FaultProxy]:
    made = FaultProxy(project.sandbox.keystone)
    yield made
    made.close()


@pytest.mark.reliability("redirects of Glance, Keystone and sources to another origin")
@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize("step", ["^GET /v3", "^POST /v3/auth/tokens"], ids=["discovery", "login"])
def test_a_redirect_of_a_login_is_not_followed(
    keystone: FaultProxy, other_keystone: FaultProxy, step: str, status: int
) -> None:
    """keystoneauth would send the password again, to wherever it is told."""
    location = f"{other_keystone.url}/v3/auth/tokens"
    keystone.add(step, status=status, headers={"Location": location})
    result = run("--timeout", 5, "--retries", 0, "auth", "status", code=1)
    assert "Keystone redirects to another place" in result.err
    assert other_keystone.url in result.err
    assert other_keystone.requests == []


@pytest.mark.reliability("redirects of Glance, Keystone and sources to another origin")
def test_a_redirect_of_keystone_at_its_own_origin_is_followed(keystone: FaultProxy) -> None:
    location = f"{keystone.url}/v3/auth/tokens"
    keystone.add("^POST /v3/auth/tokens", status=308, headers={"Location": location})
    run("auth", "status")
    assert keystone.count("^POST /v3/auth/tokens") == 2


@pytest.mark.reliability("redirects of Glance, Keystone and sources to another origin")
def test_a_redirect_of_a_project_or_a_logout_is_not_followed(
    keystone: FaultProxy, other_keystone: FaultProxy
) -> None:
    image_id = run("image", "create", "x", "-q").out.strip()
    location = f"{other_keystone.url}/v3/projects/x"
    keystone.add("^GET /v3/projects", status=302, headers={"Location": location})
    assert "redirects" in run("member", "add", image_id, uuid.uuid4().hex, code=1).err
    keystone.add("^DELETE /v3/auth/tokens", status=307, headers={"Location": location})
    assert "may still be valid" in run("auth", "logout", code=1).err
    assert other_keystone.requests == []


@pytest.fixture
def servers() -> Iterator[Callable[..., Server]]:
    """Make web servers; the second one of a host is at another port of it."""
    made: list[Server] = []

    def make(host: str = "127.0.0.1") -> Server:
        made.append(Server(host))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.mark.reliability("redirects of Glance, Keystone and sources to another origin")
@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost"])
def test_a_redirect_of_a_source_takes_nothing_along(
    servers: Callable[..., Server], host: str, status: int
) -> None:
    """Nor does the way back."""
    first = servers()
    second = servers("127.0.0.1" if host == "localhost" else host)
    there = second.url.replace("127.0.0.1", host) if host == "localhost" else second.url
    netrc = Path.home() / ".netrc"
    netrc.write_text("machine 127.0.0.1 login ned password n1\ndefault login d password d1\n")
    netrc.chmod(0o600)
    cookie = "session=s3cret; Path=/"
    first.paths["/moved"] = answer(status=status, location=f"{there}/on", set_cookie=cookie)
    second.paths["/on"] = answer(status=status, location=f"{first.url}/back")
    first.paths["/back"] = answer(b"data")
    given = {"Authorization": "Bearer t", "Cookie": "c=1", "X-Auth-Token": "t", "X-Api-Key": "k"}
    typed = f"http://user:pw@127.0.0.1:{first.port}/moved"
    for url, headers in ((typed, given), (typed, {}), (f"{first.url}/moved", {})):
        with open_source(url, headers=headers, retries=0) as source:
            assert b"".join(source.chunks()) == b"data"
    asked = [seen for path, seen in (*first.seen, *second.seen) if path != "/moved"]
    assert len(asked) == 6
    for seen in asked:
        assert not {"authorization", "cookie", "x-auth-token", "x-api-key"} & seen.keys()


@pytest.mark.reliability("redirects of Glance, Keystone and sources to another origin")
def test_a_cookie_is_kept_where_it_was_set_and_for_the_domain_it_was_set_for(
    servers: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the signed cookies of a content network are. One server stands for all hosts, as proxy."""
    server = servers()
    monkeypatch.setenv("http_proxy", server.url)
    app, cdn = "http://app.images.invalid", "http://cdn.images.invalid"
    own, shared = "own=1; Path=/", "shared=1; Path=/; Domain=images.invalid"
    server.paths[f"{app}/start"] = answer(status=302, location="/login", set_cookie=own)
    server.paths[f"{app}/login"] = answer(status=302, location=f"{cdn}/file", set_cookie=shared)
    server.paths[f"{cdn}/file"] = answer(b"data")
    with open_source(f"{app}/start", retries=0) as source:
        assert b"".join(source.chunks()) == b"data"
    assert server.asked("cookie") == [None, "own=1", "shared=1"]


@pytest.mark.reliability("redirects of Glance, Keystone and sources to another origin")
@pytest.mark.parametrize("way", ["direct", "redirected"])
def test_glance_as_a_source_gets_no_token_from_us(
    proxy: FaultProxy, servers: Callable[..., Server], way: str
) -> None:
    """Whoever wants an image of this cloud as a source has to say with what token."""
    Path("noise.raw").write_bytes(b"noise" * 1000)
    image_id = run(
        "image", "create", "x", "--disk-format", "raw", "--file", "noise.raw", "-q"
    ).out.strip()
    url = f"{proxy.url}/v2/images/{image_id}/file"
    server = servers()
    server.paths["/moved"] = answer(status=302, location=url)
    spec = url if way == "direct" else f"{server.url}/moved"
    create = ("image", "create", "y", "--disk-format", "raw", "--file", spec)
    result = run(*create, code=1)
    assert "401 Unauthorized" in result.err
    sent = list(zip(proxy.requests, proxy.tokens, strict=True))
    assert [token for line, token in sent if line == f"GET /v2/images/{image_id}/file"] == [""]
    assert all(token for line, token in sent if not line.endswith("/file"))
