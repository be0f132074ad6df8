"""The history's tables as SQL steps: a new file is created by the same steps that migrate an old one.

docs/api.md describes each column, for readers in any language. Amounts are TEXT, decimals without exponent.
Recurring names, coins and words are stored once and referenced. A released step is never changed; a change
becomes the next step.
"""

# Its name in the monitor's state folder.
HISTORY_FILE = "history.sqlite3"
# "HLPM": distinguishes a history from any other SQLite file.
APPLICATION_ID = 0x484C504D

_FIRST = (
    """CREATE TABLE meta (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        journal_seq INTEGER NOT NULL,
        journal_hash TEXT NOT NULL,
        mode TEXT NOT NULL,
        addresses TEXT NOT NULL,
        repeated INTEGER NOT NULL,
        skipped INTEGER NOT NULL
    )""",
    f"INSERT INTO meta VALUES (1, 0, '{'0' * 64}', '', '{{}}', 0, 0)",
    """CREATE TABLE accounts (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        address TEXT NOT NULL,
        mode TEXT NOT NULL,
        base_ms INTEGER,
        UNIQUE (name, address, mode)
    )""",
    "CREATE TABLE instruments (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, symbol TEXT NOT NULL)",
    "CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE)",
    """CREATE TABLE fill (
        time_ms INTEGER NOT NULL,
        account INTEGER NOT NULL REFERENCES accounts,
        instrument INTEGER NOT NULL REFERENCES instruments,
        order_id INTEGER NOT NULL,
        tid INTEGER NOT NULL,
        side INTEGER NOT NULL,
        start_position TEXT NOT NULL,
        quantity TEXT NOT NULL,
        seq INTEGER NOT NULL,
        lag_ms INTEGER NOT NULL,
        price TEXT NOT NULL,
        fee TEXT NOT NULL,
        fee_token INTEGER NOT NULL REFERENCES words,
        closed_pnl TEXT NOT NULL,
        direction INTEGER NOT NULL REFERENCES words,
        crossed INTEGER NOT NULL,
        liquidation TEXT,
        tx_hash BLOB,
        effect INTEGER REFERENCES words,
        late INTEGER NOT NULL,
        position_size TEXT NOT NULL,
        position_entry TEXT,
        position_realized TEXT NOT NULL,
        position_closed_pnl TEXT NOT NULL,
        position_fees TEXT NOT NULL,
        position_funding TEXT NOT NULL,
        position_fills INTEGER NOT NULL,
        PRIMARY KEY (time_ms, account, instrument, order_id, tid, side, start_position, quantity)
    ) WITHOUT ROWID""",
    """CREATE TABLE funding (
        time_ms INTEGER NOT NULL,
        account INTEGER NOT NULL REFERENCES accounts,
        instrument INTEGER NOT NULL REFERENCES instruments,
        seq INTEGER NOT NULL,
        lag_ms INTEGER NOT NULL,
        amount TEXT NOT NULL,
        size TEXT NOT NULL,
        rate TEXT NOT NULL,
        position_size TEXT NOT NULL,
        position_funding TEXT NOT NULL,
        PRIMARY KEY (time_ms, account, instrument)
    ) WITHOUT ROWID""",
    """CREATE TABLE adoptions (
        seq INTEGER NOT NULL,
        heard_ms INTEGER NOT NULL,
        account INTEGER NOT NULL REFERENCES accounts,
        instrument INTEGER NOT NULL REFERENCES instruments,
        event TEXT NOT NULL,
        statement_ms INTEGER NOT NULL,
        before_size TEXT NOT NULL,
        before_entry TEXT,
        position_size TEXT NOT NULL,
        position_entry TEXT
    )""",
    """CREATE TABLE gaps (
        seq INTEGER NOT NULL,
        heard_ms INTEGER NOT NULL,
        account INTEGER NOT NULL REFERENCES accounts,
        instrument INTEGER NOT NULL REFERENCES instruments,
        since_ms INTEGER NOT NULL,
        expected TEXT NOT NULL,
        found TEXT NOT NULL,
        ended_ms INTEGER,
        ended_by TEXT,
        missing INTEGER
    )""",
    "CREATE INDEX open_gaps ON gaps (account, instrument) WHERE ended_ms IS NULL",
    """CREATE TABLE drifts (
        seq INTEGER NOT NULL,
        heard_ms INTEGER NOT NULL,
        account INTEGER NOT NULL REFERENCES accounts,
        instrument INTEGER NOT NULL REFERENCES instruments,
        book_size TEXT NOT NULL,
        venue_size TEXT NOT NULL,
        cause TEXT NOT NULL
    )""",
    """CREATE TABLE outages (
        seq INTEGER NOT NULL,
        heard_ms INTEGER NOT NULL,
        account INTEGER NOT NULL REFERENCES accounts,
        since_ms INTEGER,
        reason TEXT NOT NULL,
        ended_ms INTEGER
    )""",
    """CREATE TABLE holdings (
        account INTEGER NOT NULL REFERENCES accounts,
        instrument INTEGER NOT NULL REFERENCES instruments,
        size TEXT NOT NULL,
        cost TEXT NOT NULL,
        realized_pnl TEXT NOT NULL,
        closed_pnl TEXT NOT NULL,
        fees TEXT NOT NULL,
        funding TEXT NOT NULL,
        fills INTEGER NOT NULL,
        known_ms INTEGER NOT NULL,
        last_funding_ms INTEGER NOT NULL,
        seen TEXT NOT NULL,
        PRIMARY KEY (account, instrument)
    ) WITHOUT ROWID""",
    """CREATE TABLE doubts (
        account INTEGER NOT NULL REFERENCES accounts,
        key TEXT NOT NULL,
        since_ms INTEGER NOT NULL,
        PRIMARY KEY (account, key)
    ) WITHOUT ROWID""",
    """CREATE VIEW fills AS SELECT
        f.seq, f.time_ms, f.time_ms + f.lag_ms AS heard_ms, a.name AS account, a.address, a.mode,
        i.key, i.symbol, CASE f.side WHEN 1 THEN 'buy' ELSE 'sell' END AS side, f.quantity, f.price,
        f.fee, t.word AS fee_token, f.order_id, nullif(f.tid, 0) AS tid, f.start_position, f.closed_pnl,
        d.word AS direction, f.crossed, f.liquidation, f.tx_hash, e.word AS effect, f.late,
        f.position_size, f.position_entry, f.position_realized, f.position_closed_pnl,
        f.position_fees, f.position_funding, f.position_fills,
        f.account AS account_id, f.instrument AS instrument_id
    FROM fill AS f
        CROSS JOIN accounts AS a ON a.id = f.account
        CROSS JOIN instruments AS i ON i.id = f.instrument
        CROSS JOIN words AS t ON t.id = f.fee_token
        CROSS JOIN words AS d ON d.id = f.direction
        LEFT JOIN words AS e ON e.id = f.effect""",
)

