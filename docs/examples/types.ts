/**
 * Every answer and every message of hlposmon's socket, and its one file of JSON, as TypeScript.
 *
 * This file is the one source: docs/schema/messages.json is made of it (`npm run schema`), and the tests hold
 * what a running monitor really says to that schema, field by field.
 *
 * A later version may add fields and messages: pass over what you do not know.
 */

/** An amount: decimal digits, perhaps a sign and one point, never an exponent. Not a number: 0.1 is no float. */
export type Decimal = string;
/** RFC 3339, UTC, milliseconds: `2026-11-20T10:00:00.123Z`. */
export type Time = string;
/** How many messages were published. Larger than 2^32, and safe as a JavaScript number. */
export type Seq = number;

export type Mode = "live" | "simulated" | "backtest";
/** What may be claimed of a number. Show nothing without it. */
export type Verdict = "proven" | "unproven" | "drift" | "stale";
/** The law by which a size is proven: fills that chain, all trades from a cursor, or the venue's last word. */
export type Proof = "fills" | "trades" | "statement";
export type Status = "healthy" | "degraded" | "unhealthy" | "stopping";
export type MarginMode = "cross" | "isolated";
export type Side = "long" | "short" | "flat";

export interface Position {
  /** `venue:type:symbol`; split at the first two colons only. */
  key: string;
  account: string;
  venue: string;
  /** The second part of `key`. */
  type: string;
  /** The dex that lists it, "" for the first. */
  dex: string;
  /** The token that all its amounts of money are in; null while the exchange has not said. */
  quote: string | null;
  coin: string;
  symbol: string;
  side: Side;
  /** Unsigned. */
  quantity: Decimal;
  /** Signed: a short is negative. */
  size: Decimal;
  /** Null when flat. */
  entry_price: Decimal | null;
  /** The mark, as `mark_price`; null before the first. */
  current_price: Decimal | null;
  mark_price: Decimal | null;
  unrealized_pnl: Decimal | null;
  /** Gross of fees and funding. */
  realized_pnl: Decimal | null;
  /** What the exchange booked as realised. */
  closed_pnl: Decimal | null;
  /** Paid is positive. Null on spot, like all that was earned and paid: its trades are not followed. */
  fees: Decimal | null;
  /** Received is positive. */
  funding: Decimal | null;
  /** realised + unrealised - fees + funding; null while there is no mark. */
  total_pnl: Decimal | null;
  notional_value: Decimal | null;
  /** What backs it: all cross positions of its dex together, or cash of its own. Null where it is not stated. */
  margin_mode: MarginMode | null;
  leverage: Decimal | null;
  /** The greatest leverage that the exchange grants this position. */
  max_leverage: Decimal | null;
  margin_used: Decimal | null;
  /** The margin that it must keep at this size and mark, by the exchange's tiers; null while they are not known. */
  maintenance_margin: Decimal | null;
  liquidation_price: Decimal | null;
  /** (mark - liquidation price) / mark of a long, the opposite of a short: negative beyond that price. */
  liquidation_distance: Decimal | null;
  /** What of a token is reserved; null for perpetuals. */
  hold: Decimal | null;
  /** How many fills are in it. */
  fills: number;
  verdict: Verdict;
  /** Null when proven. */
  verdict_reason: string | null;
  proof: Proof;
  /** The exchange's time up to which the position is known; null while nothing is known. Prices have their own. */
  as_of: Time | null;
  /** Of which block the statement is that it rests on; null where the venue has no blocks. */
  block: number | null;
  last_fill_time: Time | null;
  last_updated: Time | null;
  is_flat: boolean;
}

/** All are null until every account that they are over is stated. */
export interface Totals {
  active_positions: number | null;
  total_exposure: Decimal | null;
  total_pnl: Decimal | null;
  realized_pnl: Decimal | null;
  unrealized_pnl: Decimal | null;
  fees: Decimal | null;
  funding: Decimal | null;
}

