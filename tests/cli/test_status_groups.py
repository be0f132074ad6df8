"""`hlposmon status` by account and market: head lines, headings, --sort, --filter, and the total line."""

import io
import json
import signal
from typing import Any

import pytest
from rich.console import Console

from hlposmon.cli.overview import Overview
from hlposmon.cli.selection import SORTS
from tests.cli.canned_monitor import HEALTH, POSITION, SUMMARY, TOTALS, Commands, Monitor

HEAD = {
    "equity": "249924.25",
    "equity_reason": None,
    "margin_used": "3859.48",
    "maintenance_margin": "1929.74",
    "margin_ratio": "0.0123",
    "withdrawable": "246064.77",
    "unexplained": "-0.5",
    "mode": "default",
    "verdict": "proven",
}


def scope(name: str, quote: str = "USDC") -> dict[str, Any]:
    return {"name": name, "market": "BaseToken" if name == "spot" else "Perp", "quote": quote}


def position(account: str, coin: str, **fields: Any) -> dict[str, Any]:
    """A position of an account: BTC, xyz:TSLA, or the balance of a token with `type="BaseToken"`."""
    kind = fields.get("type", "Perp")
    of = {
        "account": account,
        "key": f"hyperliquid:{kind}:{coin}",
        "coin": coin,
        "symbol": f"{coin}-USD" if kind == "Perp" else coin,
        "type": kind,
        "dex": coin.rpartition(":")[0],
        "quote": "USDC",
    }
    return {**POSITION, **of, **fields}


def summary_of(
    *positions: dict[str, Any], accounts: dict[str, dict[str, Any]] | None = None, **fields: Any
) -> dict[str, Any]:
    """A summary of these positions; without `accounts`, of the one account `main`."""
    named = {"main": HEAD} if accounts is None else accounts
    prefix = len(named) > 1
    return {
        **SUMMARY,
        "stated": True,
        "active_positions": len(positions),
        "accounts": {name: {**TOTALS, **account} for name, account in named.items()},
        "positions": {(f"{p['account']}/" if prefix else "") + p["symbol"]: p for p in positions},
        **fields,
    }


class Asked:
    """Runs `status` on a summary."""

    def __init__(self, hlposmon: Commands, monitor: Monitor) -> None:
        self._hlposmon, self._monitor = hlposmon, monitor

    def __call__(self, summary: dict[str, Any], *arguments: str, columns: int = 200) -> list[str]:
        """The lines that it prints for this summary, without the blank ones."""
        self._monitor.says("positions/summary", summary)
        result = self._hlposmon.run("status", *arguments, COLUMNS=str(columns))
        assert (result.exit_code, result.stderr) == (0, "")
        return [line.rstrip() for line in result.stdout.splitlines() if line.strip()]


@pytest.fixture
def status(hlposmon: Commands, monitor: Monitor) -> Asked:
    return Asked(hlposmon, monitor)


def starting(lines: list[str], word: str) -> str:
    [line] = [line for line in lines if line.startswith(word)]
    return line


def first_words(lines: list[str], *, headings: bool = True) -> list[str]:
    """The heads, headings and rows below the header, in short: what each begins with."""
    below = [line for line in lines if not line.startswith(("hlposmon", "!", "POSITION", "TOTAL", "  "))]
    return [line if line.startswith("--") else line.split()[0] for line in below]


# --------------------------------------------------------------- head lines


def test_the_head_line_of_an_account_has_its_figures(status: Asked):
    head = starting(status(summary_of(position("main", "BTC"))), "main ")

    assert head.split("  ") == [
        "main",
        "proven",
        "equity 249,924.25",
        "margin 3,859.48",
        "margin ratio 1.23%",
        "withdrawable 246,064.77",
        "unexplained -0.50",
        "mode default",
    ]


def test_what_is_null_is_unknown_with_its_reason_and_what_is_not_told_is_left_out(status: Asked):
    unknown = {
        "equity": "1",
        "margin_ratio": None,
        "margin_reason": "the margin tiers of the dex xyz are not known",
        "unexplained": None,
        "unexplained_reason": "the history begins later",
        "mode": None,
    }
    lines = status(summary_of(position("main", "BTC"), accounts={"main": unknown}))

    shown = ["equity 1.00", "margin ratio unknown", "unexplained unknown", "mode unknown"]
    assert starting(lines, "main ").split("  ")[2:] == shown
    assert "! account main: margin ratio: the margin tiers of the dex xyz are not known" in lines
    assert "! account main: unexplained: the history begins later" in lines