_SECOND = (
    """CREATE TABLE statements (
        account INTEGER NOT NULL REFERENCES accounts,
        statement_ms INTEGER NOT NULL,
        heard_ms INTEGER NOT NULL,
        source TEXT NOT NULL,
        digest BLOB NOT NULL,
        agreed INTEGER NOT NULL,
        differing TEXT
    )""",
    "CREATE INDEX statements_by_age ON statements (heard_ms)",
    # Journal lines that could not be written to the log folder, kept until they can.
    "CREATE TABLE unwritten (seq INTEGER PRIMARY KEY, day TEXT NOT NULL, line BLOB NOT NULL)",
)

# Funding may be booked out of order, and a restart must know which payments are booked.
_THIRD = (
    "ALTER TABLE holdings ADD COLUMN funding_floor_ms INTEGER",
    "ALTER TABLE holdings ADD COLUMN fundings TEXT NOT NULL DEFAULT '[]'",
)

# The history follows the journal's files. A restart needs the last checkpoint, not a second book. A mark per
# commit shows where the history departs from a journal that lost its end. The end of a gap or an outage
# has its line's number, so that a rollback can undo it.
_FOURTH = (
    "DROP TABLE holdings",
    "DROP TABLE doubts",
    "DROP TABLE unwritten",
    """CREATE TABLE checkpoint (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        seq INTEGER NOT NULL,
        line TEXT NOT NULL
    )""",
    "CREATE TABLE marks (seq INTEGER PRIMARY KEY, hash TEXT NOT NULL, checkpoint_seq INTEGER NOT NULL)",
    "INSERT INTO marks SELECT journal_seq, journal_hash, 0 FROM meta WHERE journal_seq > 0",
    "ALTER TABLE statements ADD COLUMN seq INTEGER",
    "ALTER TABLE gaps ADD COLUMN ended_seq INTEGER",
    "ALTER TABLE outages ADD COLUMN ended_seq INTEGER",
)

