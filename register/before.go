package register

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meti-go/meti/api"
)

// marksInRecord bounds the records that belong to no request.
const marksInRecord = 500

// lookBefore looks the features up that were never sent: what the account has
// already must neither be registered again nor be taken later for what a lost
// request made.
func (r *run) lookBefore() error {
	names := map[string][]int{}
	for i := range r.index.entries {
		if r.index.entries[i].state == pending {
			name := r.index.altID(i)
			names[name] = append(names[name], i)
		}
	}
	if len(names) == 0 {
		return nil
	}
	r.setStage(StageLookingUp)
	var before []mark
	resembling := map[int]bool{}
	see := func(s *api.Source) error {
		for _, i := range names[s.AltID] {
			e := &r.index.entries[i]
			if max(timeApart(e.period.Start, s.StartAt), timeApart(e.period.End, s.EndAt)) > day {
				continue
			}
			f, err := r.loadOne(i)
			if err != nil {
				return err
			}
			c := r.compare(f, s)
			switch {
			case c == same && !r.foreign(s) && !r.AllowExisting:
				r.stand(i, s)
			case c == other, r.knows(s.ID), r.lostTwin(s):
			default:
				if c == near {
					resembling[i] = true
				}
				m := mark{Identity: r.index.identity(i).String(), AltID: s.AltID}
				before = append(before, r.result(i, m, s))
			}
		}
		return nil
	}
	if err := r.sources(r.ctx, names, see); err != nil {
		return err
	}
	for chunk := range slices.Chunk(before, marksInRecord) {
		if _, err := r.journal.append(record{Kind: kindBefore, At: time.Now(), Content: r.content, Marks: chunk}); err != nil {
			return err
		}
	}
	for _, m := range before {
		r.know(m.ID)
	}
	if n := len(resembling); n > 0 {
		r.notice("%d features resemble a source of the account: the same id, nearly the same period and area; they are other ones, and are registered", n)
	}
	return nil
}

// lostTwin reports whether a source may be what a lost request made of
// another feature of the same alt_id: then it was not there before.
func (r *run) lostTwin(s *api.Source) bool {
	for _, i := range r.index.named(s.AltID) {
		if r.index.entries[i].state != lost {
			continue
		}
		if f, err := r.loadOne(i); err != nil || r.compare(f, s) == same {
			return true
		}
	}
	return false
}

// stand notes that the account has a feature already.
func (r *run) stand(i int, s *api.Source) {
	found, again := r.found[i]
	switch {
	case !again:
		found = existing{id: s.ID, reason: r.differences(s)}
		found.mark = r.result(i, mark{Identity: r.index.identity(i).String(), AltID: s.AltID}, s)
		r.move([]int{i}, standing, 0)
	case found.id != s.ID && !strings.Contains(found.reason, s.ID):
		if found.reason != "" {
			found.reason += "; "
		}
		found.reason += "also " + s.ID
	}
	r.found[i] = found
}

// decide acts on what exists already.
func (r *run) decide() error {
	if len(r.found) == 0 {
		return nil
	}
	var entries []int
	for i := range r.index.entries {
		if r.index.entries[i].state == standing {
			entries = append(entries, i)
		}
	}
	if !r.SkipExisting {
		first := r.found[entries[0]]
		why := ""
		if first.reason != "" {
			why = " (" + first.reason + ")"
		}
		return fmt.Errorf("%w: %d of %d, such as %q, which is %s%s; nothing was sent. Leave them out with --skip-existing, or register them once more with --allow-existing",
			ErrExists, len(entries), len(r.index.entries), r.index.altID(entries[0]), first.id, why)
	}
	for chunk := range slices.Chunk(entries, marksInRecord) {
		marks := make([]mark, len(chunk))
		for k, i := range chunk {
			found := r.found[i]
			marks[k] = found.mark
			// A changed boundary has an identity of its own.
			marks[k].Identity, marks[k].Reason = r.index.identity(i).String(), found.reason
		}
		line, err := r.journal.append(record{Kind: kindExisted, At: time.Now(), Content: r.content, Marks: marks})
		if err != nil {
			return err
		}
		r.move(chunk, existed, line)
		for _, i := range chunk {
			delete(r.found, i)
		}
	}
	return nil
}

// differences says which of the shared attributes a source has otherwise.
func (r *run) differences(s *api.Source) string {
	members := func(v any) (m map[string]json.RawMessage) {
		if text, err := json.Marshal(v); err == nil {
			_ = json.Unmarshal(text, &m)
		}
		return m
	}
	ours, theirs := members(r.Shared), members(s)
	var list []string
	for name, value := range ours {
		switch name {
		case "feature_collection", "account_id", "created_by", "updated_by":
			continue
		}
		have := theirs[name]
		if have == nil {
			have = json.RawMessage("null")
		}
		if !bytes.Equal(have, value) {
			list = append(list, fmt.Sprintf("%s is %s there and %s here", name, clip(string(have), 100), clip(string(value), 100)))
		}
	}
	slices.Sort(list)
	return strings.Join(list, "; ")
}
