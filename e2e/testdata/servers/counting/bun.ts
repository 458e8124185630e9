// Appends a byte to served.INSTANCE for each request, once its body has come.
import { openSync, writeSync } from "node:fs";

const served = openSync(`served.${process.env.CLUSTERD_INSTANCE}`, "a");
Bun.serve({
  port: 8080,
  async fetch(req) {
    await req.arrayBuffer();
    writeSync(served, ".");
    // By itself Bun closes without saying so: wrk then asks once more, of nobody.
    const connection = req.headers.get("connection") ?? "keep-alive";
    return new Response("hello\n", { headers: { connection } });
  },
});
