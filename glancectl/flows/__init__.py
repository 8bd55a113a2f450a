"""Verbs made of many calls; they know no terminal."""

from collections.abc import Callable, Mapping

Note = Callable[[str], None]  # hears what is worth telling besides the result

# Hears of each change to the cloud once it is made: what was done (created, finished, updated,
# hidden, deactivated, deleted, shared, withdrawn), and to which image: a record, or at least its id
# and name.
Journal = Callable[[str, Mapping[str, object]], None]
