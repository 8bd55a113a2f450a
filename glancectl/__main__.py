"""Run glancectl: ``python -m glancectl`` and the console script."""

import os
import sys
import threading


def run() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        from glancectl.cli import main

        code = main(sys.argv[1:])
    except KeyboardInterrupt:  # before main() listens to signals
        code = 130
    if threading.active_count() > 1:
        # A signal came while other threads wait for answers; Python would wait with them.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
