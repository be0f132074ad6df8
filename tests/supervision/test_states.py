"""The table of a child's life, pair by pair, written down a second time."""

import itertools

import pytest

from hlposmon.supervision.states import NEXT, Event, Impossible, State, after

TABLE = """
             WANTED    BEAT  SILENT    EXITED   DUE       OVERDUE  UNWANTED
DOWN         STARTING  -     -         -        -         -        -
STARTING     -         UP    ABORTING  BACKOFF  -         -        STOPPING
UP           -         -     ABORTING  BACKOFF  -         -        STOPPING
BACKOFF      -         -     -         -        STARTING  -        DOWN
ABORTING     -         -     -         BACKOFF  -         KILLING  KILLING
STOPPING     -         -     -         DOWN     -         KILLING  -
KILLING      -         -     -         BACKOFF  -         -        -
"""
HEAD, *ROWS = [line.split() for line in TABLE.strip().splitlines()]
EXPECTED = {(row[0], event): to for row in ROWS for event, to in zip(HEAD, row[1:], strict=True)}
PAIRS = list(itertools.product(State, Event))


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=lambda side: side.name)
def test_every_pair_leads_where_the_table_says_or_nowhere(state: State, event: Event):
    expected = EXPECTED[state.name, event.name]
    if expected == "-":
        with pytest.raises(Impossible, match=f"{event.name} .* {state.name}"):
            after(state, event)
    else:
        assert after(state, event) is State[expected]


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        NEXT[State.DOWN, Event.BEAT] = State.UP  # type: ignore[index]


def test_every_process_that_exists_can_be_reaped():
    no_process = {State.DOWN, State.BACKOFF}

    assert {state for state, event in NEXT if event is Event.EXITED} == set(State) - no_process


def test_from_every_state_a_child_that_is_not_wanted_comes_to_rest():
    for start in State:
        reached = {start}
        for _ in State:
            events = (Event.UNWANTED, Event.EXITED, Event.OVERDUE)
            reached |= {NEXT[pair] for pair in itertools.product(reached, events) if pair in NEXT}
        assert State.DOWN in reached


def test_the_numbers_in_shared_memory_stay_what_they_are():
    names = ["DOWN", "STARTING", "UP", "BACKOFF", "ABORTING", "STOPPING", "KILLING"]

    assert [State(number).name for number in range(7)] == names
