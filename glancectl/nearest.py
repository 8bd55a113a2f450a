"""The name that was meant, where one was mistyped."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the one of ``known`` that ``name`` is near to, or that begins like it, if there is.

    Case does not matter: who types ``ID`` means ``id``.
    """
    wanted = name.casefold()
    folded = {one.casefold(): one for one in sorted(known)}
    begins = {one[: len(wanted)]: folded[one] for one in reversed(folded)}
    for spelled, cutoff in ((folded, 0.6), (begins, 0.8)):
        if near := difflib.get_close_matches(wanted, spelled, n=1, cutoff=cutoff):
            return spelled[near[0]]
    return None
