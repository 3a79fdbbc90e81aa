// A service that knows nothing of deploymark; OpenTelemetry is loaded before it.
const { createServer } = require("node:http");

const server = createServer((request, response) => response.end("hello\n"));
server.listen(0, "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
process.on("SIGTERM", () => server.close());
