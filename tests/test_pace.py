"""How fast a transfer may go: as fast as was asked for, alone and shared."""

import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from glancectl.transfer.pace import PIECES, Pace

MIB = 1 << 20


def test_without_a_rate_chunks_pass_as_they_are() -> None:
    chunks = [b"one", b"", b"two" * MIB]
    began = time.monotonic()
    assert list(Pace(None).held(chunks)) == chunks
    assert time.monotonic() - began < 0.1


@given(st.lists(st.binary(max_size=50), max_size=5), st.integers(1, 100))
def test_all_bytes_pass_in_small_pieces(chunks: list[bytes], rate: int) -> None:
    fast = rate * 1_000_000  # no test waits for them
    pieces = list(Pace(fast).held(chunk * 1000 for chunk in chunks))
    assert b"".join(pieces) == b"".join(chunk * 1000 for chunk in chunks)
    assert all(0 < len(piece) <= fast // PIECES for piece in pieces)


def test_a_rate_of_one_byte_is_possible() -> None:
    assert next(Pace(1).held([b"ab"])) == b"a"


def test_a_transfer_takes_its_time_and_flows_evenly() -> None:
    began = time.monotonic()
    times = [time.monotonic() - began for _ in Pace(4 * MIB).held([bytes(2 * MIB)])]
    assert len(times) == PIECES // 2
    assert all(number / PIECES <= at for number, at in enumerate(times, 1))
    assert times[-1] < 2


def test_a_pause_is_not_made_up_for() -> None:
    pace = Pace(4 * MIB)
    list(pace.held([bytes(MIB)]))
    time.sleep(0.5)
    began = time.monotonic()
    list(pace.held([bytes(MIB)]))
    assert time.monotonic() - began >= 0.25


def test_several_threads_share_a_rate() -> None:
    pace = Pace(4 * MIB)

    def transfer() -> None:
        for _ in pace.held([bytes(MIB // 2)]):
            pass

    threads = [threading.Thread(target=transfer) for _ in range(4)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.5 <= time.monotonic() - began < 2
