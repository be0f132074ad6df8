"""The snapshot as the tracker keeps it: where a file or a number has no room, it is said and survived."""

import gc
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from hlposmon.client.snapshot import Snapshot
from hlposmon.config import Flags, Settings, load
from hlposmon.domain.position import Position
from hlposmon.domain.rendering import Renderer
from hlposmon.domain.verdict import Verdict
from hlposmon.domain.views import View
from hlposmon.snapshot.layout import BLOCK_BYTES
from hlposmon.tracker.snapshot_output import LEAST_CAPACITY, SnapshotOutput

UPDATED_MS = 1_790_000_000_000
LONG = Decimal("123456789012345.123456789012345678")


def held(coin: str, size: Decimal | str = "1", account: str = "main", **changes: object) -> View:
    """A proven position, bought at 50000."""
    view = View(
        account=account,
        key=f"hyperliquid:Perp:{coin}",
        position=Position(size=Decimal(size), cost=Decimal(size) * 50000, fills=1),
        mark=Decimal(50000),
        verdict=Verdict.PROVEN,
        reason=None,
        leverage=None,
        margin_used=None,
        liquidation_price=None,
        last_fill_ms=1_790_000_000_000,
    )
    return replace(view, **changes)  # type: ignore[arg-type]


def many(count: int) -> list[View]:
    return [held(f"C{number}") for number in range(count)]


