// Package fields reads files of fields and judges them: what a file means is
// decided here, for every command.
//
// It reads GeoJSON of any size one feature at a time, in flat memory: a
// FeatureCollection, Features one after another or newline-delimited, text
// sequences (RFC 8142), and a FeatureCollection within the attributes that its
// sources share, as MillPont's front end writes it. Other formats it recognises,
// and says which command turns them into GeoJSON.
//
//	window.go   what of the input is in memory
//	forms.go    where each feature stands
//	formats.go  what is no GeoJSON
//	open.go     files, pipes, and reading again
//	shapes.go   shapes that are kept outside of memory
//	judge.go    what of a feature is sent, and what is wrong with it
//	shared.go   attributes that stand beside the features
//	repeats.go  features that say the same
//	fields.go   all of a file, on all cores
package fields

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/meti-go/meti/ledger"
)

// whole is what a file says of all its features.
type whole struct {
	crs      []byte
	shared   map[string]json.RawMessage // attributes beside the features, as they stand
	repeated []string                   // members of a collection that stand twice
}

// Each calls do for each feature, in order, until do fails. An error that ends
// the reading is an [*InputError] or a [*FormatError], which are [ErrInput], or
// tells that the file cannot be read at all. It is called once.
func (f *File) Each(do func(Item) error) error {
	r := &reading{window: newWindow(f.Name, f.source), yield: do}
	err := r.all()
	f.whole = r.whole
	return err
}

// Features are judged in blocks of this many, and of this many bytes.
const (
	blockFeatures = 512
	blockBytes    = 4 << 20
)

// Judge reads and judges all features, on all cores, and hands them over in
// their order. The errors are those of Each, those of take, and the end of ctx.
func (f *File) Judge(ctx context.Context, j *Judge, take func(Item, Judged) error) error {
	return Map(ctx, f, j.Item, take)
}

// Map is [File.Judge] with something else to do for each feature.
func Map[T any](ctx context.Context, f *File, do func(Item) T, take func(Item, T) error) error {
	type job struct {
		item   Item
		result T
	}
	var jobs []job
	size := 0
	flush := func() error {
		var next atomic.Int64
		var workers sync.WaitGroup
		for range min(runtime.GOMAXPROCS(0), len(jobs)) {
			workers.Go(func() {
				for i := int(next.Add(1)) - 1; i < len(jobs) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
					jobs[i].result = do(jobs[i].item)
				}
			})
		}
		workers.Wait()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for i := range jobs {
			if err := take(jobs[i].item, jobs[i].result); err != nil {
				return err
			}
		}
		clear(jobs)
		jobs, size = jobs[:0], 0
		return nil
	}
	err := f.Each(func(item Item) error {
		item.Raw = bytes.Clone(item.Raw)
		jobs = append(jobs, job{item: item})
		if size += len(item.Raw); len(jobs) == blockFeatures || size >= blockBytes {
			return flush()
		}
		return nil
	})
	if err == nil || errors.Is(err, ErrInput) { // what was read before counts
		if failed := flush(); failed != nil {
			return failed
		}
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Problems are those that all features of the file have, known once it was
// read: coordinates of another system, and members that stand twice beside them.
func (f *File) Problems(rules ledger.Rules) ledger.Problems {
	problems := ledger.CheckCRS(f.crs)
	for i := range problems {
		problems[i].Advice = "convert them: " + fill(gdal+"FILE", f.Name) + " | meti check --id-property … -"
	}
	for _, name := range f.repeated {
		problems = append(problems, repeatedMember("", name))
	}
	return rules.Apply(problems)
}
