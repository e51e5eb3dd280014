package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/register"
)

// submitProgress shows how far submit is: a bar on a terminal, else a line now
// and then. What is written to it stands above the bar.
type submitProgress struct {
	app    *app
	quiet  bool
	stderr io.Writer

	mu      sync.Mutex
	now     register.Progress
	began   time.Time // the registering
	before  int       // what was done then
	waiting time.Time // until when a request that will be repeated waits
	cause   string
	bars    *mpb.Progress
	bar     *mpb.Bar
	stopped bool
	ended   chan struct{}
	ticking sync.WaitGroup
	text    atomic.Value // string: what stands beside the bar
}

// progressEvery is how often a line is printed where there is no bar.
const progressEvery = 10 * time.Second

func newSubmitProgress(a *app, quiet bool) *submitProgress {
	p := &submitProgress{app: a, quiet: quiet, stderr: a.stderr, ended: make(chan struct{})}
	p.text.Store("")
	if quiet {
		return p
	}
	every := progressEvery
	if a.system.progress {
		every = time.Second / 2 // the time that is left goes on by itself
		p.raise()
	}
	p.ticking.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				p.tick()
			case <-p.ended:
				return
			}
		}
	})
	return p
}

// raise makes the bar.
func (p *submitProgress) raise() {
	p.bars = mpb.New(mpb.WithOutput(p.stderr), mpb.WithAutoRefresh(), mpb.WithRefreshRate(100*time.Millisecond))
	p.bar = p.bars.AddBar(1, mpb.BarRemoveOnComplete(),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return p.text.Load().(string) })))
}

func (p *submitProgress) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch line := p.line(); {
	case p.stopped || p.now.Stage == "":
	case p.bars != nil:
		p.text.Store(line)
	case !p.app.system.progress:
		fmt.Fprintf(p.stderr, "meti: %s\n", line)
	}
}

func (p *submitProgress) show(now register.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped || p.quiet {
		return
	}
	if now.Stage == register.StageRegistering && p.began.IsZero() {
		p.began, p.before = p.app.now(), now.Done
	}
	p.now = now
	if p.bars != nil {
		// The bar draws itself on a goroutine of its own, which must not wait for mu.
		p.text.Store(p.line())
		// One more than there is: a bar that is full would be taken for the end.
		p.bar.SetTotal(int64(max(now.Total, now.Done))+1, false)
		p.bar.SetCurrent(int64(now.Done))
	}
}

// attempt is told of each request: one that waits to be repeated is what is
// waited for.
func (p *submitProgress) attempt(_ context.Context, a api.Attempt) {
	if !a.Repeat || a.Wait < time.Second {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cause = "the network"
	if a.Status > 0 {
		p.cause = fmt.Sprint(a.Status)
	}
	p.waiting = p.app.now().Add(a.Wait)
}

// line is the progress in words: features, rate, time left, conflicts so far,
// and what is waited for.
func (p *submitProgress) line() string {
	n, now := p.now, p.app.now()
	text := string(n.Stage)
	switch {
	case n.Total > 0:
		text += fmt.Sprintf(": %d of %d", n.Done, n.Total)
	case n.Done > 0:
		text += fmt.Sprintf(": %d", n.Done)
	}
	if elapsed := now.Sub(p.began); n.Stage == register.StageRegistering && elapsed > time.Second && n.Done > p.before && n.Wait == "" {
		rate := float64(n.Done-p.before) / elapsed.Seconds()
		left := time.Duration(float64(n.Total-n.Done) / rate * float64(time.Second))
		text += fmt.Sprintf(", %.0f/s, %s left", rate, left.Round(time.Second))
	}
	if n.Conflicts > 0 {
		text += fmt.Sprintf(", %d in conflict", n.Conflicts)
	}
	wait, until := n.Wait, n.Until
	if now.Before(p.waiting) {
		wait, until = p.cause, p.waiting
	}
	switch left := until.Sub(now).Round(time.Second); {
	case wait == "":
	case left > 0:
		text += fmt.Sprintf("; %s, %s left", wait, left)
	default:
		text += "; " + wait
	}
	return text
}

// say prints a message, above the bar where there is one.
func (p *submitProgress) say(text string) { fmt.Fprintf(p, "meti: %s\n", text) }

// Write writes above the bar.
func (p *submitProgress) Write(text []byte) (int, error) {
	p.mu.Lock()
	bars := p.bars
	if p.stopped {
		bars = nil
	}
	p.mu.Unlock()
	if bars == nil {
		return p.stderr.Write(text)
	}
	return bars.Write(text)
}

// pause takes the bar away for a question; the next progress brings it back.
func (p *submitProgress) pause() {
	p.mu.Lock()
	bars, bar := p.bars, p.bar
	p.bars, p.bar = nil, nil
	p.mu.Unlock()
	if bars != nil {
		bar.Abort(true)
		bars.Wait()
	}
}

// stop takes the bar away.
func (p *submitProgress) stop() {
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return
	}
	p.stopped = true
	p.mu.Unlock()
	close(p.ended)
	p.ticking.Wait()
	p.pause()
}
