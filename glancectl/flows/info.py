"""What a cloud's image service can do and holds: asked for all at once."""

from collections.abc import Callable

from glancectl import parallel
from glancectl.api import Glance


def info(glance: Glance) -> dict[str, object]:
    """Return ``versions``, ``import_methods``, ``stores``, ``formats`` and ``usage``.

    What a cloud has not is empty: a single store has no name, quotas may be off.
    """
    asked: dict[str, Callable[[], object]] = {
        "versions": lambda: [version["id"] for version in glance.list_versions()],
        "import_methods": glance.import_methods,
        "stores": lambda: glance.list_stores() or [],
        "formats": lambda: formats(glance),
        "usage": glance.get_usage,
    }
    answers = parallel.each(lambda ask: ask(), list(asked.values()), len(asked))
    return dict(zip(asked, answers, strict=True))


def formats(glance: Glance) -> dict[str, list[str]]:
    """Return the valid disk and container formats of this cloud."""
    properties = glance.get_schema().get("properties", {})
    return {
        kind: [name for name in properties.get(f"{kind}_format", {}).get("enum", ()) if name]
        for kind in ("disk", "container")
    }
