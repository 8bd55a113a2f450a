"""How long to wait before the next try."""

import random

FIRST = 0.25  # seconds
LONGEST = 30.0  # seconds; also the most that a server's Retry-After is obeyed for


def delay(attempt: int, retry_after: str | None = None) -> float:
    """Return the seconds to sleep before try number ``attempt`` + 1 (``attempt`` from 1 on).

    Doubles each time and is spread by up to half, so that clients stopped by one outage do not
    come back in step. A Retry-After header (RFC 9110, 10.2.3) wins; its date form is rare and
    treated as absent.
    """
    if retry_after is not None and retry_after.strip().isdecimal():
        return min(float(retry_after), LONGEST)
    return min(FIRST * 2.0 ** (attempt - 1), LONGEST) * random.uniform(0.5, 1.0)
