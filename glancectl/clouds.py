"""Which cloud, and how to log in to it: clouds.yaml and OS_*, read by openstack.config.

The only importer of openstack.config, and only inside the functions that log in.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glancectl.errors import UsageError

if TYPE_CHECKING:
    from openstack.config.cloud_region import CloudRegion

SANDBOX_CLOUDS = ("sandbox", "sandbox-admin", "sandbox-other")
NO_CREDENTIALS_HINT = (
    "name an entry of clouds.yaml with --cloud or OS_CLOUD, or set OS_AUTH_URL and the other OS_* "
    "variables; to try glancectl without a cloud: glancectl sandbox up"
)


@dataclass(frozen=True)
class Settings:
    """How to reach the cloud, as the global options and their variables say.

    timeout: seconds for one request. retries: tries after the first.
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


def sandbox_clouds() -> Path:
    """Return where a running sandbox leaves the clouds.yaml of its three clouds."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "glancectl" / "sandbox" / "clouds.yaml"


def cloud_files() -> list[Path]:
    """Return the existing files that configure clouds, first those that variables name."""
    named = [os.environ.get("OS_CLIENT_CONFIG_FILE"), os.environ.get("OS_CLIENT_SECURE_FILE")]
    searched = [*_candidates("clouds"), *_candidates("secure"), *_candidates("clouds-public")]
    found = [Path(name) for name in (*named, *searched) if name]
    return [path for path in dict.fromkeys(found) if path.is_file()]


def _candidates(stem: str) -> list[str]:
    """Return where a file of openstack.config may be, in its order.

    Worked out here, since the cached token depends on these files too and openstack.config is not
    imported when there is one.
    """
    config = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    site = [Path(d) for d in (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")]
    under = [d / "openstack" for d in (config, Path("~/.config").expanduser(), *site)]
    folders = dict.fromkeys([Path.cwd(), *under, Path("/etc/openstack")])
    return [str(d / f"{stem}{end}") for d in folders for end in (".yaml", ".yml", ".json")]


def cloud_region(settings: Settings) -> "CloudRegion":
    """Return openstack.config's view of the chosen cloud, its auth plugin loaded."""
    from openstack.config.loader import OpenStackConfig
    from openstack.exceptions import ConfigException

    options: dict[str, Any] = {"api_timeout": settings.timeout}
    if settings.interface:
        options["interface"] = settings.interface
    if settings.insecure:
        options["verify"] = False
    elif settings.cacert:
        options["cacert"] = settings.cacert
    try:
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
    except ConfigException as error:
        raise UsageError("the cloud configuration cannot be used", cause=str(error)) from None


def _sandbox_config(cloud: str) -> Any:
    from openstack.config.loader import OpenStackConfig

    path = sandbox_clouds()
    if not path.exists():
        raise UsageError(f"no sandbox is running: cloud {cloud!r}", hint="glancectl sandbox up")
    # Only the sandbox's own file: OS_* variables of another cloud must not leak into it.
    return OpenStackConfig(config_files=[str(path)], secure_files=[], load_envvars=False)


def _no_such_cloud(cloud: str, known: list[str]) -> UsageError:
    files = ", ".join(str(path) for path in cloud_files()) or "no clouds.yaml was found"
    names = ", ".join(sorted(set(known) - {"defaults", "envvars"}))
    return UsageError(
        f"no cloud {cloud!r} in clouds.yaml",
        cause=f"files looked at: {files}",
        hint=f"clouds there are: {names}" if names else NO_CREDENTIALS_HINT,
    )
