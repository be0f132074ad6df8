"""A WebSocket subscription as the venue reads it: normalised, so that equal ones are equal.

Pure. Addresses become lower case and defaults are added. A type that the venue does not know raises
UnknownType; a field that does not fit its type raises BadRequest. FIELDS lists the fields of each type.
"""

import json
from dataclasses import dataclass
from typing import Any

from hlposmon.simulator.question import BadRequest, address_of

USER, COIN, DEX = "user", "coin", "dex"
UNKNOWN, INVALID = "unknown", "invalid"  # two texts of a refusal, by the names that scripts give them
FIELDS: dict[str, tuple[str, ...]] = {
    "allMids": (DEX,),
    "userFills": (USER,),
    "userEvents": (USER,),
    "userFundings": (USER,),
    "userNonFundingLedgerUpdates": (USER,),
    "userTwapSliceFills": (USER,),
    "orderUpdates": (USER,),
    "clearinghouseState": (USER, DEX),
    "allDexsClearinghouseState": (USER,),
    "spotState": (USER,),
    "openOrders": (USER, DEX),
    "activeAssetCtx": (COIN,),
    "activeAssetData": (USER, COIN),
    "assetCtxs": (DEX,),
    "allDexsAssetCtxs": (),
    "fastAssetCtxs": (),
    "bbo": (COIN,),
    "webData3": (USER,),
}
SNAPSHOTS = ("userFills", "userFundings", "userNonFundingLedgerUpdates", "userTwapSliceFills")


class UnknownType(BadRequest):
    """There is no such type: the venue cannot read the request at all."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription. `user`, `coin` and `dex` are "" where the type has none."""

    kind: str
    user: str = ""
    coin: str = ""
    dex: str = ""

    @property
    def channel(self) -> str:
        """The name in the messages, which is not always the name in the subscription."""
        return "user" if self.kind == "userEvents" else self.kind

    def row(self) -> dict[str, Any]:
        """The normalised object that the acknowledgement repeats."""
        row: dict[str, Any] = {"type": self.kind}
        for field in FIELDS[self.kind]:
            row[field] = getattr(self, field)
        if self.kind == "userFills":
            row["aggregateByTime"] = False
        return row

    def shown(self) -> str:
        """As an error text quotes it."""
        return json.dumps(self.row(), separators=(",", ":"))


def read(value: object, coins: frozenset[str]) -> Subscription:
    """A client's subscription object; `coins` are those that exist."""
    if not isinstance(value, dict) or value.get("type") not in FIELDS:
        raise UnknownType
    kind = value["type"]
    found = {"kind": kind}
    for field in FIELDS[kind]:
        given = value.get(field)
        if field == USER:
            found[field] = address_of(given)
        elif field == COIN and given in coins:
            found[field] = given
        elif field == DEX and (given is None or isinstance(given, str)):
            found[field] = given or ""
        else:
            raise BadRequest
    return Subscription(**found)
