"""How progress is shown: a bar, plain lines, JSON lines; all with the methods of ``Display``."""

import contextlib
import json
import os
import threading
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NoReturn, Protocol, TextIO

from glancectl.terminal import human_size, printable

if TYPE_CHECKING:
    from tqdm import tqdm

HOLD = 1.0  # seconds; what is over sooner is worth one line
SILENCE = 30.0  # seconds after which plain speaks though no quarter was passed
JSON_INTERVAL = 1.0  # seconds between two progress events
MARGIN = 4  # columns; text that wraps cannot be cleared
NAME_WIDTH = 30  # columns of a bar's line that the target's name may take
BAR_WIDTH = 72  # columns of a line from which on it has a bar, and how much has moved of what
PHASE_WIDTH = 60  # columns that the phase may take: of a task it has Glance's own words

_KNOWN = "{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} {rate_fmt} ETA {remaining}"
_NARROW = "{desc} {percentage:3.0f}% {rate_fmt} ETA {remaining}"
_UNKNOWN = "{desc} {n_fmt} {rate_fmt} {elapsed}"
_WAITING = "{desc} {elapsed}"


class Mode(StrEnum):
    """How progress is shown; ``auto`` is ``bar`` on a terminal, else ``plain``."""

    AUTO = "auto"
    BAR = "bar"
    PLAIN = "plain"
    JSON = "json"
    NONE = "none"


HASHING = "hashing"  # the phase of a payload that is only read


@dataclass
class Count:
    """What is known of the transfer. bytes: so far, ``kept`` of them from an earlier run."""

    target: str
    total: int | None
    clock: Callable[[], float]
    phase: str = ""
    bytes: int = 0
    kept: int = 0
    began: float | None = None

    def elapsed(self) -> float:
        """Return the seconds since the first phase or chunk."""
        return 0.0 if self.began is None else self.clock() - self.began

    @property
    def is_wait(self) -> bool:
        """Whether nothing has moved and nobody knows what will: others work, we wait."""
        return self.total is None and self.bytes == 0

    def rate(self) -> int:
        """Return bytes per second, of those that were moved now."""
        elapsed = self.elapsed()
        return round((self.bytes - self.kept) / elapsed) if elapsed > 0 else 0

    def line(self, text: str) -> str:
        """Return ``text`` about this transfer as one line for people."""
        return f"{printable(self.target)}: {printable(text)}\n"

    def summary(self, digest: str | None) -> str:
        """Return the final line: bytes, seconds, rate and digest."""
        seconds, rate = self.elapsed(), human_size(self.rate())
        if self.is_wait:
            return self.line(f"done in {seconds:.1f} s")
        did = "hashed " if self.phase == HASHING else ""  # nothing was sent
        text = f"{did}{human_size(self.bytes)} in {seconds:.1f} s, {rate}/s"
        return self.line(f"{text}, {digest}" if digest else text)


class Display(Protocol):
    """What ``Progress`` calls; at ``phase`` the count still has the phase before."""

    def begin(self) -> None:
        """Hear that the transfer begins."""

    def phase(self, name: str) -> None:
        """Hear what happens from now on."""

    def moved(self) -> None:
        """Hear that the count has changed, or time has passed."""

    def message(self, event: str, text: str, **fields: int) -> None:
        """Tell something. event: note, retry or resume."""

    def done(self, digest: str | None) -> None:
        """Tell the end. digest: ``algorithm:hex`` if known."""

    def close(self) -> None:
        """Leave nothing half drawn; after a failure ``done`` does not come."""


def make(mode: Mode, count: Count, stream: TextIO) -> Display | None:
    """Return the display of a transfer, None when nothing is to be shown."""
    if mode is Mode.AUTO:
        capable = stream.isatty() and os.environ.get("TERM") != "dumb"
        mode = Mode.BAR if capable else Mode.PLAIN
    match mode:
        case Mode.BAR:
            return Bar(count, stream)
        case Mode.PLAIN:
            return Plain(count, stream)
        case Mode.JSON:
            return Json(count, stream)
        case _:
            return None


