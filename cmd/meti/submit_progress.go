package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/register"
)

// submitProgress shows how far submit is: a bar on a terminal, else a line now
// and then. What is written to it stands above the bar.
type submitProgress struct {
	app    *app
	stderr io.Writer
	quiet  bool
	stop   func() // takes the bar away

	mu      sync.Mutex
	now     register.Progress
	began   time.Time // the registering
	before  int       // what was done then
	waiting time.Time // until when a request that will be repeated waits
	cause   string
	drawn   bool // a bar is the last line
}

func newSubmitProgress(a *app, quiet bool) *submitProgress {
	p := &submitProgress{app: a, stderr: a.stderr, quiet: quiet, stop: func() {}}
	if quiet {
		return p
	}
	every := 10 * time.Second
	if a.progress {
		every = 100 * time.Millisecond
	}
	ended, ticking := make(chan struct{}), sync.WaitGroup{}
	ticking.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				p.draw()
			case <-ended:
				return
			}
		}
	})
	p.stop = sync.OnceFunc(func() {
		close(ended)
		ticking.Wait()
		p.pause()
	})
	return p
}

// draw prints the progress as a line or, on a terminal, over the one before and
// beside a bar.
func (p *submitProgress) draw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.now.Stage == "":
		return
	case !p.app.progress:
		fmt.Fprintf(p.stderr, "meti: %s\n", p.line())
		return
	}
	const cells = 20
	full := cells * p.now.Done / max(p.now.Total, p.now.Done, 1)
	text := "[" + strings.Repeat("=", full) + strings.Repeat("-", cells-full) + "] " + p.line()
	if width, _, err := term.GetSize(int(os.Stderr.Fd())); err == nil {
		text = runewidth.Truncate(text, width-1, "…")
	}
	p.erase()
	fmt.Fprint(p.stderr, text)
	p.drawn = true
}

func (p *submitProgress) erase() {
	if p.drawn {
		fmt.Fprint(p.stderr, "\r\x1b[K")
	}
	p.drawn = false
}

func (p *submitProgress) show(now register.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Stage == register.StageRegistering && p.began.IsZero() {
		p.began, p.before = p.app.now(), now.Done
	}
	p.now = now
}

// attempt is told of each request: one that waits to be repeated is what is
// waited for. Off a terminal it is told at once.
func (p *submitProgress) attempt(_ context.Context, a api.Attempt) {
	if !a.Repeat || a.Wait < time.Second {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cause = "the network: waiting"
	if a.Status > 0 {
		p.cause = fmt.Sprintf("%d: waiting", a.Status)
	}
	told := p.app.now().Before(p.waiting) || p.quiet || p.app.progress || p.now.Stage == ""
	if p.waiting = p.app.now().Add(a.Wait); !told {
		fmt.Fprintf(p.stderr, "meti: %s\n", p.line())
	}
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

// Write writes above the bar.
func (p *submitProgress) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	return p.stderr.Write(text)
}

// pause takes the bar away for a question; the next progress brings it back.
func (p *submitProgress) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	p.now = register.Progress{}
}
