"""When what was written reaches the disk: nobody waits for it, and a failure is not forgotten."""

import errno
import gc
import os
import threading
import time

import pytest

from hlposmon.journal import fsync as syncers
from hlposmon.journal.verify import verify
from tests.clock import awake_s
from tests.journal.clerk import DAY, Clerk, files_in, lines_in


class Disk:
    """Stands where the kernel's fdatasync stands: it may be slow, or refuse; `synced` are sizes of files."""

    def __init__(self, monkeypatch):
        self.flows = threading.Event()
        self.flows.set()
        self.refuses = False
        self.synced = []
        self.under_way = self.most_under_way = 0
        self.real = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self.fdatasync)

    def fdatasync(self, fd):
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            assert self.flows.wait(30)
            if self.refuses:
                raise OSError(errno.EIO, "Input/output error")
            self.real(fd)
            self.synced.append(os.fstat(fd).st_size)
        finally:
            self.under_way -= 1


@pytest.fixture
def disk(monkeypatch):
    made = Disk(monkeypatch)
    yield made
    made.flows.set()


def until(clerk, condition, within_s=30.0):
    """Let the journal turn until the condition holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        clerk.commit()
        time.sleep(0.005)  # between two turns


def size(folder):
    return files_in(folder)[-1].stat().st_size


def test_each_commit_is_on_the_disk_before_it_returns(tmp_path, disk):
    clerk = Clerk(tmp_path, fsync="each")
    for _ in range(3):
        clerk.write()
        assert disk.synced[-1] == size(tmp_path)
    assert len(disk.synced) == 3


def test_off_never_asks_the_disk(tmp_path, disk):
    clerk = Clerk(tmp_path, fsync="off")
    clerk.write(3)
    clerk.now_ms += DAY
    clerk.write(3)
    clerk.journal.close()
    assert disk.synced == []


def test_batch_is_on_the_disk_a_moment_later(tmp_path, disk):
    clerk = Clerk(tmp_path, fsync="batch")
    clerk.write(3)
    assert disk.synced == []
    until(clerk, lambda: disk.synced == [size(tmp_path)])


def test_a_disk_that_stands_still_does_not_keep_the_journal_from_writing(tmp_path, disk):
    clerk = Clerk(tmp_path, fsync="batch")
    disk.flows.clear()
    clerk.write()
    until(clerk, lambda: disk.under_way)
    began = awake_s()
    for _ in range(100):
        assert clerk.write(5)

    assert awake_s() - began < 2
    assert clerk.sizes() == list(range(1, 502))
    assert (clerk.journal.failure, disk.most_under_way) == (None, 1)
    disk.flows.set()
    until(clerk, lambda: disk.synced and disk.synced[-1] == size(tmp_path))
    assert disk.most_under_way == 1


def test_the_file_of_the_day_before_is_synced_to_its_end(tmp_path, disk):
    clerk = Clerk(tmp_path, fsync="batch")
    clerk.write(3)
    clerk.now_ms += DAY
    clerk.write(3)
    sizes = {path.stat().st_size for path in files_in(tmp_path)}
    until(clerk, lambda: set(disk.synced) == sizes)


@pytest.mark.parametrize("policy", ["each", "batch"])
def test_a_failed_sync_stands_until_all_since_the_last_good_one_was_written_again(tmp_path, disk, policy):
    clerk = Clerk(tmp_path, fsync=policy)
    clerk.write(3)
    until(clerk, lambda: disk.synced)
    path, good = files_in(tmp_path)[0], size(tmp_path)
    disk.refuses = True
    clerk.write(3)
    until(clerk, lambda: clerk.journal.failure is not None)
    assert clerk.journal.failure == f"{path}: not synced: Input/output error"

    whole = path.read_bytes()
    with path.open("r+b") as file:  # the kernel has dropped the pages, and reads from the disk what is there
        file.seek(good)
        file.write(bytes(len(whole) - good))
    clerk.write(1, commit=False)
    disk.refuses = False
    until(clerk, lambda: clerk.journal.failure is None and not clerk.journal.backlog)

    assert path.read_bytes().startswith(whole)
    assert clerk.sizes() == list(range(1, 8))
    [resynced] = [line for line in lines_in(tmp_path) if line["type"] == "resynced"]
    assert (resynced["reason"], resynced["offset"], resynced["unsure"]) == ("Input/output error", good, 0)
    assert resynced["rewritten"] >= len(whole) - good
    assert verify(tmp_path / "trading").faults == []
    [(said, facts)] = clerk.journal.take_remarks()
    assert said == "the disk had refused to sync the audit; it was written again"
    assert facts["file"] == path.name


def test_what_is_kept_to_be_written_again_is_bounded_and_the_rest_is_said_to_be_unsure(
    tmp_path, disk, monkeypatch
):
    monkeypatch.setattr(syncers, "KEPT_BYTES", 2000)
    clerk = Clerk(tmp_path, fsync="batch")
    disk.refuses = True
    for _ in range(10):
        clerk.write()
    until(clerk, lambda: clerk.journal.failure is not None)
    disk.refuses = False
    until(clerk, lambda: clerk.journal.failure is None and not clerk.journal.backlog)

    [resynced] = [line for line in lines_in(tmp_path) if line["type"] == "resynced"]
    assert resynced["unsure"] > 0
    assert resynced["unsure"] + resynced["rewritten"] >= 10 * 600


def test_a_file_that_was_replaced_meanwhile_is_not_written_into(tmp_path, disk):
    clerk = Clerk(tmp_path, fsync="batch")
    clerk.write(3)
    until(clerk, lambda: disk.synced)
    path = files_in(tmp_path)[0]
    disk.refuses = True
    clerk.write(2)
    until(clerk, lambda: clerk.journal.failure is not None)
    path.rename(path.with_name(path.name + ".1"))
    path.write_text("")
    disk.refuses = False
    until(clerk, lambda: clerk.journal.failure is None and not clerk.journal.backlog)
    clerk.write()

    assert verify(tmp_path / "trading").faults == []


def test_the_end_waits_for_the_disk_but_not_for_ever(tmp_path, disk):
    clerk = Clerk(tmp_path, fsync="batch")
    clerk.write(3)
    clerk.journal.close()
    assert disk.synced[-1] == size(tmp_path)

    clerk = Clerk(tmp_path, fsync="batch", now_ms=clerk.now_ms)
    clerk.write(3)
    disk.flows.clear()
    began = awake_s()
    clerk.journal.close(within_s=0.3)
    assert awake_s() - began < 1.5


def test_descriptors_and_threads_are_given_back(tmp_path):
    gc.collect()  # descriptors of earlier tests' objects go now, and not while this test counts
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    threads = set(threading.enumerate())
    for _ in range(5):
        clerk = Clerk(tmp_path, fsync="batch")
        clerk.write()
        clerk.now_ms += DAY
        clerk.write()
        clerk.journal.close()

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert set(threading.enumerate()) <= threads


def test_the_thread_is_woken_once_for_all_that_was_written_in_an_interval(tmp_path, disk):
    clerk = Clerk(tmp_path, fsync="batch")
    for _ in range(300):
        clerk.write(1, commit=False)
        clerk.commit(0.01)  # a hundred batches of fills a second
    until(clerk, lambda: disk.synced and disk.synced[-1] == size(tmp_path))
    clerk.journal.close()

    assert len(disk.synced) <= 6
