export default {
  server: { host: "127.0.0.1", port: 8080, strictPort: true },
  plugins: [
    {
      name: "who",
      transformIndexHtml: (html) =>
        html.replace("WHO", `${process.pid} (${process.env.CLUSTERD_APP}/${process.env.CLUSTERD_INSTANCE})`),
    },
  ],
};
