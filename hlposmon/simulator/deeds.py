"""Scripted actions on the world: trades, prices, time. Each reads all its arguments before it acts.

The table in `control` lists the arguments.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from hlposmon.simulator.account import Account
from hlposmon.simulator.facts import Fill, Order, Row
from hlposmon.simulator.numbers import lawful, text
from hlposmon.simulator.schedule import Flow
from hlposmon.simulator.script import Script, ScriptError
from hlposmon.simulator.stage import Stage
from hlposmon.simulator.truth import flow_row


def account_of(stage: Stage, value: Any) -> Account:
    """The account of an address. Raises ScriptError if there is none."""
    try:
        return stage.world.account(str(value))
    except KeyError:
        raise ScriptError(f"{value!r} is no account of this exchange") from None


def coin_of(stage: Stage, value: Any) -> str:
    """The name of a coin. Raises ScriptError if there is no such coin."""
    if value not in stage.world.quotes:
        raise ScriptError(f"{value!r} is no coin of this exchange")
    return str(value)


def held_of(stage: Stage, script: Script) -> tuple[Account, str]:
    """An account and a coin that it holds."""
    account, coin = account_of(stage, script.value("account")), coin_of(stage, script.value("coin"))
    if coin not in account.positions:
        raise ScriptError(f"{account.address} holds no {coin}")
    return account, coin


@dataclass(frozen=True, slots=True)
class Kind:
    """What a script says of the order of a fill: taker or maker, through a front end with a fee of its own, a
    slice of the TWAP order of this number, the other party of this user's liquidation."""

    crossed: bool = True
    builder: bool = False
    twap: int | None = None
    liquidated: str | None = None


def fills(stage: Stage, script: Script) -> Row:
    """Execute the given fills, or a number of random ones."""
    if script.value("fills", None) is None:
        return _by_chance(stage, script)
    rows, same_block = script.value("fills"), script.flag("same_block")
    script.end()
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ScriptError("fills must be a list of objects")
    ready = [_explicit(stage, Script(row)) for row in rows]
    time = stage.world.block(stage.now())
    order, last, made = stage.world.order(), Kind(), []
    for account, coin, change, price, kind in ready:
        if not same_block or kind != last:
            order, last = _order(stage, coin, kind), kind
        at = time if same_block else stage.world.block(stage.now())
        made.append(stage.world.trade(account, coin, change, price, order, at))
    return {"fills": [_row(fill) for fill in made]}


def _order(stage: Stage, coin: str, kind: Kind) -> Order:
    """A new order of that kind."""
    world = stage.world
    if kind.twap is not None:
        return world.slice_of_twap(kind.twap)
    order = world.order(crossed=kind.crossed, builder=kind.builder)
    return order if kind.liquidated is None else world.against(order, kind.liquidated, coin)


def _kind(row: Script) -> Kind:
    twap, liquidated = row.value("twap", None), row.value("liquidated", None)
    return Kind(
        crossed=row.flag("crossed", default=True),
        builder=row.flag("builder"),
        twap=None if twap is None else row.whole("twap"),
        liquidated=None if liquidated is None else str(liquidated),
    )


def _explicit(stage: Stage, row: Script) -> tuple[Account, str, Fraction, Fraction, Kind]:
    account, coin = account_of(stage, row.value("account")), coin_of(stage, row.value("coin"))
    side, size = row.one_of("side", ("B", "A")), row.exact("size")
    price, kind = row.exact("price"), _kind(row)
    row.end()
    places = stage.world.quotes[coin].market.sz_decimals
    if size <= 0 or (size * 10**places).denominator != 1:
        raise ScriptError(f"size {text(size)} of {coin} must be positive, with at most {places} decimals")
    if price <= 0 or lawful(price, places) != price:
        raise ScriptError(f"{text(price)} is no lawful price of {coin}: try {text(lawful(price, places))}")
    return account, coin, size if side == "B" else -size, price, kind


def _row(fill: Fill) -> Row:
    return {"account": fill.account, **fill.exact_row()}


def _by_chance(stage: Stage, script: Script) -> Row:
    count, rate = script.whole("count"), script.seconds("rate", 0)
    coins, account = _flow_over(stage, script)
    script.value("same_block", None)
    script.end()
    if rate:
        flow = stage.schedule.flow(count, coins, rate, account, stage.clock())
        return flow_row(flow.number, flow.count, flow.done)
    before = len(stage.world.news)
    stage.run(Flow(0, count, coins, 1.0, account, 0.0), count)
    return {"fills": [_row(fact) for fact in stage.world.news[before:] if isinstance(fact, Fill)]}


def _flow_over(stage: Stage, script: Script) -> tuple[int, str | None]:
    coins = script.whole("coins", len(stage.world.coins))
    named = script.value("account", None)
    account = None if named is None else account_of(stage, named).address
    if not 0 < coins <= len(stage.world.coins):
        raise ScriptError(f"coins must be from 1 to {len(stage.world.coins)}")
    return coins, account