class Plain:
    """Whole lines; the first one only for what lasts, or when something goes wrong."""

    def __init__(self, count: Count, stream: TextIO) -> None:
        self._count = count
        self._stream = stream
        self._started = False
        self._quarter = 0
        self._spoke = 0.0  # elapsed seconds

    def begin(self) -> None:
        pass

    def phase(self, name: str) -> None:
        if self._worth_a_start():
            self._say(name)

    def moved(self) -> None:
        if not self._started:
            self._worth_a_start()
            return
        quarter = self._quarters()
        late = self._count.elapsed() - self._spoke >= SILENCE
        if late or self._quarter < quarter < 4:
            self._say(self._where())
        self._quarter = quarter

    def message(self, event: str, text: str, **fields: int) -> None:
        if event != "note":
            self._start()
        self._say(_told(text, **fields))

    def done(self, digest: str | None) -> None:
        _write(self._stream, self._count.summary(digest))

    def close(self) -> None:
        pass

    def _worth_a_start(self) -> bool:
        if self._count.elapsed() >= HOLD:
            self._start()
        return self._started

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._quarter = self._quarters()
            phase, total = self._count.phase or "transferring", self._count.total
            self._say(phase if total is None else f"{phase} {human_size(total)}")

    def _say(self, text: str) -> None:
        self._spoke = self._count.elapsed()
        _write(self._stream, self._count.line(text))

    def _quarters(self) -> int:
        return self._count.bytes * 4 // self._count.total if self._count.total else 0

    def _where(self) -> str:
        moved, total, rate = self._count.bytes, self._count.total, human_size(self._count.rate())
        if self._count.is_wait:
            return f"{self._count.phase}, {self._count.elapsed():.0f} s"
        if not total:
            return f"{human_size(moved)}, {rate}/s"
        return f"{moved * 100 // total}% of {human_size(total)}, {rate}/s"


class Json:
    """One object a line, for programs."""

    def __init__(self, count: Count, stream: TextIO) -> None:
        self._count = count
        self._stream = stream
        self._spoke = 0.0  # elapsed seconds

    def begin(self) -> None:
        self._event("start", phase=self._count.phase)

    def phase(self, name: str) -> None:
        self._event("phase", phase=name)

    def moved(self) -> None:
        if self._count.elapsed() - self._spoke >= JSON_INTERVAL:
            self._spoke = self._count.elapsed()
            self._event("progress")

    def message(self, event: str, text: str, **fields: int) -> None:
        self._event(event, message=text, **fields)

    def done(self, digest: str | None) -> None:
        self._event("done", digest=digest)

    def close(self) -> None:
        pass

    def _event(self, event: str, **fields: object) -> None:
        line = {
            "event": event,
            "target": self._count.target,
            "bytes": self._count.bytes,
            "total": self._count.total,
            "rate": self._count.rate(),
            "elapsed": round(self._count.elapsed(), 3),
            **fields,
        }
        _write(self._stream, json.dumps(line) + "\n")  # ASCII: safe on any terminal


