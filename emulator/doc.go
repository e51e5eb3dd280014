// Package emulator is METI and Auth0 on this machine: a real server with real
// tokens, a real database and the ledger's rules, for tests and for trying
// things out without credentials.
//
// [Start] listens on a free port of 127.0.0.1; [New] gives the same server
// without a network, as an [http.Handler]. On one port it serves:
//
//	/sources, /sources/{id}       METI
//	/sandbox/sources, …           METI's sandbox, with a store of its own
//	/oauth/token                  Auth0: JSON, form encoding, HTTP Basic
//	/.well-known/jwks.json        the keys that the tokens are signed with
//	/.well-known/openid-configuration
//	/openapi.yaml, /openapi.json  the contract that the answers follow
//	/healthz                      that it is ready
//	/_emulator/                   faults, requests, clock, tokens, accounts, reset; off unless asked for
//
// # What it imitates
//
// Tokens are RS256 JWTs with METI's claims; signature, issuer, audience,
// expiry, scopes and the isolation of accounts are enforced. Sources are
// judged and stored as package ledger says: a collection whole or not at all,
// hectares, country, conflicts with their reciprocal entries, percent_overlap,
// and repaired neighbours after a delete. It refuses what METI's database
// refuses, and in places a little more. Requests that write are carried out one
// after another and to the end, also when the client has gone.
//
// # What it does not
//
//   - The API between METI's callers and its database is not public. Which of
//     400 and 422 a refusal gets, the words of its errors, and what it refuses
//     beyond its database (a Point, a longitude of 190, a DEVICE without a
//     measurement point) are guesses; such requests are taken here.
//   - Lists come in the order of registration. METI promises none.
//   - A list shows what is stored while it is written: sources deleted in the
//     meantime are left out, sources registered in the meantime are not added.
//   - Protected areas and H3 cells are not computed: unep_overlap, pa_name,
//     pa_designation, wdpaid and h3_indexes say that there is none.
//   - There is no rate limit and no token quota, unless asked for.
//   - An admin's DELETE by alt_id reaches every account's sources.
//
// # The same again
//
// With [Options].Seed the same requests get the same ids and answers, in every
// process and after a [Server.Reset], but for what the clock says: stop it with
// [Server.SetClock], and times are the same too, and so are tokens where the
// URL is. Requests at the same moment take turns in any order.
//
// One emulator at a time may use a data file. Nothing of it is lost when the
// process is killed; what the machine has not written yet when its power fails
// may be.
package emulator
