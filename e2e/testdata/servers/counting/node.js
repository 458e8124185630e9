// Appends a byte to served.INSTANCE for each request, once its body has come. With
// the argument h2c it speaks HTTP/2 only.
const fs = require("node:fs");

const served = fs.openSync(`served.${process.env.CLUSTERD_INSTANCE}`, "a");
const { createServer } = require(process.argv[2] === "h2c" ? "node:http2" : "node:http");
createServer((req, res) => {
  req.resume().on("end", () => {
    fs.writeSync(served, ".");
    res.end("hello\n");
  });
}).listen(8080);
