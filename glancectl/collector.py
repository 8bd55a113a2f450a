"""When Python looks for cycles among its objects.

Nearly all objects that a start makes stay. To look among them after each 700 new ones, and once
more at the end, is a quarter of the time of a short command; not to look at all would let a long
one grow.
"""

import gc

AT_START = 150_000  # new objects until the first look: more than a start without a login makes
LATER = 20_000


def hold() -> None:
    """Let a start make its objects without a look."""
    gc.set_threshold(AT_START)


def resume() -> None:
    """Look again, at what is made from now on, when ``hold`` was called before."""
    if gc.get_threshold()[0] == AT_START:
        gc.freeze()
        gc.set_threshold(LATER)


def finish() -> None:
    """Take no last look: the process ends."""
    gc.freeze()
