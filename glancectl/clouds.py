"""Which cloud, and how to log in to it: clouds.yaml and OS_*, read by openstack.config.

The only importer of openstack.config, and only inside the functions that log in.
"""

import contextlib
import json
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glancectl.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from openstack.config.cloud_region import CloudRegion

# The files of openstack.config, and the variables that name one to be read before all others.
CLOUDS = ("clouds", "OS_CLIENT_CONFIG_FILE")
SECURE = ("secure", "OS_CLIENT_SECURE_FILE")
SANDBOX_CLOUDS = ("sandbox", "sandbox-admin", "sandbox-other")
NO_CREDENTIALS_HINT = (
    "name an entry of clouds.yaml with --cloud or OS_CLOUD, or set OS_AUTH_URL and the other OS_* "
    "variables; to try glancectl without a cloud: glancectl sandbox up"
)


@dataclass(frozen=True)
class Settings:
    """How to reach the cloud, as the global options and their variables say.

    timeout: seconds for one request. retries: tries after the first. project: the id or name of
    another project to log in to than the one that the credentials are configured for.
    """

    cloud: str | None = None
    region: str | None = None
    interface: str | None = None
    endpoint: str | None = None
    cacert: str | None = None
    insecure: bool = False
    timeout: float = 60.0
    retries: int = 4
    use_token_cache: bool = True
    project: str | None = None


def sandbox_clouds() -> Path:
    """Return where a running sandbox leaves the clouds.yaml of its three clouds."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return _in_home(state) / "glancectl" / "sandbox" / "clouds.yaml"


def _in_home(path: str) -> Path:
    """Return ``path`` with its ``~`` replaced; not so where a user has no home, as in containers.

    Path.expanduser fails there.
    """
    return Path(os.path.expanduser(path))


def cloud_files() -> list[Path]:
    """Return the existing files that configure clouds, first those that variables name."""
    named = [os.environ.get("OS_CLIENT_CONFIG_FILE"), os.environ.get("OS_CLIENT_SECURE_FILE")]
    searched = [*_candidates("clouds"), *_candidates("secure"), *_candidates("clouds-public")]
    found = [Path(name) for name in (*named, *searched) if name]
    # Not Path.is_file, which fails below a folder that may not be entered.
    return [path for path in dict.fromkeys(found) if os.path.isfile(path)]


def _candidates(stem: str) -> list[str]:
    """Return where a file of openstack.config may be, in its order.

    Worked out here, since the cached token depends on these files too and openstack.config is not
    imported when there is one.
    """
    config = _in_home(os.environ.get("XDG_CONFIG_HOME") or "~/.config")
    site = [Path(d) for d in (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")]
    under = [d / "openstack" for d in (config, _in_home("~/.config"), *site)]
    try:
        here = Path.cwd()
    except FileNotFoundError:
        raise UsageError("the current directory does not exist any more") from None
    folders = dict.fromkeys([here, *under, Path("/etc/openstack")])
    return [str(d / f"{stem}{end}") for d in folders for end in (".yaml", ".yml", ".json")]


def cloud_region(settings: Settings) -> "CloudRegion":
    """Return openstack.config's view of the chosen cloud, its auth plugin loaded.

    Raises UsageError when it cannot be had of the files and variables there are.
    """
    from openstack.exceptions import ConfigException
    from openstack.warnings import ConfigurationWarning

    _require_usable_files(settings.cloud)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConfigurationWarning)  # a profile that does not exist
            return _chosen(settings)
    except (ConfigException, ConfigurationWarning) as error:
        raise UsageError("the cloud configuration cannot be used", cause=str(error)) from None
    except OSError as error:  # of requests: a profile that is a URL
        raise UnavailableError("the cloud's profile cannot be fetched", cause=str(error)) from None
    # It leaves values of the wrong form to Python.
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise UsageError(
            "the cloud configuration cannot be used",
            cause=f"a value of the wrong form: {error}",
        ) from None


def _chosen(settings: Settings) -> "CloudRegion":
    from openstack.config.loader import OpenStackConfig
    from openstack.exceptions import ConfigException

    options: dict[str, Any] = {"api_timeout": settings.timeout}
    if settings.interface:
        options["interface"] = settings.interface
    if settings.insecure:
        options["verify"] = False
    elif settings.cacert:
        options["cacert"] = settings.cacert
    if settings.project:
        options |= _scope(settings.project)
    config = OpenStackConfig(
        app_name="glancectl",
        config_files=_candidates("clouds"),
        secure_files=_candidates("secure"),
        vendor_files=_candidates("clouds-public"),
    )
    cloud = settings.cloud or config.default_cloud
    if cloud in SANDBOX_CLOUDS and cloud not in config.get_cloud_names():
        config = _sandbox_config(cloud)
    elif cloud and cloud not in config.get_cloud_names():
        raise _no_such_cloud(cloud, config.get_cloud_names())
    with contextlib.suppress(ConfigException):
        return config.get_one(cloud=cloud, region_name=settings.region, **options)
    # openstack.config only knows the regions that the cloud's entry names; the catalogue,
    # which is asked later, knows all.
    return config.get_one(cloud=cloud, **options)


def _scope(project: str) -> dict[str, Any]:
    """Return the options of openstack.config that scope a login to a project, by id or name.

    An empty text unsets what the files and variables say; None would leave it.
    """
    is_id = looks_like_project_id(project)
    return {
        "project_id": project if is_id else "",
        "project_name": "" if is_id else project,
        "auth": {"system_scope": ""},
    }


def looks_like_project_id(text: str) -> bool:
    """Tell whether ``text`` has the form of Keystone's ids: 32 hex digits, dashes or not."""
    digits = text.replace("-", "")
    return len(digits) == 32 and all(c in "0123456789abcdef" for c in digits.lower())


