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
// [New] makes a [Client] from options: where tokens come from ([WithAuth],
// [FromEnv], [WithTokenSource]), which server to call ([WithBaseURL]), and what
// else shall differ from the defaults. A client is safe for concurrent use and
// meant to be kept. To try a program without credentials, start the emulator of
// package emulator and call that; the examples here do.
//
// Registering many features is the work of package register: it goes on where
// it was stopped, and finds out what became of a request whose answer was lost.
//
// # Errors
//
// Every error of a call is an [*Error]. Ask what happened by errors.Is:
//
//	[ErrInvalid]         400, 422, or refused before sending
//	[ErrUnauthorized]    401 that another token did not mend, or Auth0 refused a token
//	[ErrNoToken]         no token, for another reason: Auth0 is down, the source failed
//	[ErrForbidden]       403, or the token lacks a scope; the error names it
//	[ErrNotFound]        404
//	[ErrTooLarge]        413
//	[ErrRateLimited]     429, also after repeats
//	[ErrServer]          5xx, also after repeats
//	[ErrRedirect]        3xx
//	[ErrBadAnswer]       a success that cannot be read: no JSON, cut short, too large
//	[ErrIncomplete]      a listing that may lack sources: the server pages badly
//	[ErrOutcomeUnknown]  a POST that may have been carried out
//
// What is none of these never had an answer: see the cause by errors.As.
// context.Canceled and context.DeadlineExceeded are found where the caller's
// context ended the call, beside ErrOutcomeUnknown if that was a POST.
//
// The service's own words, its field errors, its request id, the status and the
// body as received are kept, in whichever shape they came. No token, no client
// secret and no query value stands in an error, a log record or an [Attempt].
//
// # What is repeated
//
// GET and DELETE are repeated after 429, 500, 502, 503, 504, a connection that
// could not be made or that broke, and an answer that was cut short.
//
// A POST registers its sources again when it is repeated, each in conflict with
// itself, for METI has no idempotency key. So it is repeated only when the
// server provably did nothing: it was never connected, or it answered 429 or
// 401. After any other 5xx, a timeout, or a connection that broke, even one
// that broke while the request was being written, the error is
// [ErrOutcomeUnknown] after that one call. Then look the alt_ids up, after a
// while, before sending them again. The same goes for a success whose answer
// cannot be read. (408 counts as 5xx: a proxy may say it.)
//
// A DELETE that is repeated may find that an earlier attempt was carried out
// and only its answer was lost. If any attempt of the call may have been, a 404
// afterwards is success: the source is not there, as was asked.
//
// The bounds are those of [RetryPolicy], replaced by [WithRetryPolicy]:
//
//   - 4 attempts, and none that begins more than 15 seconds after the call;
//   - a random wait before each repeat, up to 0.5, 1 and 2 seconds ("full
//     jitter"), that ends when the context does;
//   - where the server sent Retry-After, in seconds or as a date, that wait
//     instead; if it is longer than what is left of the 15 seconds or of the
//     context's deadline, the call fails at once, says so, and
//     Error.RetryAfter holds it;
//   - 50 repeats of one client until the service answers again. With n calls to
//     a dead server, a client sends at most the smaller of 4n and n+50
//     requests: 1,000 clients with 50 calls each send twice 50,000 rather than
//     four times, and one client with 1,000 calls sends 1,050. A call that gets
//     an answer, a 404 too, gives back what its own repeats took, so a service
//     that only stumbles is always repeated.
//
// # Tokens
//
// Each attempt asks for the token anew, so that one that ended during a wait is
// not used. Without a token nothing is sent.
//
// A 401 drops the token that was refused, and the call is repeated once with
// another one and the same body, without a wait and outside the bounds above. A
// second 401 is the error. 403 never fetches a token. A call whose scope was
// not granted, by what Auth0 answered, fails before it is sent.
//
// No redirect is followed, whatever an http.Client of the caller's would do: it
// could carry the token to another server, or turn a POST into a GET.
//
// # Limits
//
// A call ends by itself, on any transport and without a deadline:
//
//	to connect                         5 s, and 5 s for TLS (default transport)
//	for the answer to begin            60 s
//	for the server to take each next
//	part of a request                  60 s
//	for each 16 KiB of the answer      30 s of waiting
//	for the body of an error           5 s; 64 KiB are kept
//	a list                             4 GiB
//	the sources that a POST created    1 GiB
//	one source, an answer of Do        64 MiB
//
// Sizes are after decompression; an answer that grows more than 256 times by
// it fails as well, once it is past 16 MiB. Time that the consumer of a listing
// takes is not the server's and not counted.
//
// The transport is shared by the clients that were given no other. It respects
// HTTPS_PROXY and NO_PROXY and the system's roots, speaks HTTP/2, and keeps idle
// connections for 4 seconds only, less than common servers do: a POST that
// meets a connection just being closed has no known outcome. A proxy that
// answers 407 is asked once.
//
// # Seen from outside
//
// [WithHook] is told of each attempt; [LogAttempts] makes a hook that logs with
// log/slog. For OpenTelemetry give [WithHTTPClient] a client with otelhttp's
// transport. Errors implement slog.LogValuer.
//
// # Sources of facts
//
// Tags such as [A] or [E] say where a fact about METI was seen; openapi.yaml,
// which this package follows, explains them.
package api
