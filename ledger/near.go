package ledger

import "context"

// EachNear calls do for each candidate and each source before it, candidate or
// stored, that is there at the same time and whose box it meets: the pairs whose
// order may matter, in any country. do may end a candidate's pairs, or all of it by
// an error. Both are called from many goroutines; load is that of [Batch.Judge].
func (b *Batch) EachNear(ctx context.Context, load func(Ref) (*Shape, error), do func(i int, self *Shape, before Ref, other *Shape) (more bool, err error)) error {
	j := b.judging(load)
	return inParallel(ctx, b.nearby(), func(i int) error {
		e := j.entry(i)
		for _, k := range j.near(i, e.Box) {
			if !e.Period.Overlaps(j.entry(k).Period) {
				continue
			}
			self, err := j.shapes.get(j.ref(i))
			if err != nil {
				return err
			}
			other, err := j.shapes.get(j.ref(k))
			if err != nil {
				return err
			}
			if more, err := do(i, self, j.ref(k), other); err != nil || !more {
				return err
			}
		}
		return nil
	})
}
