// Token clients that this project did not write, against a token server that it
// did. Reads one JSON object on stdin:
//   {"url", "tls", "client_id", "client_secret", "audience", "tokens": [...]}
// gets a token with npm auth0 (which speaks https only: hence "tls", a host and
// port), verifies it and each of the given tokens with npm jose against the
// keys that url publishes, and prints
//   {"auth0": {answer}, "verified": [{claims}, ...], "forged": "why it is refused"}
import { AuthenticationClient } from "auth0";
import { createRemoteJWKSet, jwtVerify } from "jose";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const input = JSON.parse(Buffer.concat(chunks).toString());

const client = new AuthenticationClient({
  domain: input.tls,
  clientId: input.client_id,
  clientSecret: input.client_secret,
});
const { data: auth0 } = await client.oauth.clientCredentialsGrant({ audience: input.audience });

const keys = createRemoteJWKSet(new URL("/.well-known/jwks.json", input.url));
const rules = { audience: input.audience, algorithms: ["RS256"], requiredClaims: ["iss", "exp", "scope"] };
const verified = [];
for (const token of [auth0.access_token, ...input.tokens]) {
  const { payload } = await jwtVerify(token, keys, rules);
  verified.push(payload);
}

// What was changed must not verify, or the test would prove nothing.
const [header, claims, signature] = auth0.access_token.split(".");
const changed = JSON.parse(Buffer.from(claims, "base64url"));
changed.sub = "somebody else";
const forged = [header, Buffer.from(JSON.stringify(changed)).toString("base64url"), signature].join(".");
const refusal = await jwtVerify(forged, keys, rules).then(() => "", (error) => error.code);

console.log(JSON.stringify({ auth0, verified, forged: refusal }));