export interface Account extends Totals {
  address: string | null;
  /** Null while it is not known, and never zero for not known: `equity_reason` says why. */
  equity: Decimal | null;
  margin_used: Decimal | null;
  /** What its positions must keep, in USD; null while it is not known. */
  maintenance_margin: Decimal | null;
  /** The highest share that this is of what backs cross positions: at 1 the exchange liquidates. */
  margin_ratio: Decimal | null;
  withdrawable: Decimal | null;
  /** Why equity, margin_used and withdrawable are null; null when they are known. */
  equity_reason: string | null;
  /** What of the cash of its dexes nothing that was reported explains, in USD to the cent. */
  unexplained: Decimal | null;
  /** Why unexplained is null; null when it is known. */
  unexplained_reason: string | null;
  /** Why maintenance_margin or margin_ratio is null; null when both are known. */
  margin_reason: string | null;
  /** How its balances are kept, as the exchange says: default, disabled, unifiedAccount, portfolioMargin, ... */
  mode: string | null;
  /** What the exchange takes the address for: user, vault, subAccount, agent, missing. */
  role: string | null;
  /** The account behind an agent or a sub-account. */
  master: string | null;
  /** The configured address, if that is an agent's: `address` is then that of its account. */
  agent: string | null;
  /** How its fills are known: by a stream, or by poll, in a round each `round_s` seconds. */
  followed: "stream" | "poll";
  /** Seconds between two rounds of a polled account; null for a stream. */
  round_s: number | null;
  verdict: Verdict;
  verdict_reason: string | null;
  /** The exchange's time of its last statement of the account; null before the first since the start. */
  as_of: Time | null;
  /** One for each market on which it holds, or held, something. */
  scopes: Scope[];
  /** What its owner should know, as long as it holds: an agent's address, what it holds that could not be read. */
  notices: string[];
  positions: Record<string, Position>;
}

/** One market of an account: what one statement of the exchange covers. Null: not known. */
export interface Scope {
  /** The dex, "" for the first. */
  name: string;
  /** The type of what it holds, as in `key`. */
  market: string;
  /** The token that its figures are in. */
  quote: string | null;
  equity: Decimal | null;
  margin_used: Decimal | null;
  withdrawable: Decimal | null;
  as_of: Time | null;
  proof: Proof;
  verdict: Verdict;
  verdict_reason: string | null;
}

/** Seconds since each was last heard; null for never. */
export interface Ages {
  fills: number | null;
  prices: number | null;
  /** The last statement that was compared, by either way. */
  reconcile: number | null;
  pushes: number | null;
  rest: number | null;
}

export interface FeedTally {
  fills: number;
  first: number;
  missed: number;
}

/** What all processes together spent in the last minute of what the exchange allows. */
export interface Quota {
  weight_used: number;
  weight_limit: number;
  weight_kept_for_heals: number;
  connections_used: number;
  connections_limit: number;
  /** How long what may wait keeps still after the exchange said 429. */
  silent_s: number;
}

/** `GET /api/v1/positions/summary` */
export interface Summary extends Totals {
  timestamp: Time;
  seq: Seq;
  mode: Mode;
  /** False while the exchange has not stated every account: then nothing is known, and the sums are null. */
  stated: boolean;
  /** By symbol with one account, by `account/symbol` with several, by key where a symbol would stand for two. */
  positions: Record<string, Position>;
  accounts: Record<string, Account>;
  feeds: {
    ages_s: Ages;
    fill_feeds_s: Record<string, number>;
    fill_feeds: Record<string, FeedTally>;
  };
  quota: Quota;
  health: Status;
}

/** Seconds: when a feed is late, and when what rests on it is stale. */
export type Thresholds = [late: number, stale: number];

/** Why it is not healthy, or not ready. */
export interface Detail {
  code: string;
  account: string | null;
  text: string;
}

/** `GET /api/v1/positions/health`; comes with status 503 when unhealthy or stopping. */
export interface Health {
  status: Status;
  running: boolean;
  mode: Mode;
  /** Every account is stated and proven, and nothing that it holds is left out. */
  ready: boolean;
  /** The worst first. */
  reasons: string[];
  /** The same reasons, with a code for programs and the account that each is about. */
  details: Detail[];
  /** Those of the reasons that are a late feed's, by feed. */
  late: { fills?: string; prices?: string; reconcile?: string };
  accounts: number;
  /** Open positions; null until every account is stated. */
  positions: number | null;
  /** Coins without a position whose flatness is in doubt: they have a verdict, too. Null like `positions`. */
  flat_in_doubt: number | null;
  stated: boolean;
  unrealized_pnl: Decimal | null;
  ages_s: Ages;
  thresholds: { fills: Thresholds; prices: Thresholds; reconcile: Thresholds };
  verdicts: { [verdict in Verdict]?: number };
  restarts: number;
  /** Since the tracker began. */
  incidents: { gap: number; healed: number; drift: number; unlisted: number };
  journal: { seq: number; backlog: number; lost: number; failure: string | null };
  history: { seq: number; backlog: number; failure: string | null };
  since: Time;
}

