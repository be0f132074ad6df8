"""The table of faults: what each is called, how often it is drawn, and what a run must have for it.

`weight` is relative; `needs` names a place that the run prepares before the monitor starts. The group
is what the report sums up under.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.faults import clients, fills, network, payloads, processes, storage
from tests.chaos.trial import LOG_DISK, STATE_DISK, Act, Trial

# Runs share a few processors: what takes longer than this is said, and is no failure. The strict limits
# are those of test_times.
NOTICED_S, HEALED_S = 15.0, 20.0
UNHURRIED = {
    # Only the look of each minute finds it.
    "lost round trip": (75.0, 80.0),
    # Thousands of fills are fetched, or much is read that says nothing.
    "page boundary in one millisecond": (NOTICED_S, 45.0),
    "thousand fills in one message": (NOTICED_S, 30.0),
    "thousand clients": (NOTICED_S, 45.0),
    "message of 100 MB": (NOTICED_S, 45.0),
    "answer of 50 MB": (NOTICED_S, 45.0),
    # What was silent is given up in its own time, which may be after the silence.
    "silent stall of one feed": (NOTICED_S, 30.0),
    "silent stall of both feeds": (NOTICED_S, 30.0),
    "silent stall of the states": (NOTICED_S, 30.0),
    "silent stall of everything": (NOTICED_S, 30.0),
    "short stall": (NOTICED_S, 30.0),
    "funding while away": (NOTICED_S, 30.0),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One row."""

    name: str
    group: str
    act: Callable[[Trial, random.Random], Act]
    weight: int = 10
    needs: str = ""

    @property
    def noticed_within_s(self) -> float:
        """When a fault that came alone must be noticed, if it is at all; generous, for a busy machine."""
        return UNHURRIED.get(self.name, (NOTICED_S, HEALED_S))[0]

    @property
    def healed_within_s(self) -> float:
        """How long after its end all must be well again."""
        return UNHURRIED.get(self.name, (NOTICED_S, HEALED_S))[1]


def _rows(group: str, **acts: Callable[[Trial, random.Random], Act] | tuple[object, ...]) -> list[Fault]:
    found = []
    for name, given in acts.items():
        act, weight, needs = (*given, "")[:3] if isinstance(given, tuple) else (given, 10, "")
        found.append(Fault(name.replace("_", " "), group, act, weight, needs))  # type: ignore[arg-type]
    return found


FAULTS = [
    *_rows(
        "processes killed",
        kill_fill=processes.kill("fill"),
        kill_price=processes.kill("price"),
        kill_reconcile=processes.kill("reconcile"),
        kill_state=processes.kill("state"),
        kill_tracker=processes.kill("tracker"),
        kill_any=processes.kill("*"),
        kill_two=processes.kill("*", 2),
        kill_all_workers=processes.kill("*", 99),
        kill_again_and_again=(processes.kill_again, 8),
        kill_supervisor=processes.kill_supervisor,
        power_cut=processes.power_cut,
        power_cut_with_lines_lost=processes.power_cut_torn,
    ),
    *_rows(
        "processes stopped",
        stop_fill=(processes.stop("fill"), 6),
        stop_price=(processes.stop("price"), 6),
        stop_reconcile=(processes.stop("reconcile"), 6),
        stop_state=(processes.stop("state"), 6),
        stop_tracker=(processes.stop("tracker"), 6),
        stop_two=(processes.stop("*", 2), 8),
        stop_for_good=(processes.stop_for_good, 8),
        stop_supervisor=(processes.stop_supervisor, 6),
        stop_all=processes.stop_all,
        reload=(processes.reload, 6),
    ),
    *_rows(
        "connections",
        close=network.drop,
        reset=network.abort,
        reset_again_and_again=(network.flapping, 8),
        refuse_websockets=(network.refused("websocket"), 8),
        refuse_requests=(network.refused("rest"), 8),
        refuse_all=(network.refused("all"), 8),
        outage_of_8_s=(network.outage, 8),
        silent_stall_of_one_feed=(network.stall("one"), 6),
        silent_stall_of_both_feeds=(network.stall("both"), 6),
        silent_stall_of_the_states=(network.stall("states"), 6),
        silent_stall_of_everything=(network.stall("all"), 6),
        short_stall=(network.short_stall, 8),
    ),
    *_rows(
        "fills and statements",
        lost_then_followed=(fills.lost_then_followed, 16),
        lost_in_silence=(fills.lost_in_silence, 12),
        lost_round_trip=(fills.lost_round_trip, 6),
        lost_on_one_feed=fills.lost_on_one_feed,
        doubled=fills.doubled,
        backwards=fills.backwards,
        backwards_within_a_message=fills.backwards_within,
        thousand_fills_in_one_message=(fills.thousand_in_one, 8),
        burst=(fills.burst, 8),
        page_boundary_in_one_millisecond=(fills.page_boundary, 8),
        late_statements=fills.late_statements,
        funding=(fills.funding, 6),
        funding_while_away=(fills.funding_while_away, 8),
    ),
    *_rows(
        "clocks",
        exchange_clock_by_an_hour=(fills.venue_clock, 8),
        our_clock_by_an_hour=(fills.monitor_clock, 10, "clock"),
    ),
    *_rows(
        "payloads",
        text_that_is_no_JSON=(payloads.junk("text"), 6),
        cut_JSON=(payloads.junk("cut_json"), 6),
        wrong_types=(payloads.junk("wrong_types"), 6),
        unknown_channel=(payloads.junk("unknown_channel"), 6),
        binary_frames=(payloads.junk("binary"), 6),
        message_of_100_MB=(payloads.huge_message, 6),
        answer_429=(payloads.answer("429"), 6),
        answer_500_null=(payloads.answer("500"), 6),
        answer_HTML=(payloads.answer("html"), 6),
        answer_null=(payloads.answer("null"), 6),
        answer_cut=(payloads.answer("cut"), 6),
        answer_dripped=(payloads.answer("drip"), 6),
        answer_late=(payloads.answer("delay"), 6),
        answer_never=(payloads.answer("close"), 6),
        answer_of_50_MB=(payloads.answer("huge"), 6),
    ),
    *_rows(
        "disk",
        disk_full=(storage.full(LOG_DISK), 8, LOG_DISK),
        log_folder_read_only=(storage.read_only(LOG_DISK), 8, LOG_DISK),
        state_folder_full=(storage.full(STATE_DISK), 8, STATE_DISK),
        state_folder_read_only=(storage.read_only(STATE_DISK), 8, STATE_DISK),
        file_limit=(storage.file_limit, 6),
        history_corrupted=(storage.history_corrupted, 8),
    ),
    *_rows(
        "clients",
        client_that_never_reads=(clients.never_reads, 8),
        thousand_clients=(clients.thousand, 6),
        rubbish=(clients.rubbish, 8),
    ),
]
BY_NAME = {fault.name: fault for fault in FAULTS}
