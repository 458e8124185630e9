// From Bun's guide "Start a cluster of HTTP servers":
// https://bun.com/docs/guides/http/cluster
import { serve } from "bun";

const { PORT, CLUSTERD_APP, CLUSTERD_INSTANCE } = process.env;
const name = `${CLUSTERD_APP ?? "bun"}/${CLUSTERD_INSTANCE ?? 0}`;

const server = serve({
  port: PORT ?? 3000,
  development: false,

  // Several processes may listen on the same port.
  reusePort: true,

  fetch() {
    return new Response(`hello from pid ${process.pid} (${name})\n`);
  },
});
console.log(`${name} listens on ${server.port}`);

// Finish the requests in flight; a second signal ends the process at once.
process.once("SIGTERM", async () => {
  await server.stop();
  process.exit();
});
