// Package register registers many features with METI: nothing is lost and
// nothing is registered twice, at whatever moment the program is killed.
//
// METI has no idempotency key, alt_id is not unique, and one bad feature
// refuses a whole collection [D]. So [Run] is a transaction log, not a loop: it
// checks the input, writes to a journal what it is about to do, does it, and
// writes down what came of it. Run again, it goes on where it stopped; when
// all is done it sends nothing.
//
// # Identity
//
// A feature is its alt_id, its start_at, its end_at (to the microsecond) and
// its geometry. The same field is registered again each season under the same
// alt_id. Two geometries are the same when their rings hold the same positions,
// wherever a ring starts, in whichever direction it runs and in whichever order
// holes and parts stand. Numbers of an answer may differ by 1e-8 degrees, a
// millimetre, for PostGIS writes nine decimals. Where an answer carries no
// geometry, its hectares decide, within 1e-6 of the area.
//
// Beside its identity a feature has a content: the attributes that are shared
// by all features of a run. Properties of a feature other than its period are
// not sent.
//
// # What happens to a feature
//
//	                    ┌──────────────────────── nothing ◄──────────────────────┐
//	                    ▼                                                        │
//	read ──► pending ──► intent ──► POST ──┬─ 2xx, as sent ──────► registered    │
//	  │         │       (on disk)          ├─ 400, 422, alone ───► refused       │
//	  │         │                          ├─ 400, 422, several ─► (bisected) ───┤
//	  │         │                          ├─ 413 ───────────────► (halved) ─────┤
//	  │         │                          ├─ 401, 403, 429, never sent ─────────┤
//	  │         │                          └─ anything else ─────► lost          │
//	  │         │                                     ▲             │ look up    │
//	  │         │        (killed: an intent ──────────┘             │            │
//	  │         │         without a result)                         ├─ all there ► registered
//	  │         │                                                   ├─ none, after the settling time ─┘
//	  │         │                                                   └─ else: unknown
//	  │         └─ the account has it already ─► existed, or stop
//	  └─ the ledger's rules refuse it ─► invalid
//
// Each arrow from intent on is a record, flushed to disk before the next step.
// registered, refused and existed are final: a feature of the same content is
// never sent again by that journal. unknown is not: the next run looks again.
//
// # Unknown outcomes
//
// After a lost answer (a timeout, a broken connection, a 5xx, an answer that
// does not fit the request) the batch's alt_ids are looked up until it is found
// or the settling time has passed, and at least twice; only then is it sent
// again. The assumption behind it: no request commits later than the settling
// time ([Options].Settle, 60 seconds unless set) after its connection ended.
// For an intent that a killed process left behind, nobody knows when the
// connection ended: it is taken to be when the journal was opened again, or two
// minutes (the longest that a request may take) after the intent, whichever is
// earlier. The journal's times are the wall clock's; a clock that is set forward
// by hand between two runs shortens the wait.
//
// A collection is stored whole or not at all. So a lost batch was registered
// when each of its features is found exactly once, among sources that the
// journal does not know; it was not when none is, and nothing resembles one (the
// same alt_id, a period within a day and an area within a thousandth). All else
// is unknown: it is reported, and neither repeated nor guessed.
//
// Sources that were there before are told apart by their ids: before a feature
// is sent for the first time its alt_id is looked up, and what is found stops
// the run, unless [Options].SkipExisting or [Options].AllowExisting says what
// to do.
//
// # The journal
//
// A journal is a text file: a head, and one line a record, each its CRC-32 and
// a JSON object. It holds ids, areas and times, no geometry and no secret, and
// is kept apart by server and account: one file may serve several. Keep it as
// long as the input. A last line that is torn was never acknowledged and is cut
// off; a damaged line before it is an error, for the rest cannot be trusted. The
// file beside it, with ".lock" at the end, stays; the lock on it ends with its
// process.
//
// # What is not covered
//
// Two programs that register the same fields at the same moment with different
// journals, or from different machines, do not see each other. A run whose
// journal was thrown away within the settling time after it was killed cannot
// know of a request that commits later. METI itself does not see the conflict
// of two features whose requests commit at the same moment [D]; InFlight 1
// avoids that.
//
// # Memory
//
// Geometry is never kept: the input is read once to be checked and again,
// feature by feature, to be sent. About 200 bytes a feature remain, whatever
// its geometry. What cannot be read twice, such as a pipe, is copied to a
// private temporary file first.
package register
