"""The table of faults: what each is called, how often it is drawn, and what a run must have for it.

`weight` is relative; `needs` names a place that the run prepares before the monitor starts. The group
is what the report sums up under.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.faults import clients, fills, holdings, network, payloads, processes, storage
from tests.chaos.trial import LOG_DISK, OLD_SERVER, STATE_DISK, Act, Trial

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
        stop_fill=(processes.stop("fill"), 8),
        stop_price=(processes.stop("price"), 8),
        stop_reconcile=(processes.stop("reconcile"), 8),
        stop_state=(processes.stop("state"), 8),
        stop_tracker=(processes.stop("tracker"), 8),
        stop_two=(processes.stop("*", 2), 8),
        stop_for_good=(processes.stop_for_good, 8),
        stop_supervisor=(processes.stop_supervisor, 8),
        stop_all=processes.stop_all,
        reload=(processes.reload, 8),
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
        silent_stall_of_one_feed=(network.stall("one"), 8),
        silent_stall_of_both_feeds=(network.stall("both"), 8),
        silent_stall_of_the_states=(network.stall("states"), 8),
        silent_stall_of_everything=(network.stall("all"), 8),
        short_stall=(network.short_stall, 8),
    ),
    *_rows(
        "fills and statements",
        lost_then_followed=(fills.lost_then_followed, 16),
        lost_in_silence=(fills.lost_in_silence, 12),
        lost_round_trip=(fills.lost_round_trip, 8),
        lost_on_one_feed=fills.lost_on_one_feed,
        doubled=fills.doubled,
        backwards=fills.backwards,
        backwards_within_a_message=fills.backwards_within,
        thousand_fills_in_one_message=(fills.thousand_in_one, 8),
        burst=(fills.burst, 8),
        page_boundary_in_one_millisecond=(fills.page_boundary, 8),
        late_statements=fills.late_statements,
        funding=(fills.funding, 8),
        funding_while_away=(fills.funding_while_away, 8),
    ),
    *_rows(
        "clocks",
        exchange_clock_by_an_hour=(fills.venue_clock, 8),
        our_clock_by_an_hour=(fills.monitor_clock, 10, "clock"),
    ),
    *_rows(
        "payloads",
        text_that_is_no_JSON=(payloads.junk("text"), 8),
        cut_JSON=(payloads.junk("cut_json"), 8),
        wrong_types=(payloads.junk("wrong_types"), 8),
        unknown_channel=(payloads.junk("unknown_channel"), 8),
        binary_frames=(payloads.junk("binary"), 8),
        message_of_100_MB=(payloads.huge_message, 8),
        answer_429=(payloads.answer("429"), 8),
        answer_500_null=(payloads.answer("500"), 8),
        answer_HTML=(payloads.answer("html"), 8),
        answer_null=(payloads.answer("null"), 8),
        answer_cut=(payloads.answer("cut"), 8),
        answer_dripped=(payloads.answer("drip"), 8),
        answer_late=(payloads.answer("delay"), 8),
        answer_never=(payloads.answer("close"), 8),
        answer_of_50_MB=(payloads.answer("huge"), 8),
        odd_fill_on_one_feed=(payloads.odd_fill("one"), 8),
        odd_fill_on_both_feeds=(payloads.odd_fill("both"), 8),
        odd_fill_everywhere=(payloads.odd_fill("everywhere"), 8),
        odd_fill_in_answers=(payloads.odd_fill_in_answers, 8),
        odd_statements=(payloads.odd_row("state", ("szi", "positionValue", "unrealizedPnl", "coin"), 8), 8),
        odd_prices=(payloads.odd_row("price", ("markPx",), 20), 8),
        # One row of one of the two feeds: the other one brings it, or an answer does.
        odd_funding=(payloads.odd_row("funding", ("usdc", "szi", "fundingRate", "coin"), 1), 8),
    ),
    *_rows(
        "holdings that are not watched",
        holding_on_spot=(holdings.on_spot, 8),
        holding_on_another_dex=(holdings.on_another_dex, 8),
    ),
    *_rows(
        "older exchanges",
        older_server=(holdings.older_server, 8, OLD_SERVER),
        newer_requests_refused=(holdings.newer_refused, 8),
    ),
    *_rows(
        "disk",
        disk_full=(storage.full(LOG_DISK), 8, LOG_DISK),
        log_folder_read_only=(storage.read_only(LOG_DISK), 8, LOG_DISK),
        state_folder_full=(storage.full(STATE_DISK), 8, STATE_DISK),
        state_folder_read_only=(storage.read_only(STATE_DISK), 8, STATE_DISK),
        file_limit=(storage.file_limit, 8),
        history_corrupted=(storage.history_corrupted, 8),
    ),
    *_rows(
        "clients",
        client_that_never_reads=(clients.never_reads, 8),
        thousand_clients=(clients.thousand, 8),
        rubbish=(clients.rubbish, 8),
    ),
]
BY_NAME = {fault.name: fault for fault in FAULTS}
