package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	// maxRequests is how many requests the facts may cost.
	maxRequests = 40
	// maxAnswer is how much of one answer is read.
	maxAnswer = 16 << 20
	// contractPath is where a service may tell its own contract.
	contractPath = "/openapi.json"
	// mostListed is how many sources are asked for at once, and in production in all.
	mostListed = 1000
)

// knownHosts are METI's own.
var knownHosts = []string{"api.meti.millpont.com", "api.millpont.com"}

// ErrHarm says that a request was not sent because it might change something.
var ErrHarm = errors.New("doctor sends nothing that may change anything")

// sandboxOf gives the address of the sandbox that belongs to a base URL, and the
// one for reading where the sandbox keeps nothing, which is empty where the
// user has named the sandbox alone. It fails for hosts of which nobody knows
// that what lies below /sandbox is one.
func sandboxOf(base string) (sandbox, reading string, err error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", "", fmt.Errorf("the base URL cannot be read: %w", err)
	}
	base = strings.TrimRight(base, "/")
	if strings.HasSuffix(u.Path, "/sandbox") || strings.HasSuffix(u.Path, "/sandbox/") {
		return base, "", nil
	}
	if !isKnown(u) && !isLoopback(u) {
		return "", "", fmt.Errorf("%w: %s is none of METI's known hosts, so its sandbox has to be named: end METI_BASE_URL in /sandbox", ErrHarm, u.Host)
	}
	return base + "/sandbox", base, nil
}

func isKnown(u *url.URL) bool { return u.Scheme == "https" && slices.Contains(knownHosts, u.Host) }

func isLoopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// A sandbox sends the requests of the facts, one after the other. After the first
// error it sends nothing more.
type sandbox struct {
	ctx context.Context
	Questions
	posting string    // where POSTs go: the sandbox
	reading string    // where GETs go besides, empty for nowhere
	made    *made     // what the requests say, which is nobody's secret
	record  *recorder // nil for none
	sent    int
	err     error
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

// list gives the objects of an array; nil where the answer is none.
func (a answer) list() []map[string]any {
	items, _ := a.value.([]any)
	var list []map[string]any
	for _, item := range items {
		if object, is := item.(map[string]any); is {
			list = append(list, object)
		}
	}
	return list
}

// get asks below the sandbox, or below where is read.
func (s *sandbox) get(base, path string, query url.Values) answer {
	return s.do(http.MethodGet, base, path, query, nil)
}

// post registers with the sandbox, and with nothing else.
func (s *sandbox) post(body any) answer {
	text, err := json.Marshal(body)
	if err != nil && s.err == nil {
		s.err = err
	}
	s.made.note(text)
	got := s.do(http.MethodPost, s.posting, "/sources", nil, text)
	for _, source := range got.list() {
		if id, _ := source["id"].(string); id != "" && !strings.HasPrefix(id, "sandbox_") && s.err == nil {
			s.err = &registeredError{got.list()}
		}
	}
	return got
}

func (s *sandbox) do(method, base, path string, query url.Values, body []byte) (got answer) {
	if s.err == nil {
		got, s.err = s.send(method, base, path, query, body)
	}
	return got
}

// registeredError says that a POST to the sandbox may have registered sources
// for good.
type registeredError struct{ sources []map[string]any }

func (e *registeredError) Error() string {
	var ids []string
	for _, source := range e.sources {
		ids = append(ids, fmt.Sprint(source["id"]))
	}
	return fmt.Sprintf("the sandbox answered ids that do not begin with sandbox_: it may have registered them for good. Nothing more was sent. Delete them: meti sources delete %s", strings.Join(ids, " "))
}

// send sends one request. It is the one place where requests of the facts leave.
func (s *sandbox) send(method, base, path string, query url.Values, body []byte) (answer, error) {
	address := base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	if method != http.MethodGet && (method != http.MethodPost || !strings.HasSuffix(base, "/sandbox")) {
		return answer{}, fmt.Errorf("%w: %s %s", ErrHarm, method, address)
	}
	if s.sent++; s.sent > maxRequests {
		return answer{}, fmt.Errorf("%w: more than %d requests", ErrHarm, maxRequests)
	}
	if s.sent > 1 && s.Pause > 0 {
		timer := time.NewTimer(s.Pause)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.ctx.Done():
			return answer{}, context.Cause(s.ctx)
		}
	}
	s.Announce(method + " " + address)
	request, err := http.NewRequestWithContext(s.ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	authorization, err := s.Authorization(s.ctx)
	if err != nil {
		return answer{}, err
	}
	request.Header = http.Header{"Authorization": {authorization}, "Accept": {"application/json"}, "Content-Type": {"application/json"}}
	response, err := s.HTTP.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err == nil && len(text) > maxAnswer {
		err = fmt.Errorf("%s %s: the answer is larger than %d MiB", method, address, maxAnswer>>20)
	}
	got := answer{response.StatusCode, response.Header, text, decode(text)}
	if err == nil && s.record != nil && path != contractPath {
		if base == s.posting {
			path = "/sandbox" + path
		}
		err = s.record.keep(method, path, query, body, got)
	}
	return got, err
}

// decode reads JSON, nil where it is none.
func decode(text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var value any
	if d.Decode(&value) != nil {
		return nil
	}
	return value
}