export type WorkerState = "down" | "starting" | "up" | "backoff" | "aborting" | "killing" | "stopping";

export interface Worker {
  name: string;
  kind: string;
  pid: number | null;
  state: WorkerState;
  restarts: number;
  beat_age_s: number | null;
  uptime_s: number | null;
  memory_bytes: number | null;
  weight_used: number | null;
  flapping: boolean;
  last_exit: number | null;
}

/** `GET /api/v1/workers` */
export interface Workers {
  supervisor: { pid: number; memory_bytes: number | null };
  workers: Worker[];
  quota: Quota;
}

/** `pruned.json` beside the audit's files: the last line that `hlposmon audit prune` removed. */
export interface Pruned {
  seq: Seq;
  hash: string;
  /** The day of its file, and the day on which it was removed: `2026-11-21`. */
  day: string;
  on: string;
}

/** Any answer whose status says that it failed. */
export interface Refusal {
  error: { code: string; message: string };
}

export interface Fill {
  symbol: string;
  side: "buy" | "sell";
  quantity: Decimal;
  price: Decimal;
  timestamp: Time;
  order_id: string;
  fill_id: string;
  tid: number | null;
  fee: Decimal;
  fee_token: string;
  /** The part of `fee` that a front end takes. */
  builder_fee: Decimal | null;
  /** `order`, `twap`, `liquidation`, `adl`, `settlement`, `vault`, `dust`, `other`; more may be added. */
  cause: string;
  /** How the account itself was liquidated: `market` or `backstop`. */
  liquidation: string | null;
  twap_id: number | null;
}

// ------------------------------------------------------------------ the stream

/** What every numbered message of the stream carries. */
export interface Told {
  seq: Seq;
  account: string;
  key: string;
  symbol: string;
  timestamp: Time;
}

export interface InitialState extends Summary {
  type: "initial_state";
}
export interface SummaryMessage extends Summary {
  type: "summary";
}

export interface FillUpdate extends Told {
  type: "position_update";
  event_type: "fill";
  position: Position;
  fill: Fill;
}
export interface PriceUpdate extends Told {
  type: "position_update";
  event_type: "price_update";
  position: Position;
  fill: null;
}
/** Figures adopted from the exchange. */
export interface AdoptedUpdate extends Told {
  type: "position_update";
  event_type: "position_change";
  reason: "start" | "drift" | "entry";
  position: Position;
  fill: null;
}
export interface FundingUpdate extends Told {
  type: "position_update";
  event_type: "position_change";
  reason: "funding";
  funding: { amount: Decimal; timestamp: Time };
  position: Position;
  fill: null;
}
export interface VerdictUpdate extends Told {
  type: "position_update";
  event_type: "verdict";
  before: Verdict | null;
  position: Position;
  fill: null;
}
export type PositionUpdate = FillUpdate | PriceUpdate | AdoptedUpdate | FundingUpdate | VerdictUpdate;

/** A fill does not chain: at least one is missing. */
export interface Gap extends Told {
  type: "gap";
  expected: Decimal;
  found: Decimal;
  since: Time;
}
export interface Healed extends Told {
  type: "healed";
  since: Time;
  missing: number;
}
export interface Drift extends Told {
  type: "drift";
  book_size: Decimal;
  venue_size: Decimal;
  cause: string;
}

/** The account itself was liquidated in this position; what its fills changed is in their own messages. */
export interface Liquidation extends Told {
  type: "liquidation";
  /** The exchange's time of it. */
  time: Time;
  /** `market` or `backstop`; null where the exchange's ledger alone says it, as is `order_id`. */
  method: string | null;
  order_id: string | null;
}
/** What concerns a whole account. */
export interface ToldOfAccount {
  seq: Seq;
  account: string;
  timestamp: Time;
}
/** What a transfer adds to a market of the account; negative where it takes. */
export interface Movement {
  /** A dex ("" is the first), or spot. */
  scope: string;
  token: string;
  amount: Decimal;
}
export interface Transfer extends ToldOfAccount {
  type: "transfer";
  /** The exchange's word: deposit, withdraw, send, ... */
  transfer_type: string;
  time: Time;
  time_ms: number;
  id: string;
  text: string;
  moves: Movement[];
  hash_of_transaction: string;
  /** The exchange's whole row as JSON, where its type is not known. */
  row?: string;
}
/** The account's balances are kept otherwise from now on. */
export interface ModeChange extends ToldOfAccount {
  type: "mode";
  mode: string;
  before: string;
}

