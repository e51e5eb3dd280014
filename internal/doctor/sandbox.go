package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/meti-go/meti"
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
	// HTTP sends the requests; it must not follow redirects.
	HTTP *http.Client
	// Authorization gives the value of that header.
	Authorization func(context.Context) (string, error)
	// Announce is told of each request before it is sent.
	Announce func(string)
	// Record names a folder to keep the exchanges in; empty for none.
	Record string
	// Pause is the time between two requests to a host that is not this
	// machine; a second where it is 0.
	Pause time.Duration
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
	s := &sandbox{ctx: ctx, Questions: q}
	if err := s.find(); err != nil {
		return nil, err
	}
	if q.Record != "" {
		if s.record, err = newRecorder(q.Record, ours); err != nil {
			return nil, err
		}
	}
	a := &asking{sandbox: s, ours: ours, stamp: fmt.Sprintf("doctor-%08x", rand.Uint32())}
	a.ask()
	if s.record != nil {
		a.err = errors.Join(a.err, s.record.write("facts.json", verdictsOf(a.facts)))
	}
	return a.facts, a.err
}

// A sandbox sends the requests of the facts, one after the other. After the first
// error it sends nothing more.
type sandbox struct {
	ctx context.Context
	Questions
	posting string    // where POSTs go: the sandbox
	reading string    // where GETs go besides, empty for nowhere
	record  *recorder // nil for none
	sent    int
	err     error
}

// find finds the sandbox that belongs to the base URL, and where to read what the
// sandbox does not keep: nowhere, if the user has named the sandbox alone. It
// fails for hosts of which nobody knows that what lies below /sandbox is one.
func (s *sandbox) find() error {
	u, err := url.Parse(s.BaseURL)
	if err != nil {
		return fmt.Errorf("the base URL cannot be read: %w", err)
	}
	ip := net.ParseIP(u.Hostname())
	isLocal := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if isLocal {
		s.Pause = 0
	} else if s.Pause == 0 {
		s.Pause = time.Second
	}
	isMETI := u.Scheme == "https" && slices.Contains([]string{"api.meti.millpont.com", "api.millpont.com"}, u.Host)
	switch base := strings.TrimRight(s.BaseURL, "/"); {
	case strings.HasSuffix(strings.TrimRight(u.Path, "/"), "/sandbox"):
		s.posting = base
	case isMETI || isLocal:
		s.posting, s.reading = base+"/sandbox", base
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

// ok reports whether the request was taken.
func (a answer) ok() bool { return a.status/100 == 2 }

// String says what came back without telling it.
func (a answer) String() string { return fmt.Sprintf("%d, %s", a.status, shape(a.value)) }

// A source is one as it was answered.
type source map[string]any

// text is a field that is a text.
func (s source) text(field string) string {
	text, _ := s[field].(string)
	return text
}

// sources are those of an array.
func (a answer) sources() (list []source) {
	items, _ := a.value.([]any)
	for _, item := range items {
		if object, is := item.(map[string]any); is {
			list = append(list, object)
		}
	}
	return list
}

// texts gives a field of all.
func texts(sources []source, field string) (list []string) {
	for _, s := range sources {
		list = append(list, s.text(field))
	}
	return list
}

// get asks below the sandbox, or below where is read.
func (s *sandbox) get(base, path string) answer { return s.send(http.MethodGet, base, path, "") }

// post registers with the sandbox, and with nothing else.
func (s *sandbox) post(body string) answer {
	got := s.send(http.MethodPost, s.posting, "/sources", body)
	ids := texts(got.sources(), "id")
	if slices.ContainsFunc(ids, func(id string) bool { return id != "" && !strings.HasPrefix(id, "sandbox_") }) && s.err == nil {
		s.err = fmt.Errorf("the sandbox answered ids that do not begin with sandbox_: it may have registered them for good. "+
			"Nothing more was sent. Delete them: meti sources delete %s", strings.Join(ids, " "))
	}
	return got
}

// send sends one request, unless there was an error. It is the one place where
// requests of the facts leave.
func (s *sandbox) send(method, base, path, body string) (got answer) {
	if s.err == nil {
		got, s.err = s.exchange(method, base, path, body)
	}
	return got
}

func (s *sandbox) exchange(method, base, path, body string) (got answer, err error) {
	if method != http.MethodGet && (method != http.MethodPost || !strings.HasSuffix(base, "/sandbox")) {
		return got, fmt.Errorf("%w: %s %s", ErrHarm, method, base+path)
	}
	if s.sent++; s.sent > maxRequests {
		return got, fmt.Errorf("%w: more than %d requests", ErrHarm, maxRequests)
	}
	if s.sent > 1 {
		select {
		case <-time.After(s.Pause):
		case <-s.ctx.Done():
			return got, context.Cause(s.ctx)
		}
	}
	s.Announce(method + " " + base + path)
	request, err := http.NewRequestWithContext(s.ctx, method, base+path, strings.NewReader(body))
	if err != nil {
		return got, err
	}
	authorization, err := s.Authorization(s.ctx)
	if err != nil {
		return got, err
	}
	request.Header = http.Header{"Authorization": {authorization}, "Accept": {"application/json"}, "Content-Type": {"application/json"}}
	response, err := s.HTTP.Do(request)
	if err != nil {
		return got, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(http.MaxBytesReader(nil, response.Body, maxAnswer))
	if err != nil {
		return got, fmt.Errorf("%s %s: %w", method, base+path, err)
	}
	got = answer{response.StatusCode, response.Header, text, decode(text)}
	if s.record != nil && path != contractPath {
		if base == s.posting {
			path = "/sandbox" + path
		}
		err = s.record.keep(method, path, []byte(body), got)
	}
	return got, err
}

// decode reads JSON, nil where it is none.
func decode(text []byte) (value any) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if !json.Valid(text) || d.Decode(&value) != nil {
		return nil
	}
	return value
}