class Bar:
    """One tqdm line, drawn over and over and gone at the end."""

    def __init__(self, count: Count, stream: TextIO) -> None:
        self._count = count
        self._stream = stream
        self._bar: tqdm[NoReturn] | None = None
        self._kept = 0  # bytes, as of the last step

    def begin(self) -> None:
        from tqdm import tqdm

        tqdm.monitor_interval = 0  # no thread beside ours
        tqdm.set_lock(threading.RLock())  # its own would bring multiprocessing in
        self._bar = tqdm(
            total=self._count.total,
            desc=self._name(self._count.phase),
            bar_format=self._format(),
            file=self._stream,
            unit="iB",
            unit_scale=True,
            unit_divisor=1024,
            miniters=1,
            mininterval=0.1,
            ncols=self._width(),
            nrows=24,  # given, or tqdm draws nothing on a terminal that says it has no size
            leave=False,
        )

    def phase(self, name: str) -> None:
        if self._bar is not None:
            self._bar.set_description_str(self._name(name))

    def moved(self) -> None:
        bar, count = self._bar, self._count
        if bar is None:
            return
        bar.ncols = self._width()
        bar.total = count.total
        bar.bar_format = self._format()
        if count.is_wait:
            bar.refresh()
        elif count.bytes < bar.n or count.kept != self._kept:
            self._kept = count.kept
            bar.reset()
            bar.n = bar.last_print_n = bar.initial = count.bytes  # initial: not in the rate
        else:
            bar.update(count.bytes - bar.n)

    def message(self, event: str, text: str, **fields: int) -> None:  # noqa: ARG002
        self.write(self._count.line(_told(text, **fields)))

    def write(self, line: str) -> None:
        """Put a line above the bar."""
        with self.hidden():
            _write(self._stream, line)

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        """Make room for what others write to the terminal."""
        if self._bar is not None:
            self._bar.clear()
        yield
        if self._bar is not None:
            self._bar.refresh()

    def done(self, digest: str | None) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        _write(self._stream, self._count.summary(_short(digest)))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            if self._stream.isatty():
                _write(self._stream, "\x1b[K")  # the ^C that the terminal put behind the bar
            self._bar = None

    def _format(self) -> str:
        if self._count.is_wait:
            return _WAITING
        if self._count.total is None:
            return _UNKNOWN
        return _KNOWN if self._width() >= BAR_WIDTH else _NARROW

    def _width(self) -> int:
        """Return how long the line may be: room is left for the terminal's own ``^C``."""
        columns = 0
        with contextlib.suppress(OSError, ValueError):  # a bar asked for where no terminal is
            columns = os.get_terminal_size(self._stream.fileno()).columns
        return max((columns or 80) - MARGIN, 1)

    def _name(self, phase: str) -> str:
        # What a bar is for, where it is and how fast, has to be seen on a narrow terminal too.
        width = min(NAME_WIDTH, self._width() // 4)
        name = _shortened(printable(self._count.target), width)
        return f"{name}: {_shortened(printable(phase), PHASE_WIDTH)}" if phase else f"{name}:"


class Share:
    """One of several transfers that are drawn as one bar: what it moves counts there."""

    def __init__(self, count: Count, add: Callable[[int], None], bar: Bar) -> None:
        """Take what counts this one, what adds to all of them, and their bar."""
        self._count = count
        self._add = add
        self._bar = bar
        self._told = 0  # bytes

    def begin(self) -> None:
        pass

    def phase(self, name: str) -> None:
        pass

    def moved(self) -> None:
        self._add(self._count.bytes - self._told)
        self._told = self._count.bytes

    def message(self, event: str, text: str, **fields: int) -> None:  # noqa: ARG002
        self._bar.write(self._count.line(_told(text, **fields)))

    def done(self, digest: str | None) -> None:
        self._bar.write(self._count.summary(_short(digest)))

    def close(self) -> None:
        pass


def _short(digest: str | None) -> str | None:
    """Return a digest for people: the algorithm and the first of its digits."""
    algorithm, _, digits = (digest or "").partition(":")
    return f"{algorithm}:{digits[:8]}…" if len(digits) > 8 else digest


def _told(text: str, *, attempt: int | None = None, of: int | None = None) -> str:
    return text if attempt is None else f"try {attempt} of {of}: {text}"


def _write(stream: TextIO, text: str) -> None:
    # That nobody reads where a transfer is must not end the transfer.
    with contextlib.suppress(OSError):
        stream.write(text)
        stream.flush()


def _shortened(text: str, width: int) -> str:
    """Return ``text``, its end replaced by ``…`` when it takes more than ``width`` columns."""
    kept = columns = 0
    for char in text:
        columns += _columns(char)
        if columns > width:
            return text[:kept] + "…"
        if columns < width:  # room is left for the sign
            kept += 1
    return text


def _columns(char: str) -> int:
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
