"""Payloads on their way in and out; nothing here knows of commands."""
