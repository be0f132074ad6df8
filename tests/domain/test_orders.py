"""Whatever way the same fills come, the book is the same."""

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from hlposmon.domain.changes import Adopted, Drift
from hlposmon.domain.reports import Fill
from tests.domain.exchange import Truth, to_decimal
from tests.domain.language import Desk, book_of, fill, near

LATER = 4000.0


@dataclass(frozen=True)
class Tale:
    """Fills that chain, and the exact size and entry before the first and after each."""

    fills: list[Fill]
    states: list[tuple[Decimal, Decimal]]

    def block_ends(self) -> list[int]:
        """How many fills had been at each moment between two milliseconds."""
        inside = {i for i in range(1, len(self.fills)) if self.fills[i].time_ms == self.fills[i - 1].time_ms}
        return [i for i in range(len(self.fills) + 1) if i not in inside]


@st.composite
def tales(draw, *, most: int = 14, spread_ms: tuple[int, ...] = (0, 0, 1, 700, 4000)) -> Tale:
    """Round trips, flips and flats. Inside a millisecond no size comes twice: only one order chains."""
    truth, now_ms, met = Truth(), 0, {0}
    fills: list[Fill] = []
    states = [(Decimal(0), Decimal(0))]
    for number in range(1, draw(st.integers(1, most)) + 1):
        moved = draw(st.sampled_from((-3, -2, -1, 1, 2, 3)))
        price = draw(st.integers(90, 110))
        step_ms = draw(st.sampled_from(spread_ms))
        if step_ms or int(truth.size) + moved in met:
            now_ms, met = now_ms + (step_ms or 1), {int(truth.size)}
        side = "buy" if moved > 0 else "sell"
        fills.append(
            fill(
                f"tid={number} {side} {abs(moved)} BTC @ {price} from {int(truth.size)} "
                f"at {now_ms / 1000} fee 0.{number:04} pnl {number}"
            )
        )
        truth.fill(truth.size - truth.size + moved, truth.size - truth.size + price)
        met.add(int(truth.size))
        states.append((to_decimal(truth.size), to_decimal(truth.entry)))
    return Tale(fills, states)


def batches(draw, fills: list[Fill]) -> list[list[Fill]]:
    parts: list[list[Fill]] = []
    rest = list(fills)
    while rest:
        size = draw(st.integers(1, len(rest)))
        parts.append(rest[:size])
        rest = rest[size:]
    return parts


def mixed_inside_milliseconds(draw, fills: list[Fill]) -> list[Fill]:
    by_ms: dict[int, list[Fill]] = {}
    for one in fills:
        by_ms.setdefault(one.time_ms, []).append(one)
    return [one for group in by_ms.values() for one in draw(st.permutations(group))]


def straight(tale: Tale) -> Desk:
    desk = book_of("")
    for one in tale.fills:
        desk.told(one)
    return desk


def check_same(desk: Desk, tale: Tale) -> None:
    plain = straight(tale)
    assert desk.position().size == tale.states[-1][0]
    assert near(desk.position().entry_price, tale.states[-1][1] if tale.states[-1][0] else None)
    assert near(desk.position().realized, plain.position().realized)
    assert near(desk.position().cost, plain.position().cost)
    for name in ("fees", "closed_pnl", "funding", "fills"):
        assert getattr(desk.position(), name) == getattr(plain.position(), name), name
    assert desk.filled() == Counter(tale.fills)
    assert desk.book.doubtful() == []


@given(st.data())
def test_two_feeds_with_all_fills_interleaved_split_and_mixed_inside_a_millisecond(data):
    tale = data.draw(tales())
    desk = book_of("")
    roads = [batches(data.draw, mixed_inside_milliseconds(data.draw, tale.fills)) for _ in range(2)]
    while any(roads):
        road = data.draw(st.sampled_from([one for one in roads if one]))
        desk.told(*road.pop(0))

    check_same(desk, tale)


@given(st.data())
@settings(max_examples=150)
def test_fills_one_by_one_in_any_order_with_any_repetition(data):
    tale = data.draw(tales())
    desk = book_of("")
    for one in data.draw(st.permutations(tale.fills + data.draw(st.lists(st.sampled_from(tale.fills))))):
        desk.told(one)

    check_same(desk, tale)


@given(st.data())
def test_funding_in_between_is_kept_whatever_comes_late(data):
    tale = data.draw(tales())
    desk = book_of("")
    for hour, one in enumerate(data.draw(st.permutations(tale.fills)), start=1):
        desk.told(one)
        desk.funded("BTC", "0.25", hour * 3600)

    assert desk.position().funding == Decimal("0.25") * len(tale.fills)
    assert desk.position().fees == sum(one.fee for one in tale.fills)
    assert desk.size() == tale.states[-1][0]


def state_text(state: tuple[Decimal, Decimal]) -> str:
    size, entry = state
    return f"BTC {'long' if size > 0 else 'short'} {abs(size):f} @ {entry:f} ~ 0.{'0' * 40}1" if size else ""


