// Package fields reads files of fields and judges them: what a file means is
// decided here, for every command.
//
// It reads GeoJSON of any size one feature at a time, in flat memory: a
// FeatureCollection, Features one after another or newline-delimited, text
// sequences (RFC 8142), and a FeatureCollection within the attributes that its
// sources share, as MillPont's front end writes it. Other formats it recognises,
// and says which command turns them into GeoJSON.
//
//	reader.go   what of the input is in memory
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

	"golang.org/x/sync/errgroup"

	"github.com/meti-go/meti/ledger"
)

// whole is what a file says of all its features.
type whole struct {
	crs      []byte
	shared   map[string]json.RawMessage // attributes beside the features, as they stand
	repeated []string                   // members of a collection that stand twice
}

// Features are judged in blocks of this many, and of this many bytes.
const (
	blockFeatures = 512
	blockBytes    = 4 << 20
)

// Map reads a file. It calls do for each feature, on all cores, and take with what
// that gave, in the order of the file, until take fails or ctx ends. An error that
// ends the reading is an [*InputError] or a [*FormatError], which are [ErrInput], or
// tells that the file cannot be read at all. Map is called once.
func Map[T any](ctx context.Context, f *File, do func(Item) T, take func(Item, T) error) error {
	var block []Item
	size := 0
	flush := func() error {
		results := make([]T, len(block))
		var workers errgroup.Group
		workers.SetLimit(runtime.GOMAXPROCS(0))
		for i, item := range block {
			workers.Go(func() error {
				results[i] = do(item)
				return context.Cause(ctx)
			})
		}
		if err := workers.Wait(); err != nil {
			return err
		}
		for i, item := range block {
			if err := take(item, results[i]); err != nil {
				return err
			}
		}
		clear(block)
		block, size = block[:0], 0
		return nil
	}
	err := f.each(func(item Item) error {
		item.Raw = bytes.Clone(item.Raw)
		block = append(block, item)
		if size += len(item.Raw); len(block) == blockFeatures || size >= blockBytes {
			return flush()
		}
		return nil
	})
	if err == nil || errors.Is(err, ErrInput) { // what was read before counts
		if failed := flush(); failed != nil {
			return failed
		}
	}
	return err
}

// each calls do for each feature, in order, until do fails.
func (f *File) each(do func(Item) error) error {
	r := newReader(f.Name, f.Section(0, -1), do)
	err := r.all()
	f.whole = r.whole
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
