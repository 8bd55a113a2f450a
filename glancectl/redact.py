"""What is left out of texts for people: logins, queries and fragments of URLs."""

import re

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def redact(url: str) -> str:
    """Return a URL without user, password, query and fragment, for people to read.

    A ``/`` or ``?`` in a password that is not percent-encoded ends the authority too early. So
    where an ``@`` comes later, nothing is shown but a plain host name.
    """
    scheme, rest = SCHEME.match(url), SCHEME.sub("", url, count=1)
    if scheme is None:
        return "…"
    authority, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    host = authority.rpartition("@")[2]
    if "@" in rest[len(authority) :]:
        return f"{scheme[0]}{'…' if ':' in host else host}/…"
    return f"{scheme[0]}{host}{slash}{path}"


def redact_urls(text: str) -> str:
    """Return ``text`` with each URL in it redacted: servers repeat what they were sent."""
    return re.sub(rf"{SCHEME.pattern}\S*", lambda match: redact(match[0]), text)
