"""Keystone as gunicorn serves it, with the sandbox's users and endpoints in it."""

import os
import sys
from pathlib import Path

from glancectl.sandbox import settings
from glancectl.sandbox.database import survive_many_writers
from glancectl.sandbox.processes import STATE_VARIABLE

sys.argv = ["keystone"]  # Keystone would read gunicorn's options as its own
survive_many_writers()

from keystone.wsgi.api import (  # type: ignore[import-untyped] # noqa: E402 - see above
    application,
)

from glancectl.sandbox.seed import seed  # noqa: E402 - imports Keystone

__all__ = ["application"]

_settings = settings.load(Path(os.environ[STATE_VARIABLE]))
assert _settings is not None, "up writes the settings before it starts Keystone"
seed(_settings)
