"""Digests beside a transfer, of files, and as users write them."""

import hashlib
import threading
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glancectl.errors import Exit, RefusedError
from glancectl.transfer.digest import Digests, file_digest, hashing

MIB = 1 << 20


def gone() -> bool:
    """Wait until no hashing thread is left."""
    deadline = time.monotonic() + 10
    while hashing_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not hashing_threads()


def hashing_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "digests"]


def hand_over(digests: Digests, chunks: list[bytes]) -> None:
    for chunk in chunks:
        digests.update(chunk)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_digests_do_not_depend_on_the_chunks(chunks):
    with Digests(["md5", "sha256", "sha512", "sha3_256", "blake2b"]) as digests:
        assert list(hashing(chunks, digests)) == chunks
        found = digests.results()
    data = b"".join(chunks)
    assert found == {name: hashlib.new(name, data).hexdigest() for name in found}
    assert list(found) == ["md5", "sha256", "sha512", "sha3_256", "blake2b"]


def test_results_may_be_asked_for_again_even_after_close():
    digests = Digests(["sha256"])
    digests.update(b"x")
    first = digests.results()
    digests.close()
    assert digests.results() == first == {"sha256": hashlib.sha256(b"x").hexdigest()}
    assert gone()


def test_no_algorithm_no_result():
    with Digests([]) as digests:
        digests.update(b"x")
        assert digests.results() == {}


@pytest.mark.parametrize("name", ["sha-999", "", "shake_128"])
def test_an_unknown_algorithm_is_refused_before_a_thread_starts(name):
    with pytest.raises(RefusedError, match="is not known here") as caught:
        Digests(["sha512", name])
    assert caught.value.exit == Exit.REFUSED
    assert caught.value.hint == "transfers do without it: --no-verify"
    assert not hashing_threads()


def test_close_does_not_hash_what_waits():
    digests = Digests(["sha512"])
    for _ in range(4):
        digests.update(bytes(4 * MIB))
    digests.close()
    assert gone()
    with pytest.raises(RuntimeError, match="after close"):
        digests.results()
    with pytest.raises(RuntimeError, match="after results"):
        digests.update(b"x")


def test_closing_twice_and_without_data_is_fine():
    digests = Digests(["sha512"])
    digests.close()
    digests.close()
    assert gone()


def test_an_error_in_the_thread_comes_out_of_update_and_results():
    digests = Digests(["sha512"])
    digests.update("not bytes")  # type: ignore[arg-type]  # what the test is about
    with pytest.raises(TypeError):
        hand_over(digests, [b"x"] * 100)  # far more than may wait: blocking would hang here
    with pytest.raises(TypeError):
        digests.results()
    assert gone()


def test_the_thread_ends_when_the_consumer_fails():
    def failing():
        yield b"a"
        raise OSError("gone")

    def transfer():
        with Digests(["sha512"]) as digests:
            for _ in hashing(failing(), digests):
                pass

    with pytest.raises(OSError, match="gone"):
        transfer()
    assert gone()


def test_memory_stays_flat_because_few_chunks_may_wait():
    """Hand over chunks faster than they can be hashed: update must wait for the thread."""
    with Digests(["sha512", "sha3_512"]) as digests:
        tracemalloc.start()
        try:
            for _ in range(40):
                digests.update(bytes(MIB))
            _now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        digests.results()
    assert peak < 8 * MIB


def test_hashing_goes_on_beside_the_caller():
    """The caller's own time is not the time to hash; sha3 takes milliseconds for a chunk."""
    chunk = bytes(MIB)
    started = time.process_time_ns()
    hashlib.sha3_512(chunk)
    alone = time.process_time_ns() - started
    with Digests(["sha3_512"]) as digests:
        started = time.thread_time_ns()
        for _ in range(20):
            digests.update(chunk)
        spent = time.thread_time_ns() - started
        digests.results()
    assert spent < 20 * alone / 2


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, 3 * MIB + 5])
def test_file_digest(tmp_path, size):
    path = tmp_path / "data"
    data = b"ab" * (size // 2) + b"c" * (size % 2)
    path.write_bytes(data)
    assert file_digest(path, "sha256") == hashlib.sha256(data).hexdigest()


def test_file_digest_of_what_cannot_be_read(tmp_path):
    with pytest.raises(RefusedError) as caught:
        file_digest(tmp_path / "none", "sha256")
    assert caught.value.message == f"cannot read {tmp_path / 'none'}"
    assert caught.value.cause == "No such file or directory"
