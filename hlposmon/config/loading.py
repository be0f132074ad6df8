"""Loads the settings: flags take precedence over the environment, then the file, then defaults.

`load` returns settings that are valid as a whole, or raises every mistake. Mistakes are listed in the order
of reading: the `.env` file first, then the file and the environment setting by setting. Some show only in the
combination, such as a missing account or a socket path that is too long.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hlposmon.config.accounts import looks_like_a_key, shown
from hlposmon.config.envfile import read_env_file
from hlposmon.config.paths import (
    FALSE,
    ROOT,
    TRUE,
    Surroundings,
    find_config,
    resolve,
    socket_mistakes,
    unreadable_config,
)
from hlposmon.config.settings import (
    NO_BACKTEST,
    AuditSettings,
    Flags,
    HyperliquidSettings,
    Paths,
    PriceSettings,
    ReconcileSettings,
    Settings,
    StreamSettings,
    SupervisionSettings,
    TcpSettings,
)
from hlposmon.config.tables import Reader
from hlposmon.config.tcp import reachable_notice, read_tcp
from hlposmon.config.venue import read_accounts, read_urls, watched_accounts
from hlposmon.errors import ConfigError

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def load(flags: Flags, environ: Mapping[str, str], *, root: Path = ROOT) -> Settings:
    """The settings for one run. Raises ConfigError with all mistakes. Reads files, and changes nothing."""
    loading = _Loading(flags, environ, root)
    settings = loading.settings()
    if loading.mistakes:
        raise ConfigError(loading.mistakes)
    return settings


class _Loading:
    """One reading of everything; lives only inside `load`."""

    def __init__(self, flags: Flags, environ: Mapping[str, str], root: Path) -> None:
        self.flags = flags
        self.mistakes: list[str] = []
        self.notices: list[str] = []
        self.environ = environ
        if flags.env_file:
            file = Surroundings(flags, environ, root).absolute(flags.env_file)
            # The real environment takes precedence over the file.
            self.environ = {**read_env_file(file, self.mistakes), **environ}
        self.around = Surroundings(flags, self.environ, root)
        self.config = find_config(self.around)
        self.unread = False

    def settings(self) -> Settings:
        top = self._read_config()
        execution_mode, simulated = self._mode(top)
        log_level = self._log_level(top)
        log_format = top.text("log_format", "text", choices=("text", "json"))
        paths = self._paths(top, simulated)
        hyperliquid = self._hyperliquid(top, simulated)
        settings = Settings(
            execution_mode=execution_mode,
            simulated=simulated,
            hyperliquid=hyperliquid,
            prices=_prices(top.table("prices")),
            reconcile=_reconcile(top.table("reconcile")),
            stream=_stream(top.table("stream")),
            tcp=self._tcp(top.table("tcp")),
            audit=_audit(top.table("audit")),
            supervision=_supervision(top.table("supervision")),
            paths=paths,
            log_level=log_level,
            log_format=self.flags.log_format or log_format,
            notices=tuple(self.notices),
            record=self.around.absolute(self.flags.record) if self.flags.record else None,
        )
        top.done()
        return settings

    def _read_config(self) -> Reader:
        skipped = unreadable_config(self.around)
        if self.config is None and skipped is not None:
            self.notices.append(f"{skipped} may not be read by this user and was left out")
        if self.config is None:
            return Reader("config", {}, self.mistakes)
        table = _parse(self.config, self.mistakes)
        self.unread = table is None
        return Reader(str(self.config), table or {}, self.mistakes)

    def _mode(self, top: Reader) -> tuple[str, bool]:
        """The execution mode, and whether the run is simulated."""
        mode = top.text("execution_mode", "live", choices=("live", "backtest"))
        live = self._switch("ENABLE_LIVE_TRADING")
        simulated = self.flags.simulate or live is False
        if mode == "backtest" and not live and not simulated:
            top.wrong("execution_mode", shown(mode), NO_BACKTEST)
        return "live" if live else mode, simulated

    def _switch(self, name: str) -> bool | None:
        """A true/false variable; None when unset or empty."""
        value = self.environ.get(name, "").strip()
        if value.lower() in TRUE:
            return True
        if value.lower() in FALSE or not value:
            return False if value else None
        self.mistakes.append(f"environment: {name}: found {shown(value)}, wanted true or false")
        return None

    def _log_level(self, top: Reader) -> str:
        configured = top.text("log_level", "INFO")
        given = self.environ.get("LOG_LEVEL", "").strip()
        level = (given or configured).upper()
        level = "WARNING" if level == "WARN" else level
        if level in LEVELS:
            return level
        wanted = "one of " + ", ".join(LEVELS)
        if given:
            self.mistakes.append(f"environment: LOG_LEVEL: found {shown(given)}, wanted {wanted}")
        else:
            top.wrong("log_level", shown(configured), wanted)
        return "INFO"

    def _paths(self, top: Reader, simulated: bool) -> Paths:
        table: dict[str, object] = {}
        for name in ("socket", "state_dir", "log_dir"):
            value = top.text(name, "")
            if value and not value.startswith(("/", "~/")):
                top.wrong(name, shown(value), "an absolute path")
            elif "\0" in value:
                top.wrong(name, shown(value), "a path without a NUL")
            elif value:
                table[name] = value
        paths = resolve(self.around, self.config, table, simulated)
        self.mistakes += socket_mistakes(paths)
        return paths

    def _tcp(self, table: Reader) -> TcpSettings:
        tcp = read_tcp(table)
        if (notice := reachable_notice(tcp)) is not None:
            self.notices.append(notice)
        return tcp

    def _hyperliquid(self, top: Reader, simulated: bool) -> HyperliquidSettings:
        venues = top.table("venues")
        table = venues.table("hyperliquid")
        enabled = table.boolean("enabled", True)
        testnet = table.boolean("testnet", False)
        switch = self._switch("HYPERLIQUID_TESTNET")
        testnet = testnet if switch is None else switch
        api_url, ws_url = read_urls(table, self.flags, testnet)
        fill_feeds = table.whole("fill_feeds", 2, least=1, most=8)
        max_users = table.whole("max_users", 10, least=1, most=1000)
        # An unreadable file may name accounts: () instead of None avoids the mistake that there are none.
        configured = () if self.unread else read_accounts(table)
        table.done()
        venues.done()
        if not enabled and not simulated:
            table.wrong("enabled", "false", "true: it is the one venue, so nothing would be watched")
        accounts = watched_accounts(
            self.around,
            configured,
            needed=enabled and not simulated,
            mistakes=self.mistakes,
            notices=self.notices,
        )
        return HyperliquidSettings(enabled, testnet, api_url, ws_url, fill_feeds, max_users, accounts)


def _parse(path: Path, mistakes: list[str]) -> dict[str, Any] | None:
    import tomllib

    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        mistakes.append(f"{path}: there is no such file, wanted the TOML file that was named")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        mistakes.append(f"{path}: cannot be read by this user (uid {os.getuid()}): {reason}")
    except UnicodeDecodeError as error:
        mistakes.append(f"{path}: found a byte that is no UTF-8 at {error.start}, wanted TOML in UTF-8")
    except RecursionError:
        mistakes.append(f"{path}: found brackets in brackets beyond all measure, wanted valid TOML")
    except ValueError as error:  # TOMLDecodeError, or a number of thousands of digits
        # tomllib's message may quote the text of the file, which may be a key.
        text = "a syntax error (not shown)" if looks_like_a_key(str(error)) else str(error)
        mistakes.append(f"{path}: found {text}, wanted valid TOML")
    return None


def _prices(table: Reader) -> PriceSettings:
    prices = PriceSettings(
        table.number("interval_s", 1.0, least=0.1, most=60),
        table.text("source", "auto", choices=("auto", "stream", "poll")),
    )
    table.done()
    return prices


def _reconcile(table: Reader) -> ReconcileSettings:
    reconcile = ReconcileSettings(table.number("interval_s", 60.0, least=0.5, most=3600))
    table.done()
    return reconcile


def _stream(table: Reader) -> StreamSettings:
    stream = StreamSettings(table.money("min_pnl_change", StreamSettings().min_pnl_change))
    table.done()
    return stream


def _audit(table: Reader) -> AuditSettings:
    audit = AuditSettings(table.text("fsync", "batch", choices=("each", "batch", "off")))
    table.done()
    return audit


def _supervision(table: Reader) -> SupervisionSettings:
    supervision = SupervisionSettings(
        table.number("backoff_s", 0.5, least=0.01, most=60),
        table.number("backoff_max_s", 30.0, least=0.01, most=600),
        table.number("silent_s", 8.0, least=0.5, most=600),
    )
    if supervision.backoff_max_s < supervision.backoff_s:
        table.wrong(
            "backoff_max_s",
            f"{supervision.backoff_max_s:g}",
            f"at least backoff_s, {supervision.backoff_s:g}",
        )
    table.done()
    return supervision