# How the equity of each dex came about, as sums since the watch began; and the transfers among them.
_LEDGER = (
    """CREATE TABLE points (
        seq INTEGER PRIMARY KEY,
        account INTEGER NOT NULL REFERENCES accounts,
        scope TEXT NOT NULL,
        quote TEXT,
        time_ms INTEGER NOT NULL,
        since_ms INTEGER NOT NULL,
        opening TEXT NOT NULL,
        equity TEXT NOT NULL,
        unrealized_pnl TEXT NOT NULL,
        realized_pnl TEXT NOT NULL,
        fees TEXT NOT NULL,
        funding TEXT NOT NULL,
        transfers TEXT NOT NULL,
        unexplained TEXT NOT NULL
    )""",
    "CREATE INDEX points_by_time ON points (account, scope, time_ms)",
    """CREATE TABLE transfers (
        seq INTEGER PRIMARY KEY,
        heard_ms INTEGER NOT NULL,
        account INTEGER NOT NULL REFERENCES accounts,
        time_ms INTEGER NOT NULL,
        type TEXT NOT NULL,
        text TEXT NOT NULL,
        moves TEXT NOT NULL,
        tx_hash TEXT NOT NULL,
        row TEXT
    )""",
)

# What caused a fill. Rows of older audit lines have null: those lines do not say it.
_CAUSES = (
    "ALTER TABLE fill ADD COLUMN cause INTEGER REFERENCES words",
    "ALTER TABLE fill ADD COLUMN twap_id INTEGER",
    "ALTER TABLE fill ADD COLUMN builder_fee TEXT",
    "DROP VIEW fills",
    """CREATE VIEW fills AS SELECT
        f.seq, f.time_ms, f.time_ms + f.lag_ms AS heard_ms, a.name AS account, a.address, a.mode,
        i.key, i.symbol, CASE f.side WHEN 1 THEN 'buy' ELSE 'sell' END AS side, f.quantity, f.price,
        f.fee, t.word AS fee_token, f.order_id, nullif(f.tid, 0) AS tid, f.start_position, f.closed_pnl,
        d.word AS direction, f.crossed, f.liquidation, f.tx_hash, e.word AS effect, f.late,
        f.position_size, f.position_entry, f.position_realized, f.position_closed_pnl,
        f.position_fees, f.position_funding, f.position_fills,
        f.account AS account_id, f.instrument AS instrument_id,
        c.word AS cause, f.twap_id, f.builder_fee
    FROM fill AS f
        CROSS JOIN accounts AS a ON a.id = f.account
        CROSS JOIN instruments AS i ON i.id = f.instrument
        CROSS JOIN words AS t ON t.id = f.fee_token
        CROSS JOIN words AS d ON d.id = f.direction
        LEFT JOIN words AS e ON e.id = f.effect
        LEFT JOIN words AS c ON c.id = f.cause""",
)

# The steps by the schema version that each of them leads to.
STEPS: dict[int, tuple[str, ...]] = {1: _FIRST, 2: _SECOND, 3: _THIRD, 4: _FOURTH, 5: _LEDGER, 6: _CAUSES}
VERSION = max(STEPS)
# The version from which on there are points and transfers.
LEDGER_VERSION = 5