def without_version(endpoint: str) -> str:
    """Strip a trailing ``/v2``: catalogues have the endpoint in both forms."""
    import re

    return re.sub(r"/v\d+(\.\d+)?/?$", "", endpoint.rstrip("/")).rstrip("/")


def identity_url(auth_url: str) -> str:
    """Return the URL of the Identity API v3 below ``auth_url``, which may have its version."""
    return f"{auth_url.rstrip('/').removesuffix('/v3')}/v3"


def _sandbox_config(cloud: str) -> Any:
    from openstack.config.loader import OpenStackConfig

    path = sandbox_clouds()
    if not path.exists():
        raise UsageError(f"no sandbox is running: cloud {cloud!r}", hint="glancectl sandbox up")
    # Only the sandbox's own file: OS_* variables of another cloud must not leak into it.
    return OpenStackConfig(config_files=[str(path)], secure_files=[], load_envvars=False)


def _no_such_cloud(cloud: str, known: list[str]) -> UsageError:
    files = ", ".join(str(path) for path in cloud_files()) or "no clouds.yaml was found"
    names = ", ".join(sorted({str(name) for name in known} - {"defaults", "envvars"}))
    return UsageError(
        f"no cloud {cloud!r} in clouds.yaml",
        cause=f"files looked at: {files}",
        hint=f"clouds there are: {names}" if names else NO_CREDENTIALS_HINT,
    )


# What openstack.config makes of its files is silence or a traceback where one of them is broken.
# So they are looked at first.


def _require_usable_files(cloud: str | None) -> None:
    """Raise UsageError for a file that cannot be read, or that says nothing of ``cloud`` for it.

    A file that may not be read is passed over when variables alone say how to log in: those
    below /etc may be meant for others.
    """
    variables_do = cloud is None and "OS_AUTH_URL" in os.environ
    for stem, variable in (CLOUDS, SECURE, ("clouds-public", "")):
        for path in _existing(stem, variable):
            try:
                content = path.read_bytes()
            except OSError as error:
                if variables_do:
                    continue
                raise UsageError(f"cannot read {path}", cause=error.strerror) from None
            found, nodes = _parsed(path, content)
            top = "public-clouds" if stem == "clouds-public" else "clouds"
            for place, problem in _misfits(found, top, cloud, check_all=not variables_do):
                raise UsageError(f"{_where(path, nodes, place)}: {problem}")
            break  # openstack.config reads the first one only


def _existing(stem: str, variable: str) -> Iterator[Path]:
    """Yield the files of one kind in openstack.config's order, one that a variable names first."""
    if named := os.environ.get(variable):
        yield Path(named)
    # A link that leads nowhere is there, too: whoever made it believes that it is read.
    yield from (Path(name) for name in _candidates(stem) if os.path.lexists(name))


