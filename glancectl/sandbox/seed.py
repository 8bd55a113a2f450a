"""What Keystone has to know: projects, users with their role, and where the services answer.

Runs inside Keystone before its first answer, each time it starts: what is missing is made, changed
ports and passwords are corrected, all else is left alone.
"""

import contextlib
import uuid
from typing import Any

from keystone import exception  # type: ignore[import-untyped]
from keystone.common.driver_hints import Hints  # type: ignore[import-untyped]
from keystone.common.provider_api import ProviderAPIs  # type: ignore[import-untyped]

from glancectl.sandbox.settings import REGION, USERS, Settings, User, project_id

DOMAIN = "default"
ROLES = ("reader", "member", "manager", "admin", "service")
# Whoever has the first role has the second too, as Keystone's own bootstrap sets it up.
IMPLIED = (("member", "reader"), ("manager", "member"), ("admin", "manager"))


def seed(settings: Settings) -> None:
    """Make the content of Keystone's database fit ``settings``."""
    _ensure_domain()
    roles = {name: _ensure_role(name) for name in ROLES}
    for prior, implied in IMPLIED:
        with contextlib.suppress(exception.Conflict):
            ProviderAPIs.role_api.create_implied_role(roles[prior], roles[implied])
    for user in USERS:
        _ensure_project(user.project)
        user_id = _ensure_user(user, settings.passwords[user.name])
        _grant(user, user_id, roles[user.role])
    with contextlib.suppress(exception.Conflict):
        ProviderAPIs.catalog_api.create_region({"id": REGION})
    _ensure_service("identity", "keystone", settings.auth_url)
    _ensure_service("image", "glance", settings.url("glance"))


def _ensure_domain() -> None:
    domain = {"id": DOMAIN, "name": "Default", "enabled": True}
    with contextlib.suppress(exception.Conflict):
        ProviderAPIs.resource_api.create_domain(DOMAIN, domain)


def _ensure_role(name: str) -> str:
    """Return the id of the role ``name``."""
    found = ProviderAPIs.role_api.list_roles(_hints(name=name, domain_id=None))
    if found:
        return str(found[0]["id"])
    role = {"id": uuid.uuid4().hex, "name": name, "options": {"immutable": True}}
    return str(ProviderAPIs.role_api.create_role(role["id"], role)["id"])


def _ensure_project(name: str) -> None:
    project = {"id": project_id(name), "name": name, "domain_id": DOMAIN, "enabled": True}
    with contextlib.suppress(exception.Conflict):
        ProviderAPIs.resource_api.create_project(project["id"], project)


def _ensure_user(user: User, password: str) -> str:
    """Return the id of ``user``, who can log in with ``password`` now."""
    identity = ProviderAPIs.identity_api
    try:
        found = identity.get_user_by_name(user.name, DOMAIN)
    except exception.UserNotFound:
        new = {"name": user.name, "domain_id": DOMAIN, "enabled": True, "password": password}
        return str(identity.create_user(new)["id"])
    try:
        identity.driver.authenticate(found["id"], password)
    except AssertionError:  # Keystone's way to say: wrong password
        identity.update_user(found["id"], {"password": password})
    return str(found["id"])


def _grant(user: User, user_id: str, role_id: str) -> None:
    assignments = ProviderAPIs.assignment_api
    with contextlib.suppress(exception.Conflict):
        assignments.add_role_to_user_and_project(user_id, project_id(user.project), role_id)
    if user.role == "admin":
        with contextlib.suppress(exception.Conflict):
            assignments.create_system_grant_for_user(user_id, role_id)


def _ensure_service(kind: str, name: str, url: str) -> None:
    """Let the catalogue say that the service of type ``kind`` answers at ``url``."""
    catalog = ProviderAPIs.catalog_api
    found = catalog.list_services(_hints(type=kind))
    if found:
        service_id = found[0]["id"]
    else:
        service_id = uuid.uuid4().hex
        service = {"id": service_id, "type": kind, "name": name, "enabled": True}
        catalog.create_service(service_id, service)
    known = {e["interface"]: e for e in catalog.list_endpoints(_hints(service_id=service_id))}
    for interface in ("public", "internal", "admin"):
        endpoint = known.get(interface) or {
            "id": uuid.uuid4().hex,
            "interface": interface,
            "service_id": service_id,
            "region_id": REGION,
            "enabled": True,
        }
        if endpoint.get("url") == url:
            continue
        change = catalog.update_endpoint if interface in known else catalog.create_endpoint
        change(endpoint["id"], {**endpoint, "url": url})


def _hints(**filters: object) -> Any:
    """Return what Keystone's drivers take as a filter."""
    hints = Hints()
    for name, value in filters.items():
        hints.add_filter(name, value)
    return hints