@given(st.data())
@settings(max_examples=200)
def test_a_book_begun_by_a_statement_in_the_middle_equals_one_built_from_fills(data):
    """Before it came its fills and some that it lacks, after it those from any earlier point on."""
    tale = data.draw(tales(spread_ms=(0, 1, 700, 4000, 20_000)))
    stands = data.draw(st.sampled_from(tale.block_ends()))
    before = data.draw(st.sampled_from([0, *range(stands, len(tale.fills) + 1)]))
    again = data.draw(st.integers(0, before))
    after = tale.fills[stands - 1].time_ms if stands else tale.fills[0].time_ms - 1
    desk = Desk()
    desk.told(*tale.fills[:before])
    desk.stated(state_text(tale.states[stands]), at=(after - 1_700_000_000_000) / 1000)
    desk.told(*tale.fills[again:])

    size, entry = tale.states[-1]
    assert desk.size() == size
    assert near(desk.position().entry_price, entry if size else None)
    assert desk.book.doubtful() == []
    assert max(desk.filled().values(), default=1) == 1
    assert desk.filled() == Counter(tale.fills[stands:])


@given(st.data())
@settings(max_examples=200)
def test_a_book_begun_amid_live_fills_tells_all_from_the_first_of_them_on(data):
    """History, live fills of which any may be lost, a statement of any moment, and then what was lost."""
    tale = data.draw(tales(spread_ms=(0, 1, 700, 4000, 20_000)))
    count = len(tale.fills)
    begins = data.draw(st.sampled_from([end for end in tale.block_ends() if end < count]))
    stands = data.draw(st.sampled_from([end for end in tale.block_ends() if end >= begins]))
    live = [tale.fills[begins], *data.draw(st.lists(st.sampled_from(tale.fills[begins:]), unique=True))]
    desk = Desk()
    ways = [(desk.heard, one) for one in live]
    ways += [(desk.told, one) for one in data.draw(st.lists(st.sampled_from(tale.fills), unique=True))]
    for way, one in data.draw(st.permutations(ways)):
        way(one)
    said = (tale.fills[stands - 1] if stands else tale.fills[0]).time_ms
    desk.stated(state_text(tale.states[stands]), at=(said - 1_700_000_000_000) / 1000)
    for one in data.draw(st.permutations(tale.fills)):
        desk.told(one)
    size, entry = tale.states[-1]
    for turn in (1, 2, 3):
        desk.stated(state_text(tale.states[-1]), at=LATER + 10 * turn, fetched=-100)

    assert desk.size() == size
    assert near(desk.position().entry_price, entry if size else None)
    assert not desk.of(Drift)
    assert desk.book.doubtful() == []
    assert desk.filled() == Counter(tale.fills[begins:])
    assert desk.position().fees == sum(one.fee for one in tale.fills[begins:])
    assert desk.position().fills == count - begins


@given(st.data())
@settings(max_examples=150)
def test_wherever_a_first_statement_falls_the_next_one_finds_nothing_to_say_of_sizes(data):
    """Lagging, single fills in any order of milliseconds: size at once, entry at the next statement."""
    tale = data.draw(tales())
    stands = data.draw(st.sampled_from(tale.block_ends()))
    lag = data.draw(st.sampled_from((0.0, 0.0, 1.0, 9.0)))
    after = tale.fills[stands - 1].time_ms if stands else tale.fills[0].time_ms - 1
    said = (after - 1_700_000_000_000) / 1000 + lag
    blocks: dict[int, list[Fill]] = {}
    for one in tale.fills:
        blocks.setdefault(one.time_ms, []).append(one)
    order = data.draw(st.permutations(list(blocks.values())))
    split = data.draw(st.integers(0, len(order)))
    desk = Desk()
    for block in order[:split]:
        desk.told(*block)
    desk.stated(state_text(tale.states[stands]), at=said)
    for block in order[split:]:
        desk.told(*block)
    size, entry = tale.states[-1]
    for turn in (1, 2, 3):
        desk.stated(state_text(tale.states[-1]), at=LATER + 10 * turn, fetched=-100)

    assert desk.size() == size
    assert near(desk.position().entry_price, entry if size else None)
    assert not desk.of(Drift)
    assert desk.book.doubtful() == []
    assert max(desk.filled().values(), default=1) == 1
    assert len(desk.of(Adopted)) <= 2


@given(st.data())
@settings(max_examples=150)
def test_a_restart_at_any_instant_and_any_old_fills_again(data):
    tale = data.draw(tales())
    desk = book_of("")
    counted: Counter[Fill] = Counter()
    done = 0
    while done < len(tale.fills):
        step = data.draw(st.integers(1, len(tale.fills) - done))
        desk.told(*tale.fills[done : done + step])
        done += step
        if data.draw(st.booleans()):
            counted += desk.filled()
            desk = desk.restarted()
        desk.told(*tale.fills[data.draw(st.integers(0, done)) : done])
    counted += desk.filled()

    plain = straight(tale)
    assert desk.position() == plain.position()
    assert counted == Counter(tale.fills)
    assert desk.book.doubtful() == []