def test_a_reason_is_not_said_of_a_figure_that_is_known(status: Asked):
    account = {
        "main": {**HEAD, "maintenance_margin": None, "margin_reason": "the margin ratio alone is stated"}
    }

    assert not [line for line in status(summary_of(accounts=account)) if line.startswith("!")]


@pytest.mark.parametrize("columns", [30, 40, 60, 80, 120])
def test_a_head_line_is_folded_between_figures(status: Asked, columns: int):
    lines = status(summary_of(position("main", "BTC")), columns=columns)

    assert max(map(len, lines)) <= max(columns, 37)  # the columns of the table that are never left out
    assert starting(lines, "main ").startswith("main  proven")
    for figure in ("equity 249,924.25", "margin ratio 1.23%", "withdrawable 246,064.77", "mode default"):
        assert any(figure in line for line in lines)


# ------------------------------------------------------------------ groups


THREE = {
    "main": {**HEAD, "scopes": [scope("")]},
    "desk": {**HEAD, "scopes": [scope(""), scope("spot"), scope("xyz"), scope("flx", "USDH")]},
    "idle": {**HEAD, "scopes": [scope("")]},
}
HELD = (
    position("desk", "flx:OIL", quote="USDH", unrealized_pnl="1"),
    position("main", "BTC"),
    position("desk", "xyz:TSLA", unrealized_pnl="-3.25", total_pnl="-4"),
    position("desk", "HYPE", type="BaseToken", total_pnl=None, realized_pnl=None, fees=None, funding=None),
    position("desk", "ETH", unrealized_pnl="7", total_pnl="6.5", verdict="drift"),
    position("desk", "SOL", unrealized_pnl=None, total_pnl=None),
)


def test_rows_are_grouped_by_account_and_by_market_in_the_order_of_the_scopes(status: Asked):
    assert first_words(status(summary_of(*HELD, accounts=THREE))) == [
        "main",
        "-- first dex",
        "main/BTC-USD",
        "desk",
        "-- first dex",
        "desk/ETH-USD",
        "desk/SOL-USD",
        "-- spot",
        "desk/HYPE",
        "-- dex xyz",
        "desk/xyz:TSLA-USD",
        "-- dex flx, amounts in USDH",
        "desk/flx:OIL-USD",
        "idle",
    ]


def test_markets_have_no_headings_where_all_is_on_the_first_dex(status: Asked):
    lines = status(summary_of(position("main", "BTC"), position("main", "ETH")))

    assert first_words(lines) == ["main", "BTC-USD", "ETH-USD"]


def test_the_positions_of_an_older_monitor_are_on_the_first_dex(status: Asked):
    old = {name: value for name, value in SUMMARY.items() if name != "stated"}
    lines = status(old)

    assert "type" not in POSITION
    assert first_words(lines) == ["main", "BTC-USD"]
    assert starting(lines, "main ").split("  ")[2:] == ["equity 10,000.00"]


def test_the_columns_of_all_accounts_line_up(status: Asked):
    lines = status(summary_of(*HELD, accounts=THREE))
    titles = starting(lines, "POSITION")
    rows = [line for line in lines if "/" in line.split()[0]]

    assert len(rows) == len(HELD)
    assert {line[titles.index("SIDE") :].split()[0] for line in rows} == {"long"}


def test_an_account_without_positions_says_whether_that_is_known(status: Asked):
    accounts = {"main": HEAD, "desk": {**HEAD, "equity": None, "verdict": "unproven"}}
    held = position("main", "BTC")

    assert "  no positions  " in starting(status(summary_of(held, accounts=accounts)), "desk ")
    unstated = summary_of(held, accounts=accounts, stated=False)
    assert "  positions unknown  " in starting(status(unstated), "desk ")


# -------------------------------------------------------------------- sort


