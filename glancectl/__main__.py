"""Run glancectl: ``python -m glancectl`` and the console script."""

import os
import sys
import threading

from glancectl import collector


def run() -> None:
    """Run the command line and end the process with its exit code."""
    collector.hold()
    _replace_closed_streams()
    try:
        from glancectl.cli import main

        code = main(sys.argv[1:])
    except KeyboardInterrupt:  # before main() listens to signals
        code = 130
    collector.finish()
    if threading.active_count() > 1:
        # A signal came while other threads wait for answers; Python would wait with them.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _replace_closed_streams() -> None:
    """Open a standard stream that our parent closed, or the next file would take its number.

    What reads finds the end, errors go nowhere, and a result that cannot be written is an error.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            nothing = os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
            os.dup2(nothing, number)
            if nothing != number:
                os.close(nothing)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - for good


if __name__ == "__main__":
    run()