@contextmanager
def room_for(positions: int) -> Iterator[None]:
    """For new files: this process may write none that is larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((1 + positions) * BLOCK_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def dated(views: list[View]) -> list[tuple[View, int]]:
    return [(view, UPDATED_MS) for view in views]


def beat(output: SnapshotOutput) -> None:
    output.beat(7, "unhealthy" if output.failure else "healthy")


def open_descriptors() -> int:
    gc.collect()  # those of earlier tests' objects go now, and not while this test counts
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    environ = {"XDG_STATE_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    return load(Flags(addresses=("0x" + "1" * 40,), socket=tmp_path / "m.sock"), environ)


@pytest.fixture
def path(settings: Settings) -> Path:
    return settings.paths.snapshot


@pytest.fixture
def output() -> Iterator[SnapshotOutput]:
    output = SnapshotOutput(Renderer())
    yield output
    output.close()


def shown(path: Path) -> dict[str, tuple[str, str]]:
    """Size and verdict by coin."""
    with Snapshot.open(path) as opened:
        records = opened.positions(all=True)
    return {record.key.split(":")[2]: (str(record.size), record.verdict) for record in records}


# --- no room for the file ---


def test_the_sums_are_of_all_positions_also_without_a_snapshot(settings: Settings):
    renderer = Renderer()
    output = SnapshotOutput(renderer)
    with room_for(10):
        output.renew(settings, dated(many(3)))
        output.show(held("C9", "2"), UPDATED_MS)

    assert output.failure is not None
    assert renderer.sums("main").count == 4


def test_without_room_at_the_start_there_is_no_snapshot_until_there_is_room(
    output: SnapshotOutput, settings: Settings, path: Path
):
    with room_for(10):
        output.renew(settings, dated(many(3)))
        output.show(held("C1", "2"), UPDATED_MS)
        beat(output)
    assert (f"{path}: File too large", False) == (output.failure, path.exists())

    output.renew(settings, dated(many(3)))
    beat(output)
    assert (None, 3) == (output.failure, len(shown(path)))


def test_a_position_that_the_full_file_has_no_room_for_is_said_and_the_others_go_on(
    output: SnapshotOutput, settings: Settings, path: Path
):
    output.renew(settings, dated(many(LEAST_CAPACITY)))
    with room_for(LEAST_CAPACITY):
        output.show(held("NEW"), UPDATED_MS)
        output.show(held("C0", "2"), UPDATED_MS)
        output.show(held("NEW", "2"), UPDATED_MS)
        beat(output)
    assert f"{path}: File too large" == output.failure
    with Snapshot.open(path) as opened:
        assert ("live", "unhealthy", LEAST_CAPACITY) == (opened.state, opened.status, len(shown(path)))
    assert ("2", "proven") == shown(path)["C0"]

    output.renew(settings, dated([*many(LEAST_CAPACITY), held("NEW", "2")]))
    beat(output)
    assert (None, LEAST_CAPACITY + 1, ("2", "proven")) == (
        output.failure,
        len(shown(path)),
        shown(path)["NEW"],
    )


def test_a_reader_that_had_the_full_file_open_follows_to_the_one_with_room(
    output: SnapshotOutput, settings: Settings, path: Path
):
    output.renew(settings, dated(many(LEAST_CAPACITY)))
    beat(output)
    with Snapshot.open(path) as opened:
        with room_for(LEAST_CAPACITY):
            output.show(held("NEW"), UPDATED_MS)
            assert opened.position("hyperliquid:Perp:NEW") is None
        output.renew(settings, dated([*many(LEAST_CAPACITY), held("NEW")]))

        found = opened.position("hyperliquid:Perp:NEW")
        assert (found is not None, opened.state, opened.status) == (True, "live", "healthy")


def test_trying_again_and_again_leaves_no_file_and_no_descriptor(
    output: SnapshotOutput, settings: Settings, path: Path
):
    views = many(LEAST_CAPACITY + 1)
    output.renew(settings, dated(views[:-1]))
    descriptors, files = open_descriptors(), sorted(path.parent.iterdir())
    inode = path.stat().st_ino
    with room_for(LEAST_CAPACITY):
        for _ in range(50):
            output.show(views[-1], UPDATED_MS)
            output.renew(settings, dated(views))

    assert (descriptors, files) == (open_descriptors(), sorted(path.parent.iterdir()))
    assert inode == path.stat().st_ino, "a file with less in it never takes its place"


def test_a_folder_that_is_gone_is_survived_and_the_file_is_back_with_it(
    output: SnapshotOutput, settings: Settings, path: Path
):
    output.renew(settings, dated(many(2)))
    away = path.parent.with_name(path.parent.name + "-away")
    path.parent.rename(away)
    output.renew(settings, dated(many(3)))
    assert f"{path}: No such file or directory" == output.failure
    away.rename(path.parent)
    output.renew(settings, dated(many(3)))

    assert (None, 3) == (output.failure, len(shown(path)))


def test_what_is_no_longer_watched_is_stale_where_there_is_no_room_for_a_file_without_it(
    output: SnapshotOutput, settings: Settings, path: Path
):
    output.renew(settings, dated([held("BTC"), held("ETH", account="hedge")]))
    with room_for(10):
        output.renew(settings, dated([held("BTC")]))
        beat(output)
        with Snapshot.open(path) as opened:
            assert [("BTC", "proven", ""), ("ETH", "stale", "no longer watched")] == [
                (one.key.split(":")[2], one.verdict, one.verdict_reason) for one in opened.positions()
            ]
    output.renew(settings, dated([held("BTC")]))

    assert ["BTC"] == list(shown(path))


# --- no room for a number ---


def test_a_size_that_is_too_long_is_shown_rounded_and_never_as_proven(
    output: SnapshotOutput, settings: Settings, path: Path
):
    output.renew(settings, dated([held("BTC", LONG), held("ETH")]))
    beat(output)

    with Snapshot.open(path) as opened:
        btc = opened.position("hyperliquid:Perp:BTC")
        assert btc is not None
        assert "123456789012345.1234567890123457" == str(btc.size)
        assert ("unproven", "more digits than the snapshot holds: size") == (btc.verdict, btc.verdict_reason)
    assert ("1", "proven") == shown(path)["ETH"]
    assert output.complaints == [
        ("main", f"main BTC-USD: size {LONG} does not fit 32 bytes exactly, and may not be rounded")
    ]
    assert output.failure is None, "the file itself is well, and need not be made anew"


def test_a_size_that_grows_too_long_does_not_leave_the_old_one_standing_as_proven(
    output: SnapshotOutput, settings: Settings, path: Path
):
    output.renew(settings, dated([held("BTC")]))
    output.show(held("BTC", LONG), UPDATED_MS)
    beat(output)
    assert "unproven" == shown(path)["BTC"][1]
    output.show(held("BTC", "2"), UPDATED_MS)

    assert (("2", "proven"), []) == (shown(path)["BTC"], output.complaints)


def test_a_position_in_drift_stays_in_drift_when_its_size_is_too_long(
    output: SnapshotOutput, settings: Settings, path: Path
):
    output.renew(settings, dated([held("BTC", LONG, verdict=Verdict.DRIFT, reason="the venue states 2")]))
    beat(output)

    with Snapshot.open(path) as opened:
        btc = opened.position("hyperliquid:Perp:BTC")
        assert btc is not None
        assert "drift" == btc.verdict
        assert "more digits than the snapshot holds: size; the venue states 2" == btc.verdict_reason


def test_a_name_that_is_too_long_is_not_shown_under_another_and_is_said(
    output: SnapshotOutput, settings: Settings, path: Path
):
    output.renew(settings, dated([held("X" * 60), held("ETH")]))
    beat(output)

    assert ["ETH"] == list(shown(path))
    ((account, complaint),) = output.complaints
    assert account == "main"
    assert complaint.startswith(f"main {'X' * 60}-USD: cannot be shown: key ")


def test_a_renewal_forgets_the_complaints_of_what_is_no_longer_watched(
    output: SnapshotOutput, settings: Settings
):
    output.renew(settings, dated([held("BTC", LONG)]))
    output.renew(settings, dated([held("ETH")]))

    assert [] == output.complaints
