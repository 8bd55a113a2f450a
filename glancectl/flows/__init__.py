"""Verbs made of many calls; they know no terminal."""

from collections.abc import Callable

Note = Callable[[str], None]  # hears what is worth telling besides the result
