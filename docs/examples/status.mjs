// The positions, once, as a small table. No dependency: Node 20 or newer.
//
//   node status.mjs /run/hlposmon/hlposmon.sock       over the Unix socket
//   node status.mjs http://127.0.0.1:8000             over TCP, with [tcp] listen = "127.0.0.1:8000"
//
// Exit status: 0 all proven, 1 something is in doubt, 3 no monitor answers.
import http from 'node:http';

const SUMMARY = '/api/v1/positions/summary';

/**
 * @param {string} where a path, or a URL
 * @returns {Promise<import('./types.js').Summary>}
 */
function summary(where) {
  const request = where.startsWith('http')
    ? http.get(new URL(SUMMARY, where), { timeout: 2000 })
    : http.get({ socketPath: where, path: SUMMARY, timeout: 2000 });
  return new Promise((resolve, reject) => {
    request.on('timeout', () => request.destroy(new Error('no answer for 2 s')));
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part) => (text += part));
      response.on('error', reject);
      response.on('end', () => {
        const answer = JSON.parse(text);
        if (response.statusCode === 200) resolve(answer);
        else reject(new Error(`${response.statusCode}: ${answer.error.message}`));
      });
    });
  });
}

const where = process.argv[2] ?? process.env['HLPOSMON_SOCKET'] ?? '/run/hlposmon/hlposmon.sock';
try {
  const answer = await summary(where);
  console.log(`${answer.mode} ${answer.health}, unrealised P&L ${answer.unrealized_pnl ?? '-'} USD`);
  for (const [name, position] of Object.entries(answer.positions)) {
    // Amounts are strings, exact to the last digit. Show them as they are.
    console.log([name, position.size, position.unrealized_pnl ?? '-', position.verdict].join('\t'));
  }
  if (!answer.stated) console.log('positions unknown: the exchange has not stated every account yet');
  const proven = Object.values(answer.accounts).every((account) => account.verdict === 'proven');
  const all = Object.values(answer.positions).every((position) => position.verdict === 'proven');
  process.exitCode = answer.stated && proven && all ? 0 : 1;
} catch (error) {
  console.error(`${where}: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 3;
}
