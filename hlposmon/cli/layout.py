"""What of the accounts and their rows is shown where the terminal's height is limited. It renders nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich.text import Text

from hlposmon.cli.accounts import head_parts
from hlposmon.cli.columns import fold
from hlposmon.cli.groups import Group, Market, Shown


@dataclass(frozen=True, slots=True)
class Block:
    """An account's head line, folded, and those of its markets and rows that are shown."""

    head: list[Text]
    markets: tuple[Market, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The blocks, whether each market has a heading, and how many rows and accounts are left out."""

    blocks: list[Block]
    has_headings: bool
    rows_left_out: int
    accounts_left_out: int


def lay_out(shown: Shown, width: int, height: int | None, *, with_sums: bool) -> Layout:
    """Lay out the accounts for this width and height in lines; None is as high as it takes.

    In a limited height, first the sums of the accounts give way, then accounts, which have half of the height
    for their heads, then the headings of the markets, then rows. At least one account and one row are shown,
    and no account without rows in place of one that has some.
    Each kind of what is left out takes a line, which counts it.
    """
    heads, groups = _heads(shown, width, height, with_sums=with_sums), list(shown.groups)
    has_headings = any(market.scope for group in groups for market in group.markets)
    if height is None:
        blocks = [Block(head, group.markets) for head, group in zip(heads, groups, strict=True)]
        return Layout(blocks, has_headings, 0, 0)
    all_rows = sum(map(_count, groups))
    share = height if not all_rows else height // 2
    kept = _kept(groups, [len(head) for head in heads], share)
    left_out = len(groups) - len(kept)
    groups, heads = [groups[place] for place in kept], [heads[place] for place in kept]
    rows = sum(map(_count, groups))
    room = height - sum(map(len, heads)) - bool(left_out) - 1  # less the titles of the table
    if rows < all_rows or rows > room:
        rows, has_headings = min(rows, max(1, room - 1)), False
    has_headings &= rows + sum(len(group.markets) for group in groups) <= room
    markets = _first(groups, rows)
    blocks = [Block(head, own) for head, own in zip(heads, markets, strict=True)]
    return Layout(blocks, has_headings, all_rows - rows, left_out)


def _heads(shown: Shown, width: int, height: int | None, *, with_sums: bool) -> list[list[Text]]:
    with_count = bool(shown.rows) and len(shown.groups) > 1

    def fold_all(*, with_sums: bool) -> list[list[Text]]:
        parts = (head_parts(group, with_sums=with_sums, with_count=with_count) for group in shown.groups)
        return [list(fold(own, width)) for own in parts]

    heads = fold_all(with_sums=with_sums)
    is_too_high = height is not None and sum(map(len, heads)) > height // 2
    return fold_all(with_sums=False) if with_sums and is_too_high else heads


def _kept(groups: Sequence[Group], heights: Sequence[int], room: int) -> list[int]:
    """The places of the groups whose heads fit, with a line for the count of the others; at least one."""
    if sum(heights) <= room:
        return list(range(len(heights)))
    kept: list[int] = []
    used = 1
    for place in sorted(range(len(groups)), key=lambda place: not groups[place].markets):
        used += heights[place]
        if kept and used > room:
            break
        kept.append(place)
    return sorted(kept)


def _count(group: Group) -> int:
    return sum(len(market.rows) for market in group.markets)


def _first(groups: Sequence[Group], rows: int) -> Iterator[tuple[Market, ...]]:
    """The markets of each group, of which together no more than the first `rows` rows are left."""
    for group in groups:
        kept = []
        for market in group.markets:
            own = market.rows[:rows]
            rows -= len(own)
            if own:
                kept.append(replace(market, rows=own))
        yield tuple(kept)
