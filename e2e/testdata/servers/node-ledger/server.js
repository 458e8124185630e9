// Answers each time after a moment, and keeps a ledger, see ledger_child_test.go. It
// hears of a connection just after that has been accepted, and before the next one is.
const fs = require("node:fs");
const http = require("node:http");

const file = fs.openSync(`${process.env.E2E_LEDGER}.${process.pid}`, "w");
const ledger = new BigUint64Array(2); // accepted, answered

function enter(column, n) {
  ledger[column] += n;
  fs.writeSync(file, ledger, 0, ledger.byteLength, 0);
}
enter(0, 0n);

http
  .createServer((_, res) => {
    const answer = `hello from pid ${process.pid} (${process.env.CLUSTERD_APP}/${process.env.CLUSTERD_INSTANCE})\n`;
    setTimeout(() => res.end(answer), 10);
  })
  .on("connection", (socket) => {
    enter(0, 1n);
    socket.on("close", () => enter(1, 1n));
  })
  .listen(8080);
