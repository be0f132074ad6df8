"""A key has one deadline, the last that was set."""

from hypothesis import given
from hypothesis import strategies as st

from hlposmon.engine.deadlines import Deadlines

TIMES = st.floats(0, 100, allow_nan=False)


def test_what_is_due_is_taken_once_and_the_earliest_first():
    deadlines = Deadlines[str]()
    deadlines.set("b", 2.0)
    deadlines.set("a", 1.0)
    deadlines.set("c", 9.0)

    assert (deadlines.take(0.5), deadlines.take(2.0), deadlines.take(2.0)) == ([], ["a", "b"], [])
    assert "c" in deadlines


@given(st.lists(st.tuples(st.sampled_from("abc"), TIMES | st.none()), max_size=30), TIMES)
def test_the_last_deadline_of_a_key_counts_and_a_cleared_one_never_comes(steps, now_s):
    deadlines, known = Deadlines[str](), {}
    for key, due_s in steps:
        if due_s is None:
            deadlines.clear(key)
            known.pop(key, None)
        else:
            deadlines.set(key, due_s)
            known[key] = due_s

    assert sorted(deadlines.take(now_s)) == sorted(key for key, due_s in known.items() if due_s <= now_s)
    assert {key for key in "abc" if key in deadlines} == {
        key for key, due_s in known.items() if due_s > now_s
    }