def flow(stage: Stage, script: Script) -> Row:
    """Start a flow of random fills at a rate."""
    count, rate = script.whole("count"), script.seconds("per_second", 100)
    coins, account = _flow_over(stage, script)
    script.end()
    if not rate:
        raise ScriptError("per_second must be more than 0")
    begun = stage.schedule.flow(count, coins, rate, account, stage.clock())
    return flow_row(begun.number, begun.count, begun.done)


def status(stage: Stage, script: Script) -> Row:
    """The progress of one flow, or of all together."""
    number = script.whole("flow", 0)
    script.end()
    flows = [one for one in stage.schedule.flows if number in (0, one.number)]
    if number and not flows:
        raise ScriptError(f"there is no flow {number}")
    return flow_row(number, sum(one.count for one in flows), sum(one.done for one in flows))


def pace(stage: Stage, script: Script) -> Row:
    """Set how many fills a second the accounts make by themselves."""
    rate = script.seconds("per_second")
    script.end()
    stage.schedule.set_pace(rate, stage.clock())
    return {}


def scale(stage: Stage, script: Script) -> Row:
    """Set about how large random orders are, for one account or for all."""
    named = script.value("account", None)
    accounts = stage.world.accounts if named is None else [account_of(stage, named).address]
    size = script.exact("size")
    script.end()
    if size < 0:
        raise ScriptError("size must not be negative")
    stage.trader.scales |= dict.fromkeys(accounts, size)
    return {}


def liquidate(stage: Stage, script: Script) -> Row:
    """Liquidate a share of a position."""
    account, coin = held_of(stage, script)
    share, backstop = script.exact("share", "1"), script.flag("backstop")
    script.end()
    if not 0 < share <= 1:
        raise ScriptError("share must be more than 0 and at most 1")
    fill = stage.world.liquidate(account, coin, share, stage.now(), backstop=backstop)
    return {"fills": [_row(fill)]}


def closing(word: str, *, hashed: bool = False) -> Callable[[Stage, Script], Row]:
    """An action that closes a position by the venue's act of this name."""

    def act(stage: Stage, script: Script) -> Row:
        account, coin = held_of(stage, script)
        price = script.exact("price", stage.world.quotes[coin].mark)
        script.end()
        if price < 0:
            raise ScriptError("price must not be negative")
        return {"fills": [_row(stage.world.settle(account, coin, price, word, stage.now(), hashed=hashed))]}

    return act


def ghost(stage: Stage, script: Script) -> Row:
    """Set the size of a position without a fill."""
    account, coin = account_of(stage, script.value("account")), coin_of(stage, script.value("coin"))
    size = script.exact("size")
    script.end()
    if size == account.size(coin):
        raise ScriptError(f"the size of {coin} is {text(size)} already")
    if (size * 10 ** stage.world.quotes[coin].market.sz_decimals).denominator != 1:
        raise ScriptError(f"size {text(size)} has too many decimals for {coin}")
    stage.world.ghost(account, coin, size, stage.now())
    return {}


def funding(stage: Stage, script: Script) -> Row:
    """Pay an hour's funding now."""
    script.end()
    return {"payments": stage.world.fund(stage.now())}


def set_mark(stage: Stage, script: Script) -> Row:
    """Set the prices of a coin and hold them, or let them move again."""
    quote = stage.world.quotes[coin_of(stage, script.value("coin"))]
    if script.flag("release"):
        script.end()
        quote.held = quote.market.delisted
        return {}
    price = script.exact("price")
    oracle = script.exact("oracle", price)
    script.end()
    if min(price, oracle) <= 0 or (price * 10**quote.market.places).denominator != 1:
        raise ScriptError(
            f"a mark of {quote.market.coin} is positive, with at most {quote.market.places} decimals"
        )
    quote.hold(price, oracle)
    return {}


def state_delay(stage: Stage, script: Script) -> Row:
    """Make statements some seconds old."""
    seconds = script.seconds("seconds")
    script.end()
    stage.hub.info.delay_ms = int(seconds * 1000)
    return {}


def clock_skew(stage: Stage, script: Script) -> Row:
    """Set the exchange's clock off by some seconds."""
    seconds = script.offset("seconds")
    script.end()
    stage.skew_ms = int(seconds * 1000)
    return {"time": stage.now()}


ACTIONS: dict[str, Callable[[Stage, Script], Row]] = {
    "fills": fills,
    "flow": flow,
    "status": status,
    "pace": pace,
    "scale": scale,
    "liquidate": liquidate,
    "adl": closing("Auto-Deleveraging"),
    "settle": closing("Settlement"),
    "net": closing("Net Child Vaults", hashed=True),
    "ghost": ghost,
    "funding": funding,
    "set_mark": set_mark,
    "state_delay": state_delay,
    "clock_skew": clock_skew,
}
