const cluster = require("node:cluster");
const http = require("node:http");

if (cluster.isPrimary) {
  cluster.fork();
  cluster.fork();
} else {
  http
    .createServer((_, res) => {
      res.end(`hello from pid ${process.pid} (${process.env.CLUSTERD_APP}/${process.env.CLUSTERD_INSTANCE})\n`);
    })
    .listen(8080);
}
