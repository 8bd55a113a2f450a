"""A real Keystone and a real Glance on this machine, for newcomers, CI and our own tests.

Reading order: settings (paths, ports, passwords) → config (what the services read) → template (a
migrated database) → processes (start, find, stop) → lifecycle (up, down, status) → command and
demo (what runs inside). wsgi_keystone and wsgi_glance are what gunicorn serves.
"""

from glancectl.sandbox.command import run
from glancectl.sandbox.demo import demo
from glancectl.sandbox.lifecycle import Status, down, environment, status, up

__all__ = ["Status", "demo", "down", "environment", "run", "status", "up"]
