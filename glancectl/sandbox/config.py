"""The configuration files of the two services and of their clients, from the settings."""

import base64
import binascii
import configparser
import io
import json
import secrets
from pathlib import Path

from glancectl.sandbox.settings import (
    CLOUDS,
    REGION,
    SERVICE_USER,
    STORES,
    Settings,
    make_private_folder,
    write_private,
)

KEYS = ("fernet", "credential")
RESERVED_STORES = ("os_glance_staging_store", "os_glance_tasks_store")
# Read-only, for images that stay where they are on the web: Glance lets nobody add a location
# (POST …/locations) unless there is an http store.
WEB_STORE = "web"
# The only worker there is. A name that outlives a change of ports: an image staged before it can
# still be imported after, and the cache stays known. Nothing connects to it.
WORKER_URL = "http://glance.sandbox.invalid"

PASTE = """\
[composite:glance-api-keystone+cachemanagement]
paste.composite_factory = glance.api:root_app_factory
/: api
/healthcheck: healthcheck

[composite:api]
paste.composite_factory = glance.api:pipeline_factory
keystone+cachemanagement = http_proxy_to_wsgi versionnegotiation authtoken context cache \
cachemanage rootapp

[composite:rootapp]
paste.composite_factory = glance.api:root_app_factory
/: apiversions
/v2: apiv2app

[app:apiversions]
paste.app_factory = glance.api.versions:create_resource

[app:apiv2app]
paste.app_factory = glance.api.v2.router:API.factory

[app:healthcheck]
paste.app_factory = oslo_middleware:Healthcheck.app_factory

[filter:http_proxy_to_wsgi]
paste.filter_factory = oslo_middleware:HTTPProxyToWSGI.factory

[filter:versionnegotiation]
paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory

[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
delay_auth_decision = true

[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory

[filter:cache]
paste.filter_factory = glance.api.middleware.cache:CacheFilter.factory

[filter:cachemanage]
paste.filter_factory = glance.api.middleware.cache_manage:CacheManageFilter.factory
"""

Sections = dict[str, dict[str, object]]


def write_services(state: Path, settings: Settings) -> None:
    """Write what the services read, and make the folders that they write to."""
    images = [f"images/{store}" for store in (*STORES, *RESERVED_STORES)]
    for name in ("keys", "etc", "cache", "tasks", "locks", "logs", "images", *images):
        make_private_folder(state / name)
    for name in KEYS:
        _ensure_keys(state / "keys" / name)
    write_private(state / "etc" / "keystone.conf", ini(keystone(state)))
    write_private(state / "etc" / "glance-api.conf", ini(glance(state, settings)))
    write_private(state / "etc" / "glance-api-paste.ini", PASTE)


def write_clouds(state: Path, settings: Settings) -> None:
    """Write the clients' clouds.yaml. JSON is YAML, so that no YAML library is needed here."""
    clouds = {
        cloud: {
            "auth": {
                "auth_url": settings.auth_url,
                "username": user.name,
                "password": settings.passwords[user.name],
                "project_name": user.project,
                "user_domain_name": "Default",
                "project_domain_name": "Default",
            },
            "region_name": REGION,
            "identity_api_version": 3,
        }
        for cloud, user in CLOUDS.items()
    }
    write_private(state / "clouds.yaml", json.dumps({"clouds": clouds}, indent=2) + "\n")


def database(folder: Path, service: str) -> dict[str, object]:
    """Return the options of the database of ``service`` kept in ``folder``.

    It does not wait for the disk: a killed service loses nothing by that, only a machine that
    loses its power may, and a sandbox is remade.
    """
    return {"connection": f"sqlite:///{folder / service}.db", "sqlite_synchronous": False}


def keystone(state: Path) -> Sections:
    """Return the options of Keystone."""
    keys = state / "keys"
    return {
        "DEFAULT": {"use_stderr": True},
        "database": database(state, "keystone"),
        "fernet_tokens": {"key_repository": keys / "fernet"},
        "fernet_receipts": {"key_repository": keys / "fernet"},
        "credential": {"key_repository": keys / "credential"},
        # The passwords are random and long: hashing them slowly would only slow every login.
        "identity": {"password_hash_rounds": 4, "max_password_length": 72},
        "cache": {"enabled": True, "backend": "dogpile.cache.memory"},  # one process serves all
    }


def glance(state: Path, settings: Settings) -> Sections:
    """Return the options of Glance."""
    stores: Sections = {
        store: {"filesystem_store_datadir": state / "images" / store}
        for store in (*STORES, *RESERVED_STORES)
    }
    return {
        "DEFAULT": {
            "use_stderr": True,
            "enabled_backends": ",".join([*(f"{s}:file" for s in STORES), f"{WEB_STORE}:http"]),
            "enabled_import_methods": "[glance-direct,web-download,copy-image,glance-download]",
            "worker_self_reference_url": WORKER_URL,
            "image_cache_driver": "centralized_db",
            "image_cache_dir": state / "cache",
        },
        "database": database(state, "glance"),
        "glance_store": {"default_backend": STORES[0]},
        **stores,
        "paste_deploy": {
            "flavor": "keystone+cachemanagement",
            "config_file": state / "etc" / "glance-api-paste.ini",
        },
        "keystone_authtoken": _service_login(settings),
        "oslo_concurrency": {"lock_path": state / "locks"},
        "task": {"work_dir": state / "tasks", "task_executor": "taskflow"},
        # Loopback and odd ports are where people who try web-download have their files.
        "import_filtering_opts": {"allowed_hosts": "[127.0.0.1]", "allowed_ports": "[]"},
    }


def _service_login(settings: Settings) -> dict[str, object]:
    """Return how Glance logs in at Keystone to validate the tokens it is given."""
    return {
        "auth_type": "password",
        "auth_url": settings.auth_url,
        "www_authenticate_uri": settings.auth_url,
        "username": SERVICE_USER,
        "password": settings.passwords[SERVICE_USER],
        "project_name": "service",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
        "region_name": REGION,
        "service_token_roles_required": True,
    }


def ini(sections: Sections) -> str:
    """Return the text of a configuration file. No value has ``$``, which oslo would expand."""
    parser = configparser.RawConfigParser(default_section="")
    parser.read_dict(
        {
            section: {key: str(value) for key, value in options.items()}
            for section, options in sections.items()
        }
    )
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def _ensure_keys(repository: Path) -> None:
    """Make the staged and the primary key of a Fernet repository, unless both are good."""
    make_private_folder(repository)
    paths = [repository / name for name in ("0", "1")]
    if all(map(_is_key, paths)):
        return
    for path in paths:
        write_private(path, base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())


def _is_key(path: Path) -> bool:
    """Tell whether ``path`` holds a Fernet key."""
    try:
        return len(base64.urlsafe_b64decode(path.read_bytes())) == 32
    except (OSError, binascii.Error):
        return False