def test_rows_are_sorted_within_each_market_and_the_unknown_comes_last(status: Asked):
    def order(*arguments: str) -> list[str]:
        names = first_words(status(summary_of(*HELD, accounts=THREE), *arguments))
        return [name.partition("/")[2] for name in names if name.startswith("desk/")]

    elsewhere = ["HYPE", "xyz:TSLA-USD", "flx:OIL-USD"]
    assert order("--sort", "upnl") == ["ETH-USD", "SOL-USD", *elsewhere]
    assert order("--sort", "-upnl") == ["ETH-USD", "SOL-USD", *elsewhere]
    assert order("--sort", "-symbol") == ["SOL-USD", "ETH-USD", *elsewhere]
    assert order("--sort=-verdict") == ["SOL-USD", "ETH-USD", *elsewhere]


LOW = {
    "side": "long", "quantity": "2", "entry_price": "9", "mark_price": "9", "unrealized_pnl": "-20",
    "realized_pnl": "9", "fees": "3", "funding": "1", "total_pnl": "-100", "notional_value": "900",
    "leverage": "5", "liquidation_price": "9", "proof": "fills", "last_fill_time": "2025-01-01T00:02:00.000Z",
    "as_of": "2025-01-01T00:02:59.000Z", "verdict": "drift",
}  # fmt: skip
HIGH = {
    "side": "short", "quantity": "10", "entry_price": "10", "mark_price": "10", "unrealized_pnl": "3",
    "realized_pnl": "10", "fees": "1", "funding": "1", "total_pnl": "20", "notional_value": "1000",
    "leverage": "10", "liquidation_price": "10", "proof": "statement",
    "last_fill_time": "2024-12-31T00:00:00.000Z", "as_of": "2025-01-01T00:00:00.000Z", "verdict": "proven",
}  # fmt: skip


@pytest.mark.parametrize("column", sorted(SORTS))
def test_every_column_sorts_by_value_both_ways(status: Asked, column: str):
    held = [position("main", "ZRO", **HIGH), position("main", "APT", **LOW)]
    if column != "verdict":
        held.insert(0, position("main", "M", **dict.fromkeys(HIGH), symbol="M-USD"))  # all unknown
    last = [] if column in ("symbol", "verdict") else ["M-USD"]
    middle = ["M-USD"] if column == "symbol" else []

    ascending = first_words(status(summary_of(*held), "--sort", column))
    descending = first_words(status(summary_of(*held), "--sort", f"-{column}"))
    assert ascending == ["main", "APT-USD", *middle, "ZRO-USD", *last]
    assert descending == ["main", "ZRO-USD", *middle, "APT-USD", *last]


def test_a_column_is_named_in_any_case_and_is_shown_where_it_would_not_fit(status: Asked):
    held = summary_of(position("main", "BTC"))

    assert "TOTAL" not in starting(status(held, columns=80), "POSITION")
    assert "TOTAL" in starting(status(held, "--sort", "Total", columns=80), "POSITION")
    assert "VERDICT" in starting(status(held, "--sort", "-TOTAL", columns=40), "POSITION")


@pytest.mark.parametrize("column", ["pnl", "", "-", "--upnl"])
def test_a_column_that_does_not_exist_is_a_usage_error_that_names_those_that_do(
    hlposmon: Commands, monitor: Monitor, column: str
):
    result = hlposmon.run("status", f"--sort={column}")

    assert (result.exit_code, result.stdout, monitor.requests) == (2, "", [])
    assert f"wanted one of {', '.join(SORTS)}" in " ".join(result.stderr.split())


def test_help_names_every_column(hlposmon: Commands):
    words = hlposmon.run("status", "--help").stdout.replace(",", " ").split()

    assert [column for column in SORTS if column not in words] == []


