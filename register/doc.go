// Package register registers many features with METI: nothing is lost and
// nothing is registered twice, at whatever moment the program is killed.
//
// METI has no idempotency key, alt_id is not unique, one bad feature refuses a
// whole collection [D], and sources change hands without us. So each job reads
// the account, and says only what it read. A journal keeps the two things that
// the account cannot tell: what is under way, and which SSID belongs to which
// feature.
//
//	job, err := register.Plan(ctx, options)  // reads, and sends nothing
//	summary, err := job.Run(ctx)             // sends what the plan says
//	for row, err := range job.Rows() { … }   // what is known of each feature
//
// # States
//
// A feature's group is what has its alt_id and, within a day, its period.
//
//	event                                                       state
//	read from the input
//	  against the ledger's rules, no id, or there twice         invalid
//	read in the account
//	  a source that is this feature's (see below)               registered
//	  … and its period, or an attribute that was asked for,
//	    is another one                                          differs
//	  none, and a request or a source of it is too young        unknown
//	  none, and a source of its group is no other feature's     boundary
//	  none, and the journal's SSID answers 404                  gone
//	  none at all                                               new
//	sent: what is new; what differs, has another boundary or
//	is gone only where that is to be renewed; what METI refused
//	before comes last                                           unknown
//	answered
//	  2xx, and it fits the request                              registered
//	  400 or 422 of several: halved towards one to blame        as before
//	  413 of several: smaller requests                          as before
//	  400, 413 or 422 of one                                    refused
//	  429, or never sent: after a wait                          as before
//	  any other 4xx: the run stops                              as before
//	  all else: lost, or taken where it is a 2xx                unknown
//	looked for, until the settling time after its end has passed
//	  found                                                     registered
//	  not found by a reading that began later                   as before
//	  … and METI had said that it took it                       unknown
//	the run ends, and it was new                                pending
//
// # Which source is whose
//
// The best evidence counts: the journal's SSID; the same boundary, wherever its
// rings start, at the decimals that the answer has, six at least; where METI tells
// no boundary, the hectares, if nothing else could be meant. Attributes count only
// where they were asked for, lists as sets, and one that the answer lacks is no
// difference. Neither is a period that another time zone shifts as a whole.
//
// Each SSID that the journal has of a group must be listed, or answered with 200
// or 404: one that METI has and the listing lacks means that the listing is
// incomplete, and nothing is sent ([ErrIncomplete]). Up to ten alt_ids are looked
// up by the filter, many by a listing.
//
// A feature that was edited waits for what became of its old boundary, and may
// replace it.
//
// # Order
//
// Only the newcomer of two is shrunk by 9 metres [D], so that the order decides
// conflicts. METI decides as if the input had been sent in its order, whatever is
// under way: a feature waits while one before it is not settled, or the outcome of
// one is not known, with which it would conflict, one way or the other and with a
// metre to spare. One that METI refused, and that is tried again by a later run,
// has lost its place; its row says so.
//
// # Sending
//
// The first success is read back by its alt_id and must be what was sent, else
// nothing more is ([ErrAltered]). Twenty refused one after another with none
// accepted between stop the run ([ErrRefused]).
//
// With Changed: Renew the new source is registered first, its result is written
// down, and only then is the old one deleted; a refusal costs nothing. Only what
// the journal has is ever deleted. What is registered anew is the newcomer in its
// conflicts.
//
// # The journal
//
// A journal is a text file: a head, and one line a record, each its CRC-32 and a
// JSON object. It holds ids, periods, boxes and hashes of boundaries, no geometry
// and no secret. One file may serve several accounts. An intent is on the disk
// before its request is made, and a result before anything follows from it. A last
// line that is torn was never acknowledged and is cut off; a damaged line before it
// is an error. The lock is on the file itself and ends with its process; a second
// one, in the user's cache, keeps two inputs of one account apart.
//
// A journal that did not exist is trusted to be the first. Without a journal
// (NoJournal, a folder that cannot be written, standard input) whatever METI lacks
// waits until the settling time after the start has passed, once; and what is gone
// looks as if it were new.
//
// # Assumptions
//
//   - A POST commits, and is visible to what is read later, within
//     [Options].Settle after its connection ended.
//   - A reading holds every source that was visible when it began, or fails.
//   - The connections of a dead process have ended.
//   - fsync is honest, and the clock is not set forward between runs.
//   - alt_id comes back as it was sent, and the period within a day; this is
//     checked at run time.
//
// Two programs that register the same fields at the same moment, from different
// machines, do not see each other; the reading at the end finds the double and
// names both.
//
// # The sandbox
//
// A base URL that ends in /sandbox keeps nothing: all is new, nothing is looked up
// or kept, the rows are the answers, and what is lost stays unknown.
//
// # Memory
//
// Geometry is never kept: the input is read again, feature by feature, and
// boundaries of the account that are needed are put into a temporary file. Some
// three hundred bytes a feature and its source remain.
package register
