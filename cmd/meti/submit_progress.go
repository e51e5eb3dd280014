package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/meti-go/meti/register"
)

// submitProgress shows how far submit is: a bar on a terminal, else a line now
// and then.
type submitProgress struct {
	app   *app
	quiet bool

	mu      sync.Mutex
	now     register.Progress
	began   time.Time // the registering
	before  int       // what was settled then
	printed time.Time
	bars    *mpb.Progress
	bar     *mpb.Bar
	stopped bool
	text    atomic.Value // string: what stands beside the bar
}

// progressEvery is how often a line is printed where there is no bar.
const progressEvery = 10 * time.Second

func newSubmitProgress(a *app, quiet bool) *submitProgress {
	p := &submitProgress{app: a, quiet: quiet, printed: a.now()}
	if a.system.progress && !quiet {
		p.bars = mpb.New(mpb.WithOutput(a.stderr), mpb.WithAutoRefresh(), mpb.WithRefreshRate(100*time.Millisecond))
	}
	return p
}

// settled are the features that nothing more happens to in this run.
func settled(p register.Progress) int { return p.Done() + p.Invalid + p.Refused }

func (p *submitProgress) show(now register.Progress) {
	if p.quiet {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return
	}
	if now.Stage == register.StageRegistering && p.began.IsZero() {
		p.began, p.before = p.app.now(), settled(now)
	}
	p.now = now
	if p.bars == nil {
		if at := p.app.now(); at.Sub(p.printed) >= progressEvery {
			p.printed = at
			p.app.say("%s", p.line())
		}
		return
	}
	// The bar draws itself on a goroutine of its own, which must not wait for mu.
	p.text.Store(p.line())
	if p.bar == nil {
		p.bar = p.bars.AddBar(0,
			mpb.BarRemoveOnComplete(),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return p.text.Load().(string) })),
		)
	}
	// One more than there is: a bar that is full would be taken for the end.
	p.bar.SetTotal(int64(now.Features)+1, false)
	if now.Stage == register.StageRegistering {
		p.bar.SetCurrent(int64(settled(now)))
	}
}

// line is the progress in words: features, rate, time left, conflicts so far.
func (p *submitProgress) line() string {
	n := p.now
	if n.Stage != register.StageRegistering {
		return fmt.Sprintf("%s: %d features", n.Stage, n.Features)
	}
	text := fmt.Sprintf("%d of %d features", settled(n), n.Features)
	if elapsed := p.app.now().Sub(p.began); elapsed > time.Second && settled(n) > p.before {
		rate := float64(settled(n)-p.before) / elapsed.Seconds()
		left := time.Duration(float64(n.Features-settled(n)) / rate * float64(time.Second))
		text += fmt.Sprintf(", %.0f/s, %s left", rate, left.Round(time.Second))
	}
	text += fmt.Sprintf(", %d in conflict", n.Conflicts)
	if n.Settling > 0 {
		text += fmt.Sprintf(", %d requests to be settled", n.Settling)
	}
	return text
}

// say prints a message, above the bar where there is one.
func (p *submitProgress) say(text string) {
	p.mu.Lock()
	bars := p.bars
	if p.stopped {
		bars = nil
	}
	p.mu.Unlock()
	if bars == nil {
		p.app.say("%s", text)
		return
	}
	fmt.Fprintf(bars, "meti: %s\n", text)
}

// stop takes the bar away.
func (p *submitProgress) stop() {
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return
	}
	p.stopped = true
	bars, bar := p.bars, p.bar
	p.mu.Unlock()
	if bars == nil {
		return
	}
	if bar != nil {
		bar.Abort(true)
	}
	bars.Wait()
}
