"""Glance as gunicorn serves it: the application of glance.wsgi.api on a SQLite that holds."""

import sys

from glancectl.sandbox.database import survive_many_writers

sys.argv = ["glance-api"]  # Glance would read gunicorn's options as its own
survive_many_writers()

from glance.wsgi.api import application  # type: ignore[import-untyped] # noqa: E402 - see above

__all__ = ["application"]
