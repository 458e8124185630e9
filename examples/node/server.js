const http = require("node:http");

const { PORT = 3100, CLUSTERD_APP = "node", CLUSTERD_INSTANCE = 0 } = process.env;
const name = `${CLUSTERD_APP}/${CLUSTERD_INSTANCE}`;

const server = http.createServer((request, response) => {
  response.end(`hello from pid ${process.pid} (${name})\n`);
});
server.listen(PORT, () => console.log(`${name} listens on ${PORT}`));

// Finish the requests in flight; a second signal ends the process at once.
process.once("SIGTERM", () => server.close());
