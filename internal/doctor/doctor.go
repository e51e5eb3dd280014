// Package doctor finds out, with the user's own credentials, what stands in the
// way of calling METI (check.go), and which of the facts that openapi.yaml is
// written from hold (facts.go), asked in METI's sandbox (sandbox.go). What was
// answered can be recorded so that it may be published (record.go), and
// docs/facts.md tells what is known (page.go).
package doctor

// A Report is what was found.
type Report struct {
	Checks []Check `json:"checks"`
	Facts  []Fact  `json:"facts"`
}

// A Check is one thing that has to be right before METI can be called.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"` // what was found and, where it is wrong, what to do
	Err    error  `json:"-"`      // why it is not OK, for [errors.Is]
}

// Failed is the first check that is not OK, nil where all are.
func (r *Report) Failed() *Check {
	for i := range r.Checks {
		if !r.Checks[i].OK {
			return &r.Checks[i]
		}
	}
	return nil
}

// A Verdict says whether a fact is as openapi.yaml and the emulator have it.
type Verdict string

// The verdicts.
const (
	Holds   Verdict = "holds"
	Differs Verdict = "differs"
	NotSeen Verdict = "not seen" // nothing that was answered tells
)

// A Fact is one of the assumptions that this module is built on.
type Fact struct {
	Name       string  `json:"name"`
	Provenance string  `json:"provenance"` // where it was seen until now, in openapi.yaml's letters; empty where nowhere
	Verdict    Verdict `json:"verdict"`
	Seen       string  `json:"seen"`            // what was answered; not in a recording
	Place      string  `json:"place,omitempty"` // the JSON pointer to what it is about, in openapi.yaml; in a recording alone
}