# ------------------------------------------------------------------ filter


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        ("MAIN", ["main/BTC-USD"]),
        ("eth-u", ["desk/ETH-USD"]),
        ("basetoken", ["desk/HYPE"]),
        ("spot", ["desk/HYPE"]),
        ("xyz", ["desk/xyz:TSLA-USD"]),
        ("drift", ["desk/ETH-USD"]),
        ("desk  DRIFT", ["desk/ETH-USD"]),
        ("perp desk proven", ["desk/SOL-USD", "desk/xyz:TSLA-USD", "desk/flx:OIL-USD"]),
    ],
)
def test_a_filter_leaves_the_rows_that_have_all_words(status: Asked, words: str, rows: list[str]):
    lines = status(summary_of(*HELD, accounts=THREE), "--filter", words)

    assert [word for word in first_words(lines) if "/" in word] == rows
    assert f"  {len(rows)} of 6 positions  " in lines[0]
    assert not any(line.startswith("idle ") for line in lines)


def test_a_filtered_view_has_the_total_of_its_rows_and_no_total_of_a_whole_account(status: Asked):
    lines = status(summary_of(*HELD, accounts=THREE), "--filter", "desk usd")
    assert starting(lines, "TOTAL").split("  ") == [
        "TOTAL LIVE",
        "drift",
        "4 of 6 positions",
        "exposure unknown",  # one of them is in USDH
        "uPnL unknown",
        "total unknown",
    ]

    two = [HELD[1], HELD[2], HELD[3]]
    lines = status(summary_of(*two, position("desk", "XRP"), accounts=THREE), "--filter", "desk proven")
    # Of TSLA and XRP: a balance on spot is in no sum.
    assert starting(lines, "TOTAL").split("  ") == [
        "TOTAL LIVE",
        "proven",
        "3 of 4 positions",
        "exposure 15,300.00",
        "uPnL +121.75",
        "total +117.24",
    ]
    whole = ("exposure 7,650.00", "uPnL +125.00", "total +121.24")
    assert not [figure for figure in whole if any(figure in line for line in lines)]


def test_a_sum_with_an_unknown_part_is_unknown_and_the_others_are_known(status: Asked):
    lines = status(summary_of(*HELD, accounts=THREE), "--filter", "sol")

    shown = ["1 of 6 positions", "exposure 7,650.00", "uPnL unknown", "total unknown"]
    assert starting(lines, "TOTAL").split("  ")[2:] == shown


def test_balances_alone_have_no_total(status: Asked):
    assert not any(
        "TOTAL LIVE" in line for line in status(summary_of(*HELD, accounts=THREE), "--filter", "spot")
    )


def test_when_nothing_matches_that_is_said(status: Asked):
    lines = status(summary_of(*HELD, accounts=THREE), "--filter", "Doge  xyz")
    assert "0 of 6 positions" in lines[0]
    assert lines[1:] == ["no position matches 'doge xyz'"]

    unknown = {"main": {**HEAD, "equity": None, "verdict": "unproven"}}
    lines = status(summary_of(accounts=unknown, stated=False, active_positions=None), "--filter", "doge")
    assert "0 of 0 known positions" in lines[0]
    assert lines[1:] == ["no position matches 'doge'; those of main are unknown"]


def test_an_account_without_positions_is_found_by_its_name(status: Asked):
    lines = status(summary_of(*HELD, accounts=THREE), "--filter", "IDLE")

    assert lines[1] == "no position matches 'idle'"
    assert starting(lines, "idle ").startswith("idle  proven  equity 249,924.25")


def test_a_filter_without_a_word_leaves_everything(status: Asked):
    summary = summary_of(*HELD, accounts=THREE)

    assert status(summary, "--filter", " ") == status(summary)


def test_the_filter_is_shown_without_what_would_control_the_terminal(status: Asked):
    assert "\x1b" not in "".join(status(summary_of(*HELD, accounts=THREE), "--filter", "\x1b[31m"))


# ------------------------------------------------------------------- total


def test_the_total_line_has_the_mode_the_worst_verdict_and_the_sums_of_all_accounts(status: Asked):
    accounts = {"main": HEAD, "desk": {**HEAD, "equity": "0.75", "verdict": "unproven"}}
    held = position("main", "BTC"), position("desk", "BTC")
    lines = status(summary_of(*held, accounts=accounts, mode="simulated", total_exposure="15300.00"))

    shown = ["TOTAL SIMULATED", "unproven", "equity 249,925.00", "exposure 15,300.00", "uPnL +125.00"]
    assert lines[-1].split("  ") == [*shown, "total +121.24"]

    drifting = position("main", "ETH", verdict="drift")
    assert status(summary_of(*held, drifting, accounts=accounts))[-1].startswith("TOTAL LIVE  drift")


