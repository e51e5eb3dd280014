package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/meti-go/meti"
	"github.com/meti-go/meti/internal/safehttp"
)

const (
	maxRequests = 40       // of one run
	maxAnswer   = 16 << 20 // bytes
	mostListed  = 1000     // sources of one listing, and of production in all
	// contractPath is where a service may tell its own contract.
	contractPath = "/openapi.json"
)

// ErrHarm says that a request was not sent because it might change something.
var ErrHarm = errors.New("doctor sends nothing that may change anything")

// Questions say whom the facts are asked, and how.
type Questions struct {
	// BaseURL is that of the client. What is posted goes to the sandbox below
	// it; what the sandbox does not show is read from it, 1,000 sources at most.
	BaseURL string
	// Authorize sets the header of that name.
	Authorize func(context.Context, *http.Request) error
	// Announce is told of each request before it is sent.
	Announce func(string)
	// Record names a folder to keep the exchanges in; empty for none.
	Record string
}

// Ask asks METI's sandbox the questions behind the assumptions of this module,
// with at most 40 requests. Where it has to end early, by an error or because
// what was posted may have been registered for good, the facts so far are handed
// back beside the error.
func (q Questions) Ask(ctx context.Context) ([]Fact, error) {
	ours, err := parseContract(meti.OpenAPI)
	if err != nil {
		return nil, err
	}
	a := &asking{Questions: q, ctx: ctx, ours: ours, stamp: fmt.Sprintf("doctor-%08x", rand.Uint32())}
	if err = a.find(); err == nil && q.Record != "" {
		a.record, err = newRecorder(q.Record, ours)
	}
	if err != nil {
		return nil, err
	}
	a.ask()
	recorded := slices.Clone(a.facts)
	for i := range recorded {
		recorded[i].Seen, a.facts[i].Place = "", ""
	}
	if a.record != nil {
		a.err = errors.Join(a.err, a.record.write("facts.json", recorded))
	}
	return a.facts, a.err
}

// asking is one run of the facts: a question, and what its answer should be, one
// after the other. After the first error nothing more is sent.
type asking struct {
	Questions
	ctx     context.Context
	ours    contract
	stamp   string        // begins every alt_id, so that runs do not meet
	posting string        // where POSTs go: the sandbox
	reading string        // where GETs go besides, empty for nowhere
	pause   time.Duration // between two requests
	record  *recorder     // nil for none
	sent    int
	facts   []Fact
	err     error
}

// find finds the sandbox that belongs to the base URL, and where to read what the
// sandbox does not keep: nowhere, if the user has named the sandbox alone. It
// fails for hosts of which nobody knows that what lies below /sandbox is one.
func (a *asking) find() error {
	u, err := safehttp.Base(a.BaseURL)
	if err != nil {
		return fmt.Errorf("%w: the base URL %w", ErrHarm, err)
	}
	local, base := safehttp.Loopback(u.Hostname()), u.String()
	if !local {
		a.pause = time.Second
	}
	switch {
	case strings.HasSuffix(u.Path, "/sandbox"):
		a.posting = base
	case local || u.Scheme == "https" && slices.Contains([]string{"api.meti.millpont.com", "api.millpont.com"}, u.Host):
		a.posting, a.reading = base+"/sandbox", base
	default:
		return fmt.Errorf("%w: %s is none of METI's known hosts, so its sandbox has to be named: end METI_BASE_URL in /sandbox", ErrHarm, u.Host)
	}
	return nil
}

// An answer is what came back.
type answer struct {
	status int
	header http.Header
	text   []byte
	value  any // of the JSON, nil where it is none; numbers are json.Number
}

// roundTrip sends a request, once, and follows no redirect.
func roundTrip(request *http.Request) (got answer, err error) {
	response, err := safehttp.Transport().RoundTrip(request)
	if err != nil {
		return got, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(http.MaxBytesReader(nil, response.Body, maxAnswer))
	return answer{response.StatusCode, response.Header, text, safehttp.JSON(text)}, err
}

// String says what came back without telling it.
func (a answer) String() string { return fmt.Sprintf("%d, %s", a.status, shape(a.value)) }

// sources are those of an array.
func (a answer) sources() (list []map[string]any) {
	items, _ := a.value.([]any)
	for _, item := range items {
		if object, is := item.(map[string]any); is {
			list = append(list, object)
		}
	}
	return list
}

// texts gives a field of all sources.
func (a answer) texts(field string) (list []string) {
	for _, source := range a.sources() {
		list = append(list, safehttp.Text(source[field]))
	}
	return list
}

// get asks below the sandbox, or below where is read.
func (a *asking) get(base, path string) answer { return a.send(http.MethodGet, base, path, "") }

// post registers with the sandbox, and with nothing else.
func (a *asking) post(body string) answer {
	got := a.send(http.MethodPost, a.posting, "/sources", body)
	ids := got.texts("id")
	if slices.ContainsFunc(ids, func(id string) bool { return id != "" && !strings.HasPrefix(id, "sandbox_") }) {
		a.err = cmp.Or(a.err, fmt.Errorf("the sandbox answered ids that do not begin with sandbox_: it may have registered them for good. "+
			"Nothing more was sent. Delete them: meti sources delete %s", strings.Join(ids, " ")))
	}
	return got
}

// send sends one request, unless there was an error. It is the one place where
// requests of the facts leave.
func (a *asking) send(method, base, path, body string) (got answer) {
	if a.err == nil {
		got, a.err = a.exchange(method, base, path, body)
	}
	return got
}

func (a *asking) exchange(method, base, path, body string) (got answer, err error) {
	if method != http.MethodGet && (method != http.MethodPost || !strings.HasSuffix(base, "/sandbox")) {
		return got, fmt.Errorf("%w: %s %s", ErrHarm, method, base+path)
	}
	if a.sent++; a.sent > maxRequests {
		return got, fmt.Errorf("%w: more than %d requests", ErrHarm, maxRequests)
	}
	if a.sent > 1 {
		select {
		case <-time.After(a.pause):
		case <-a.ctx.Done():
			return got, context.Cause(a.ctx)
		}
	}
	a.Announce(method + " " + base + path)
	request, err := http.NewRequestWithContext(a.ctx, method, base+path, strings.NewReader(body))
	if err != nil {
		return got, err
	}
	request.Header = http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json"}}
	if err := a.Authorize(a.ctx, request); err != nil {
		return got, err
	}
	if got, err = roundTrip(request); err != nil {
		return got, fmt.Errorf("%s %s: %w", method, base+path, err)
	}
	if a.record != nil && path != contractPath {
		if base == a.posting {
			path = "/sandbox" + path
		}
		err = a.record.keep(method, path, []byte(body), got)
	}
	return got, err
}
