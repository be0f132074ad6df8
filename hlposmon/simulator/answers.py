"""Scripted actions on answers and subscriptions: refuse, spoil, shorten, or garble them.

The world is not affected. The table in `control` lists the arguments.
"""

from collections.abc import Callable

from hlposmon.simulator import faults, garbling
from hlposmon.simulator.damage import any_account, any_coin
from hlposmon.simulator.delivery import Delivery
from hlposmon.simulator.facts import Row
from hlposmon.simulator.hub import NEWER
from hlposmon.simulator.script import Script, ScriptError
from hlposmon.simulator.stage import Stage
from hlposmon.simulator.subscription import FIELDS, INVALID, UNKNOWN

ALL_NEWER = "newer"


def http_fault(stage: Stage, script: Script) -> Row:
    """Spoil the next answers to a request type."""
    rule = faults.Fault(
        kind=script.one_of("kind", faults.KINDS),
        type=str(script.value("type", "*")),
        left=script.whole("times", 1),
        delay_s=script.seconds("delay_s", 1.0),
        bytes=script.whole("bytes", faults.HUGE_BYTES),
    )
    script.end()
    if not rule.left:
        raise ScriptError("times must be at least 1")
    stage.faults.rules.append(rule)
    return {}


def refuse_subscription(stage: Stage, script: Script) -> Row:
    """Refuse new subscriptions of a type, or accept them again."""
    kind, off = script.one_of("type", tuple(FIELDS)), script.flag("release")
    words = script.one_of("words", (UNKNOWN, INVALID), UNKNOWN)
    script.end()
    if off:
        stage.hub.refused.pop(kind, None)
    else:
        stage.hub.refused[kind] = words
    return {}


def refuse_request(stage: Stage, script: Script) -> Row:
    """Answer a request type with 422, as a server that does not know it, or answer it again."""
    kind, off = script.one_of("type", (ALL_NEWER, *stage.hub.info.types)), script.flag("release")
    script.end()
    kinds = NEWER if kind == ALL_NEWER else (kind,)
    if off:
        stage.hub.unknown.difference_update(kinds)
    else:
        stage.hub.unknown.update(kinds)
    return {}


def horizon(stage: Stage, script: Script) -> Row:
    """List only the newest `rows` fills of an account, or all of them again."""
    off = script.flag("release")
    rows = None if off else script.whole("rows")
    script.end()
    stage.hub.info.horizon = rows
    return {}


def garble(stage: Stage, script: Script) -> Row:
    """Make the next rows of a kind undecodable, or end such rules."""
    if script.flag("release"):
        what = script.one_of("what", tuple(garbling.KIND), None) if script.value("what", None) else None
        script.end()
        rules = stage.hub.garbling.rules
        stage.hub.garbling.rules = [rule for rule in rules if what not in (None, rule.what)]
        return {}
    what = script.one_of("what", tuple(garbling.KIND))
    fields = tuple(garbling.ODD[garbling.KIND[what]])
    place = garbling.PLACE.get(what) or script.one_of("place", garbling.PLACES, garbling.BOTH)
    rule = garbling.Rule(
        what=what,
        odd_field=script.one_of("field", fields, fields[0]),
        left=script.whole("count", 1),
        since=stage.world.last_block,
        account=any_account(stage, script),
        coin=any_coin(stage, script),
        tid=script.whole("tid", 0) or None,
        feed=script.whole("feed", 0) or None,
        place=place,
    )
    script.end()
    is_fill = garbling.KIND[what] == "fill"
    if (rule.tid and not is_fill) or (rule.feed and what != "fill"):
        raise ScriptError(f"of {what} none is chosen by its {'feed' if rule.feed else 'tid'}")
    stage.hub.garbling.rules.append(rule)
    return {}


def weigh(stage: Stage, script: Script) -> Row:
    """Restart the measurement of the weight that is asked in a minute."""
    script.end()
    stage.hub.budgets.weigh()
    return {}


def clear(stage: Stage, script: Script) -> Row:
    """Forget all rules on deliveries, answers and subscriptions."""
    script.end()
    hub = stage.hub
    hub.delivery = Delivery()
    stage.faults.rules.clear()
    hub.info.delay_ms = 0
    hub.info.horizon = None
    hub.refused.clear()
    hub.unknown.clear()
    hub.garbling.rules.clear()
    return {}


ACTIONS: dict[str, Callable[[Stage, Script], Row]] = {
    "http_fault": http_fault,
    "refuse_subscription": refuse_subscription,
    "refuse_request": refuse_request,
    "horizon": horizon,
    "garble": garble,
    "weigh": weigh,
    "clear": clear,
}