export interface Ping {
  type: "ping";
}
export interface Pong {
  type: "pong";
}
export interface Subscribed {
  type: "subscribed";
  events: string[];
  accounts: string[];
}
export interface ErrorMessage {
  type: "error";
  message: string;
}

/** What comes with a `seq` of its own, each one higher than the one before. */
export type Numbered = PositionUpdate | Gap | Healed | Drift | Liquidation | Transfer | ModeChange;
export type Message =
  | InitialState
  | SummaryMessage
  | Numbered
  | Ping
  | Pong
  | Subscribed
  | ErrorMessage;

export type EventName =
  | "fill"
  | "price_update"
  | "position_change"
  | "verdict"
  | "gap"
  | "healed"
  | "drift"
  | "liquidation"
  | "transfer"
  | "mode";

/** What a client may send. */
export type Action =
  | { action: "get_summary" }
  | { action: "ping" }
  | { action: "subscribe"; events?: EventName[]; accounts?: string[] };

// ---------------------------------------------------------- the same, `?compact=1`

export interface CompactPrice {
  seq: Seq;
  e: "p";
  a: string;
  k: string;
  m: Decimal | null;
  u: Decimal | null;
}
export interface CompactFill {
  seq: Seq;
  e: "fill";
  a: string;
  k: string;
  t: Time | null;
  s: Decimal;
  x: Decimal | null;
  r: Decimal;
  side: "buy" | "sell";
  q: Decimal;
  p: Decimal;
  id: string;
  c: string;
}
export interface CompactChange {
  seq: Seq;
  e: "position_change";
  a: string;
  k: string;
  t: Time | null;
  s: Decimal;
  x: Decimal | null;
  r: Decimal;
}
export interface CompactVerdict {
  seq: Seq;
  e: "verdict";
  a: string;
  k: string;
  t: Time | null;
  v: Verdict;
  why: string | null;
}
export interface CompactGap {
  seq: Seq;
  e: "gap";
  a: string;
  k: string;
  expected: Decimal;
  found: Decimal;
  since: Time;
}
export interface CompactHealed {
  seq: Seq;
  e: "healed";
  a: string;
  k: string;
  since: Time;
  missing: number;
}
export interface CompactDrift {
  seq: Seq;
  e: "drift";
  a: string;
  k: string;
  book_size: Decimal;
  venue_size: Decimal;
  cause: string;
}
export interface CompactLiquidation {
  seq: Seq;
  e: "liquidation";
  a: string;
  k: string;
  time: Time;
  method: string | null;
  order_id: string | null;
}
export type Compact =
  | CompactPrice
  | CompactFill
  | CompactChange
  | CompactVerdict
  | CompactGap
  | CompactHealed
  | CompactDrift
  | CompactLiquidation;

/** Everything, for the schema. */
/** Where the equity of each dex came from between two times: `GET /api/v1/ledger`. */
export interface LedgerAnswer {
  since: Time | null;
  until: Time | null;
  accounts: {
    [name: string]: {
      /** In USD; null where a dex whose figures are in another token has some. */
      unexplained: Decimal | null;
      markets: LedgerMarket[];
      transfers: LedgerTransfer[];
    };
  };
}
/** The terms of one dex, in its `quote` token; fees paid are positive. */
export interface LedgerMarket {
  scope: string;
  quote: string | null;
  from: Time;
  to: Time;
  equity_from: Decimal;
  realized_pnl: Decimal;
  fees: Decimal;
  funding: Decimal;
  transfers: Decimal;
  unrealized_pnl: Decimal;
  equity_to: Decimal;
  unexplained: Decimal;
}
export interface LedgerTransfer {
  seq: Seq;
  time: Time;
  transfer_type: string;
  text: string;
  moves: Movement[];
  hash_of_transaction: string;
}

export type Anything =
  | Summary
  | Health
  | Workers
  | LedgerAnswer
  | Refusal
  | Message
  | Compact
  | Action
  | Pruned;
