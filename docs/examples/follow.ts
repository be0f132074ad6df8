/**
 * The stream as a picture that is always true or says that it is not. For browsers and Node, no dependency.
 *
 *   const stop = follow("ws://127.0.0.1:8000", (picture) => render(picture));
 *
 * It connects again after a cut, asks for what it missed (`?since=SEQ`), notices a hole in the numbers, and
 * calls every position stale as soon as nobody vouches for it any more.
 */
import type { Message, Numbered, Position, Summary } from "./types.js";

const STREAM = "/api/v1/positions/stream";
/** The monitor says ping after 30 s in which it had nothing to say. */
const SILENCE_MS = 45_000;
/** Sums, ages and the health are no part of the updates: they are asked for this often. */
const ASK_MS = 2_000;
const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 10_000;

export interface Picture {
  /** False: what is shown is old, and every verdict is `stale`. */
  live: boolean;
  /** Why it is not live. */
  problem: string | null;
  /** The last summary: sums, ages, health, accounts. Null before the first. */
  summary: Summary | null;
  /** By account and key; flat ones are left out once they are proven. */
  positions: ReadonlyMap<string, Position>;
  seq: number | null;
}

export const NOTHING: Picture = {
  live: false,
  problem: "not connected yet",
  summary: null,
  positions: new Map(),
  seq: null,
};

/** As much of the WebSocket as is needed: the browser's own, or that of `ws` for Node before 22. */
export interface Socket {
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: ((event: unknown) => void) | null;
  readonly readyState: number;
  send(data: string): void;
  close(): void;
}
export type Connect = (url: string) => Socket;

const browser: Connect = (url) => new WebSocket(url) as Socket;
const nameOf = (position: Position): string => `${position.account} ${position.key}`;

/** What a summary shows. */
export function pictureOf(summary: Summary): Picture {
  const listed = Object.values(summary.accounts).flatMap((account) => Object.values(account.positions));
  const positions = new Map(listed.map((position) => [nameOf(position), position]));
  return { live: true, problem: null, summary, positions, seq: summary.seq };
}

/** The picture after one message of the stream; null where a message is missing before it. */
export function after(picture: Picture, message: Numbered): Picture | null {
  if (picture.seq === null || message.seq !== picture.seq + 1) return null;
  const next = { ...picture, live: true, problem: null, seq: message.seq };
  if (message.type !== "position_update") return next; // gap, healed, drift: a verdict follows; liquidation: with its fills
  const positions = new Map(picture.positions);
  const { position } = message;
  if (position.is_flat && position.verdict === "proven") positions.delete(nameOf(position));
  else positions.set(nameOf(position), position);
  return { ...next, positions };
}

/** The same numbers when nobody vouches for them any more. */
export function stale(picture: Picture, problem: string): Picture {
  const positions = new Map<string, Position>();
  for (const [name, position] of picture.positions) {
    positions.set(name, { ...position, verdict: "stale", verdict_reason: problem });
  }
  return { ...picture, live: false, problem, positions };
}

/** Follow the monitor at `base` (`ws://host:port`) and tell every new picture. The answer ends it. */
export function follow(base: string, tell: (picture: Picture) => void, connect: Connect = browser): () => void {
  let picture = NOTHING;
  let socket: Socket | null = null;
  let silence: ReturnType<typeof setTimeout> | undefined;
  let again: ReturnType<typeof setTimeout> | undefined;
  let wait_ms = FIRST_WAIT_MS;
  let ended = false;

  const show = (next: Picture): void => {
    picture = next;
    tell(picture);
  };

  const lose = (problem: string): void => {
    clearTimeout(silence);
    if (socket !== null) {
      socket.onmessage = socket.onclose = null; // nothing that this one still says counts
      socket.onerror = () => undefined;
      socket.close();
      socket = null;
    }
    if (ended) return;
    show(stale(picture, problem));
    again = setTimeout(open, wait_ms);
    wait_ms = Math.min(2 * wait_ms, LONGEST_WAIT_MS);
  };

  const hear = (message: Message): void => {
    clearTimeout(silence);
    silence = setTimeout(() => lose(`silent for ${SILENCE_MS / 1000} s`), SILENCE_MS);
    wait_ms = FIRST_WAIT_MS;
    if (message.type === "initial_state" || message.type === "summary") return show(pictureOf(message));
    if (!("seq" in message)) return;
    const next = after(picture, message);
    if (next !== null) return show(next);
    const lost = `a message is missing before ${message.seq}`;
    picture = { ...picture, seq: null }; // asks for the whole state, not for what follows
    lose(lost);
  };

  const open = (): void => {
    const since = picture.seq === null ? "" : `?since=${picture.seq}`;
    const opened = connect(`${base}${STREAM}${since}`);
    socket = opened;
    silence = setTimeout(() => lose("no connection"), SILENCE_MS);
    opened.onmessage = (event) => hear(JSON.parse(String(event.data)) as Message);
    opened.onerror = () => undefined; // a close follows, which says more
    opened.onclose = (event) => lose(event.reason || `connection lost (${event.code})`);
  };

  const asking = setInterval(() => {
    if (socket?.readyState === 1) socket.send(JSON.stringify({ action: "get_summary" }));
  }, ASK_MS);

  open();
  return () => {
    ended = true;
    clearInterval(asking);
    clearTimeout(again);
    lose("");
  };
}
