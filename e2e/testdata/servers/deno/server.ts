Deno.serve({ port: 8080 }, () =>
  new Response(`hello from pid ${Deno.pid} (${Deno.env.get("CLUSTERD_APP")}/${Deno.env.get("CLUSTERD_INSTANCE")})\n`));
