"""The market descriptions and contexts in the venue's shapes. Pure: reads the world, changes nothing."""

from collections.abc import Iterable

from hlposmon.simulator.facts import Row
from hlposmon.simulator.markets import BUILDER_DEX, MARKETS, Market, Quote
from hlposmon.simulator.numbers import money, printed
from hlposmon.simulator.world import World

DEXS = ("", BUILDER_DEX)
TABLES = {56: ("tiered 40x", 40, "150000000.0", 20), 55: ("tiered 25x", 25, "100000000.0", 15)}
SPOT_PAIRS = (("PURR/USDC", 1, 0, 0, "0.073122"), ("@107", 150, 0, 107, "33.21"))
TOKENS = {"USDC": 0, "PURR": 1, "HYPE": 150}  # spot tokens and their index
NULL_ADDRESS = "0x" + "0" * 40


def markets_of(dex: str) -> tuple[Market, ...]:
    """The markets of a dex in their order, which is their index."""
    return tuple(market for market in MARKETS if market.dex == dex)


def meta(dex: str) -> Row:
    """The answer of `meta`. Keys that do not apply are absent, not false."""
    tables = [
        [
            number,
            {
                "description": words,
                "marginTiers": [
                    {"lowerBound": "0.0", "maxLeverage": first},
                    {"lowerBound": bound, "maxLeverage": second},
                ],
            },
        ]
        for number, (words, first, bound, second) in TABLES.items()
    ]
    return {
        "universe": [_market_row(market) for market in markets_of(dex)],
        "marginTables": [] if dex else tables,
        "collateralToken": 0,
    }


def _market_row(market: Market) -> Row:
    row: Row = {
        "name": market.coin,
        "szDecimals": market.sz_decimals,
        "maxLeverage": market.max_leverage,
        "marginTableId": market.margin_table or market.max_leverage,
    }
    if market.delisted:
        row["isDelisted"] = True
    if market.only_isolated:
        row |= {"onlyIsolated": True, "marginMode": "strictIsolated"}
    return row


def context(quote: Quote) -> Row:
    """A perpetual's context; of a delisted one the mark is frozen and the book is null."""
    live = not quote.market.delisted
    premium = (quote.mid - quote.oracle) / quote.oracle
    return {
        "funding": printed(quote.rate),
        "openInterest": "1250.5" if live else "0.0",
        "prevDayPx": quote.market.start,
        "dayNtlVlm": "12345678.9" if live else "0.0",
        "premium": money(premium, 10) if live else None,
        "oraclePx": printed(quote.oracle),
        "markPx": printed(quote.mark),
        "midPx": printed(quote.mid) if live else None,
        "impactPxs": [printed(quote.bid), printed(quote.ask)] if live else None,
        "dayBaseVlm": "4321.0" if live else "0.0",
    }


def contexts(world: World, dex: str) -> list[Row]:
    """The contexts of a dex, each in its market's place."""
    return [context(world.quotes[market.coin]) for market in markets_of(dex)]


def mids(world: World, dex: str) -> dict[str, str]:
    """Every mid of a dex; the default dex also lists the spot pairs."""
    found = {market.coin: printed(world.quotes[market.coin].mid) for market in markets_of(dex)}
    if not dex:
        found |= {name: price for name, _base, _quote, _index, price in SPOT_PAIRS}
    return found


def perp_dexs() -> list[Row | None]:
    """The default dex is null; then the builders' own."""
    return [
        None,
        {
            "name": BUILDER_DEX,
            "fullName": "XYZ",
            "deployer": NULL_ADDRESS,
            "oracleUpdater": None,
            "feeRecipient": None,
            "assetToStreamingOiCap": [[market.coin, "1000000.0"] for market in markets_of(BUILDER_DEX)],
            "subDeployers": [],
            "deployerFeeScale": "1.0",
            "lastDeployerFeeScaleChangeTime": "1970-01-01T00:00:00",
            "assetToFundingMultiplier": [],
            "assetToFundingInterestRate": [],
        },
    ]


def spot_meta() -> Row:
    """Three tokens and two pairs; a pair's index is neither its place nor its token's index."""
    decimals = {"USDC": (8, 8), "PURR": (0, 5), "HYPE": (2, 8)}
    return {
        "universe": [
            {"tokens": [base, quote], "name": name, "index": index, "isCanonical": index == 0}
            for name, base, quote, index, _price in SPOT_PAIRS
        ],
        "tokens": [
            {
                "name": name,
                "szDecimals": sz_decimals,
                "weiDecimals": wei_decimals,
                "index": TOKENS[name],
                "tokenId": f"0x{TOKENS[name] + 1:032x}",
                "isCanonical": True,
                "evmContract": None,
                "fullName": None,
                "deployerTradingFeeShare": "0.0",
            }
            for name, (sz_decimals, wei_decimals) in decimals.items()
        ],
    }


def spot_contexts() -> list[Row]:
    """Joined to their pairs by `coin`, and in another order than the pairs, as on the venue."""
    return [
        {
            "prevDayPx": price,
            "dayNtlVlm": "179216.62822",
            "markPx": price,
            "midPx": price,
            "circulatingSupply": "595188109.0",
            "coin": name,
            "totalSupply": "595188115.0",
            "dayBaseVlm": "2483110.0",
        }
        for name, _base, _quote, _index, price in reversed(SPOT_PAIRS)
    ]


def fast_contexts(world: World, coins: Iterable[str] | None = None) -> dict[str, dict[str, str]]:
    """Mark and mid by coin over all dexs, and by spot pair, as `fastAssetCtxs` carries them."""
    found: dict[str, dict[str, str]] = {}
    for coin in coins if coins is not None else world.quotes:
        quote = world.quotes[coin]
        found[coin] = {"markPx": printed(quote.mark)}
        if not quote.market.delisted:
            found[coin]["midPx"] = printed(quote.mid)
    if coins is None:
        found |= {
            name: {"markPx": price, "midPx": price} for name, _base, _quote, _index, price in SPOT_PAIRS
        }
    return found
