// The stream as JSON lines, through restarts of the monitor, with a word on stderr when something was lost.
//
//   npm ci && node tail.mjs /run/hlposmon/hlposmon.sock
//   npm ci && node tail.mjs http://127.0.0.1:8000
//
// Messages are numbered without holes. After a cut the stream is asked for what came behind the last number
// (?since=SEQ); if the monitor does not have that any more, it sends the whole state instead.
import WebSocket from 'ws';

const STREAM = '/api/v1/positions/stream';
// The monitor says ping after 30 s in which it had nothing to say: longer silence is a dead connection.
const SILENCE_MS = 45_000;
const LONGEST_WAIT_MS = 10_000;

const where = process.argv[2] ?? process.env['HLPOSMON_SOCKET'] ?? '/run/hlposmon/hlposmon.sock';
const base = where.startsWith('http') ? where.replace(/^http/, 'ws') : `ws+unix:${where}:`;

/** @type {number | null} */
let last = null;
let wait_ms = 200;

/** @param {string} what */
const say = (what) => console.error(`tail: ${what}`);

function connect() {
  const socket = new WebSocket(`${base}${STREAM}${last === null ? '' : `?since=${last}`}`);
  /** @type {NodeJS.Timeout} */
  let silence = setTimeout(() => socket.terminate(), SILENCE_MS);

  socket.on('message', (data) => {
    clearTimeout(silence);
    silence = setTimeout(() => socket.terminate(), SILENCE_MS);
    wait_ms = 200;
    /** @type {import('./types.js').Message} */
    const message = JSON.parse(data.toString());
    if (message.type === 'initial_state') {
      if (last !== null && message.seq !== last) say(`begun anew at ${message.seq}, after ${last}`);
    } else if ('seq' in message) {
      if (last !== null && message.seq !== last + 1) {
        say(`lost ${last + 1} to ${message.seq - 1}: asking for the whole state`);
        last = null;
        return socket.terminate();
      }
    } else {
      return; // ping and the like: no part of the numbered stream
    }
    last = message.seq;
    console.log(JSON.stringify(message));
  });
  socket.on('error', (error) => say(error.message));
  socket.on('close', (code, reason) => {
    clearTimeout(silence);
    say(`closed (${code} ${reason}); again in ${wait_ms} ms`);
    setTimeout(connect, wait_ms);
    wait_ms = Math.min(2 * wait_ms, LONGEST_WAIT_MS);
  });
}

process.stdout.on('error', () => process.exit(0)); // who read it has had enough
connect();
