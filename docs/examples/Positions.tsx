/** A table of positions in which no number stands without its verdict, and nothing old looks new. */
import type { Connect } from "./follow.js";
import type { Position, Verdict } from "./types.js";
import { usePositions } from "./usePositions.js";

const COLOURS: Record<Verdict, string> = {
  proven: "green",
  unproven: "darkorange",
  drift: "crimson",
  stale: "gray",
};

/** To the cent, for the eye: rounded as text would be, never computed with. */
function cents(amount: string | null): string {
  return amount === null ? "-" : Number(amount).toFixed(2);
}

function Row({ position }: { position: Position }) {
  const old = position.verdict === "stale";
  return (
    <tr style={{ opacity: old ? 0.5 : 1 }}>
      <td>{position.account}</td>
      <td>{position.symbol}</td>
      <td>{position.side}</td>
      <td>{position.quantity}</td>
      <td>{position.entry_price ?? "-"}</td>
      <td>{position.mark_price ?? "-"}</td>
      <td>{cents(position.unrealized_pnl)}</td>
      <td style={{ color: COLOURS[position.verdict] }} title={position.verdict_reason ?? ""}>
        {position.verdict}
      </td>
    </tr>
  );
}

export function Positions({ base, connect }: { base: string; connect?: Connect }) {
  const picture = usePositions(base, connect);
  const { summary } = picture;
  const rows = [...picture.positions].sort(([one], [other]) => one.localeCompare(other));
  return (
    <section>
      {summary?.mode === "simulated" && <p>SIMULATED: no money is real</p>}
      <p role="status">
        {picture.live && summary !== null
          ? `${summary.health}, unrealised P&L ${cents(summary.unrealized_pnl)} USD`
          : `NOT LIVE: ${picture.problem}`}
      </p>
      {summary !== null && !summary.stated && <p>positions unknown: not every account is stated yet</p>}
      <table>
        <thead>
          <tr>
            {["account", "symbol", "side", "size", "entry", "mark", "uPnL", "verdict"].map((title) => (
              <th key={title}>{title}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, position]) => (
            <Row key={name} position={position} />
          ))}
        </tbody>
      </table>
    </section>
  );
}
