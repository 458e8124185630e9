Bun.serve({
  port: 8080,
  reusePort: true,
  fetch: () =>
    new Response(`hello from pid ${process.pid} (${process.env.CLUSTERD_APP}/${process.env.CLUSTERD_INSTANCE})\n`),
});
