// A token server that this project did not write, set up as Auth0 answers:
// JSON token requests at /oauth/token, tokens that live 5 seconds, and a first
// answer of 429 that names its reset. It prints {"url": "..."} when ready, and
// one line for each token request.
import { OAuth2Server } from "oauth2-mock-server";

const lifetime = 5;
const server = new OAuth2Server(undefined, undefined, {
  endpoints: { token: "/oauth/token", jwks: "/.well-known/jwks.json" },
});
await server.issuer.keys.generate("RS256");

let requests = 0;
server.service.on("beforeTokenSigning", (token, request) => {
  token.payload.exp = token.payload.iat + lifetime;
  token.payload.aud = request.body.audience;
  token.payload["https://api.meti.millpont.com/client_name"] = request.body.client_id;
});
server.service.on("beforeResponse", (answer, request) => {
  requests += 1;
  if (!request.is("application/json")) {
    answer.statusCode = 415;
    answer.body = { error: "invalid_request" };
  } else if (requests === 1) {
    request.res.set("x-ratelimit-limit", "1");
    request.res.set("x-ratelimit-remaining", "0");
    request.res.set("x-ratelimit-reset", String(Math.floor(Date.now() / 1000) + 2));
    answer.statusCode = 429;
    answer.body = { error: "too_many_requests" };
  } else {
    answer.body.expires_in = lifetime;
  }
  console.log(JSON.stringify({ at: Date.now(), status: answer.statusCode }));
});

await server.start(0, "127.0.0.1");
console.log(JSON.stringify({ url: server.issuer.url }));
process.stdin.resume(); // ends with the test that started it
process.stdin.on("end", () => server.stop().then(() => process.exit(0)));