def test_the_total_is_unknown_where_one_part_is(status: Asked):
    accounts = {"main": HEAD, "desk": {**HEAD, "equity": None}}
    sums = {"total_exposure": None, "total_pnl": None, "unrealized_pnl": None}
    line = starting(status(summary_of(HELD[1], accounts=accounts, **sums)), "TOTAL")

    unknown = ["equity unknown", "exposure unknown", "uPnL unknown", "total unknown"]
    assert line.split("  ")[2:] == unknown


# ------------------------------------------------- with --json and --watch


@pytest.mark.parametrize("option", [("--sort", "upnl"), ("--filter", "btc")])
@pytest.mark.parametrize("watch", [(), ("--watch",)])
def test_json_is_the_whole_summary_so_that_sorting_and_filtering_it_is_refused(
    hlposmon: Commands, monitor: Monitor, option: tuple[str, str], watch: tuple[str, ...]
):
    result = hlposmon.run("status", "--json", *watch, *option)

    assert (result.exit_code, result.stdout, monitor.requests) == (2, "", [])
    assert "hlposmon status --json | jq '" in result.stderr


def test_watch_sorts_and_filters_what_is_new_and_what_is_old(hlposmon: Commands, monitor: Monitor):
    monitor.says("positions/summary", summary_of(*HELD, accounts=THREE))
    options = ("--filter", "desk eth", "--sort", "-upnl", "--timeout", "0.2")
    watching = hlposmon.start("status", "--watch", *options, PYTHONUNBUFFERED="1", COLUMNS="200")
    assert "1 of 6 positions" in watching.stdout.readline()
    assert "drift" in next(line for line in watching.stdout if line.startswith("desk/ETH-USD"))
    monitor.stop()
    assert next(line for line in watching.stdout if "NOT NEW" in line)
    old = next(line for line in watching.stdout if line.startswith("desk/"))
    total = next(line for line in watching.stdout if line.startswith("TOTAL"))
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=60)

    assert old.split()[0] == "desk/ETH-USD"
    assert old.rstrip().endswith("stale")
    assert total.split("  ")[1:3] == ["stale", "1 of 6 positions"]
    assert watching.returncode == 0


def test_without_a_filter_json_has_every_digit(hlposmon: Commands, monitor: Monitor):
    summary = summary_of(*HELD, accounts=THREE)
    monitor.says("positions/summary", summary)

    assert json.loads(hlposmon.run("status", "--json").stdout) == summary


# --------------------------------------------------------- short terminals


def drawn(summary: dict[str, Any], height: int) -> list[str]:
    """The lines on a terminal of this height and 100 columns, as the live view shows them."""
    console = Console(file=io.StringIO(), width=100, highlight=False, markup=False)
    console.print(Overview(summary, HEALTH), height=height)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()]


def test_a_short_terminal_gives_up_sums_then_headings_then_rows_and_never_the_total():
    summary = summary_of(*HELD, accounts=THREE)
    heights = {height: drawn(summary, height) for height in range(8, 40)}

    for height, lines in heights.items():
        rows = [line for line in lines if "/" in line.split()[0]]
        told = [line for line in lines if line.startswith("... and ") and line.endswith(" more")]
        assert len(lines) <= height
        assert lines[-1].startswith("TOTAL LIVE")
        assert rows
        assert len(rows) + sum(int(line.split()[2]) for line in told if "accounts" not in line) == len(HELD)
        if any(line.startswith("--") for line in lines):
            assert len(rows) == len(HELD)
    assert not any(line.startswith("...") for line in heights[39])
    assert any(line.startswith("--") for line in heights[39])


def test_on_a_short_terminal_accounts_with_positions_are_shown_before_those_without():
    accounts = {**{f"idle{number}": HEAD for number in range(20)}, "desk": HEAD}
    lines = drawn(summary_of(position("desk", "BTC"), accounts=accounts), 14)

    assert "desk/BTC-USD" in [line.split()[0] for line in lines]
    assert any(line.endswith(" accounts more") for line in lines)