def _parsed(path: Path, content: bytes) -> tuple[Any, Any]:
    """Return what a file holds, and the YAML nodes of it, which know their lines; None of JSON.

    Raises UsageError when it is neither, not quoting it: it may be full of passwords.
    """
    import yaml

    try:
        text = content.decode()
        if path.name.endswith("json"):
            return json.loads(text), None
        return yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}, line {line}: not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}, line {error.lineno}: not JSON", cause=error.msg) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        problem = re.sub("'.*'", "…", error.problem or "")  # a word of the file, maybe a password
        raise UsageError(f"{where}: not YAML", cause=problem) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UsageError(f"{path}, line {line}: not YAML", cause=error.reason) from None
    except (ValueError, RecursionError) as error:  # a date that cannot be; brackets in brackets
        raise UsageError(f"{path}: not YAML", cause=str(error)) from None


Place = tuple[object, ...]  # the keys that lead to a value


def _misfits(
    content: Any, top: str, cloud: str | None, *, check_all: bool
) -> Iterator[tuple[Place, str]]:
    """Yield what openstack.config would stumble over in the content of a file, and where.

    Of the clouds only ``cloud`` is looked at, or all when it is None and ``check_all``.
    """
    if content is None:  # an empty file
        return
    if not isinstance(content, dict):
        yield (), "not a mapping"
        return
    for key in (top, "cache", "client", "metrics"):
        if not isinstance(content.get(key, {}), dict):
            yield (key,), f"{key!r} is not a mapping"
            return
    if top != "clouds":
        return
    for name, entry in content.get(top, {}).items():
        if name == cloud or (cloud is None and check_all):
            yield from (((top, name, *place), problem) for place, problem in _misfit(name, entry))


def _misfit(name: object, entry: Any) -> Iterator[tuple[Place, str]]:
    """Yield what is wrong with the entry of a cloud, and where in it."""
    if not isinstance(entry, dict):
        yield (), f"cloud {name!r} is not a mapping"
        return
    auth = entry.get("auth", {})
    if not isinstance(auth, dict):
        yield ("auth",), f"'auth' of cloud {name!r} is not a mapping"
        return
    for key, value in auth.items():
        if not isinstance(value, str | int | float | list | None):  # a date, say
            yield ("auth", key), f"{key!r} is no text, which quotes would make it"
    for key in ("profile", "cloud", "auth_type", "auth_plugin", "region_name"):
        value = entry.get(key)
        if not isinstance(value, str | None) and not (key == "region_name" and _texts(value)):
            yield (key,), f"{key!r} of cloud {name!r} is no text"
    regions = entry.get("regions", [])
    if not isinstance(regions, list):
        yield ("regions",), f"'regions' of cloud {name!r} is not a list"
        return
    for index, region in enumerate(regions):
        if not _is_region(region):
            yield ("regions", index), "a region is neither a name nor a mapping with 'name'"


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_region(value: object) -> bool:
    if not isinstance(value, dict):
        return isinstance(value, str)
    return isinstance(value.get("name"), str) and isinstance(value.get("values", {}), dict)


def _where(path: Path, nodes: Any, place: Sequence[object]) -> str:
    """Return a file, and the line of what ``place`` leads to where the ``nodes`` of YAML tell."""
    if nodes is None:
        return str(path)
    line = nodes.start_mark.line
    for step in place:
        below = _below(nodes, step)
        if below is None:
            break
        nodes, line = below
    return f"{path}, line {line + 1}"


def _below(node: Any, step: object) -> tuple[Any, int] | None:
    """Return the node that a key or an index leads to, and its line."""
    if isinstance(step, int):
        child = node.value[step]
        return child, child.start_mark.line
    for key, value in node.value:
        if key.value == step:
            return value, key.start_mark.line
    return None  # merged in from elsewhere


def origin(cloud: str | None, key: str) -> str:
    """Return where a setting of a cloud comes from: a file and its line, or a variable."""
    variable = f"OS_{key.upper()}"
    if cloud is None and variable in os.environ:
        return variable
    for stem, named in (SECURE, CLOUDS):
        for path in _existing(stem, named):
            with contextlib.suppress(OSError):
                found, nodes = _parsed(path, path.read_bytes())
                entries = found.get("clouds", {}) if isinstance(found, dict) else {}
                for name, entry in entries.items():
                    if name == (cloud or name) and isinstance(entry, dict) and key in entry:
                        return _where(path, nodes, ("clouds", name, key))
                break
    return "the cloud configuration"
