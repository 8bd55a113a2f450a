"""What can go wrong, and the exit code each kind of failure ends with.

    GlancectlError
    ├── RefusedError      1  the request, a value or a local file stands in the way
    ├── UsageError        2  wrong flags, or a question that nobody can answer
    ├── AuthError         3  no or bad credentials, or not allowed
    ├── NotFoundError     4  no such image, member, tag, task, store
    ├── UnavailableError  5  network, TLS, timeout or 5xx after all retries
    ├── IntegrityError    6  size, checksum or format mismatch
    ├── GaveUpError       7  waited long enough; the operation may still finish
    ├── FailedError       8  the service reports that the awaited operation failed
    ├── PartialError      9  several targets, some failed
    └── DiffersError     10  a comparison found a difference

    Interrupted (BaseException)  128 + the signal's number

Everything may import this module; it imports nothing of ours.
"""

from collections.abc import Sequence
from enum import IntEnum, unique
from typing import TypedDict


@unique
class Exit(IntEnum):
    """Exit codes, as cli.md section 4 promises them. The lower-case name is the error's kind."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    AUTH = 3
    NOT_FOUND = 4
    UNAVAILABLE = 5
    INTEGRITY = 6
    TIMEOUT = 7
    FAILED = 8
    PARTIAL = 9
    DIFFERS = 10
    READER_GONE = 141


class GlancectlError(Exception):
    """Tell a user what happened, why, and what to type next.

    message: one sentence, ours. cause: the server's or the system's own words, one line.
    hint: a command or flag to try. status and request_id: of the HTTP answer, where one came.
    retried: the request had been sent before, so that an earlier try may have been carried out.
    """

    exit = Exit.REFUSED

    def __init__(
        self,
        message: str,
        *,
        cause: str | None = None,
        hint: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.hint = hint
        self.status = status
        self.request_id = request_id
        self.retried = False

    def sentence(self) -> str:
        """Return the message and what clean-up added to it (``add_note``): what was left where."""
        return sentence(self.message, self)

    def as_dict(self) -> dict[str, object]:
        """Return the value of ``error`` in the JSON form of an error, all seven keys always."""
        return {
            "exit": int(self.exit),
            "kind": self.exit.name.lower(),
            "message": self.sentence(),
            "cause": self.cause,
            "hint": self.hint,
            "status": self.status,
            "request_id": self.request_id,
        }


class RefusedError(GlancectlError):
    """A value, the server or a local file refuses the request."""


class UsageError(GlancectlError):
    """Flags that do not go together, or a question with nobody to answer it."""

    exit = Exit.USAGE


class AuthError(GlancectlError):
    """Credentials missing or bad, or the action not allowed to them."""

    exit = Exit.AUTH


class NotFoundError(GlancectlError):
    """The image, member, tag, task or store does not exist or may not be seen."""

    exit = Exit.NOT_FOUND


class UnavailableError(GlancectlError):
    """The service cannot be reached or keeps failing; trying again later can help.

    may_pass: another try in a moment may do. retry_after: what the server says of when.
    """

    exit = Exit.UNAVAILABLE
    may_pass = False
    retry_after: str | None = None


class IntegrityError(GlancectlError):
    """Bytes are not what they were said to be."""

    exit = Exit.INTEGRITY


class GaveUpError(GlancectlError):
    """Waiting took longer than allowed."""

    exit = Exit.TIMEOUT


class FailedError(GlancectlError):
    """The service says that the awaited operation failed."""

    exit = Exit.FAILED


class FailedTarget(TypedDict):
    """One failed target of several, as the JSON form of an error lists it."""

    target: str
    exit: int
    message: str
    status: int | None


class PartialError(GlancectlError):
    """Several targets were tried and some failed; ``targets`` lists those.

    When all of them failed in the same way the exit code is that failure's own.
    """

    exit = Exit.PARTIAL

    def __init__(self, message: str, targets: Sequence[FailedTarget], *, all_failed: bool) -> None:
        super().__init__(message)
        self.targets = targets
        codes = {target["exit"] for target in targets}
        if all_failed and len(codes) == 1:
            self.exit = Exit(codes.pop())

    def as_dict(self) -> dict[str, object]:
        """Return the JSON form with ``targets`` added."""
        return {**super().as_dict(), "targets": list(self.targets)}


class DiffersError(GlancectlError):
    """A comparison found a difference; nothing went wrong."""

    exit = Exit.DIFFERS


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP arrived; clean up, then end with 128 + ``signum``."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


def sentence(message: str, error: BaseException) -> str:
    """Return ``message`` followed by the notes that clean-up added to ``error``."""
    return "; ".join([message, *getattr(error, "__notes__", [])])
