// Package api is the client of the METI API, MillPont's ledger of sources:
// field boundaries with a start and an end, registered so that nobody claims
// the same environmental outcome twice.
//
//	client, err := api.New(api.FromEnv())
//	if err != nil {
//		log.Fatal(err)
//	}
//	fields, err := api.ParseFeatures(geojson)
//	if err != nil {
//		log.Fatal(err)
//	}
//	created, err := client.Sources.Create(ctx, api.SourceCreateFeatures{FeatureCollection: fields})
//	if errors.Is(err, api.ErrOutcomeUnknown) {
//		log.Fatal("METI may have registered them, or not: ", err)
//	}
//	for source, err := range client.Sources.All(ctx, api.AllParams{}) {
//		if err != nil {
//			log.Fatal(err)
//		}
//		fmt.Println(source)
//	}
//
// The operations, and what of them is repeated by itself:
//
//	operation                        scope            repeated
//	Sources.List, All, Get           read:sources     yes
//	Sources.Create, CreateOne        write:sources    only if the server did nothing
//	Sources.Delete, DeleteByAltID    delete:sources   yes
//	Client.Do                        the caller's     only if the caller says so
//
// A [Client] is safe for concurrent use and meant to be kept. Where there are no
// credentials, package emulator stands for METI. Many features are for package
// register: it goes on where it was stopped, and settles what a lost answer did.
//
// # Errors
//
// Every error of a call is an [*Error], and errors.Is asks it what happened, by the
// classes from [ErrInvalid] to [ErrOutcomeUnknown]. What is of none had no answer: its
// cause says why, or the caller's context ended it. No token, client secret or query
// value stands in an error, a log record or an [Attempt].
//
// # What is repeated
//
// What may be carried out twice is repeated after 429, 500, 502, 503, 504, a
// connection that could not be made or that broke, and an answer that was cut
// short, within the bounds of [RetryPolicy] and as Retry-After asks. Where an
// attempt to DELETE may have been carried out, a 404 to the next one is success.
//
// A POST that is repeated registers its sources again, each in conflict with
// itself, for METI has no idempotency key. So it is repeated only when the server
// provably did nothing: it was never connected, or it answered 429 or 401. After
// anything else that leaves room for doubt, such as a 5xx, a timeout or a success
// that cannot be read, the error is [ErrOutcomeUnknown] after that one call. Look
// the alt_ids up, after a while, before sending again.
//
// Each attempt asks for the token anew; without one, or where the scope was not
// granted, nothing is sent. After a 401 the call is repeated once with another
// token, at once. No redirect is followed: it could carry the token elsewhere.
//
// # Limits
//
// A call ends by itself, on any transport and without a deadline:
//
//	to connect                       5 s, and 5 s for TLS (default transport)
//	for the answer to begin          60 s, anew with each part of a request
//	for each 16 KiB of the answer    30 s of waiting
//	for the body of an error         5 s; 64 KiB are kept
//	a list                           4 GiB
//	the sources that a POST created  1 GiB
//	one source, an answer of Do      64 MiB
//
// Sizes are after decompression, by which no answer past 16 MiB may grow 256 times.
//
// Clients that were given no transport share one. It respects HTTPS_PROXY, NO_PROXY
// and the system's roots, and keeps idle connections for 4 seconds, less than common
// servers do: a POST on a connection just being closed has no known outcome.
//
// Tags such as [A] say where a fact about METI was seen; openapi.yaml explains them.
package api
