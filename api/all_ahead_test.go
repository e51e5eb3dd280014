package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/iotest"
	"testing/synctest"
)

// TestAllAsksWhileItDecodes has a consumer stay with its eleventh source, the
// first of the second page: no page behind the next few can be decoded, and
// still each that has arrived makes room for another request.
func TestAllAsksWhileItDecodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const inFlight = 12
		server := &lister{total: 1000}
		n := 0
		for _, err := range inMemory(t, server).Sources.All(t.Context(), AllParams{PageSize: 10, InFlight: inFlight}) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 11 {
				synctest.Wait()
				// The first page, the one that is consumed, and those ahead of it.
				if got, want := server.spent(), 1+2*inFlight; got != want {
					t.Errorf("%d requests, want %d", got, want)
				}
				break
			}
		}
	})
}

// TestReadAhead reads random bodies ahead, with enough memory and with too
// little, and then the rest: nothing is lost, and every chunk is given back.
func TestReadAhead(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	broken := errors.New("broken")
	now := make(chan struct{})
	close(now)
	for range 200 {
		text := make([]byte, random.IntN(4*chunkBytes))
		for i := range text {
			text[i] = byte(random.Uint32())
		}
		chunks := random.IntN(5)
		ending := io.EOF
		var body io.Reader = bytes.NewReader(text)
		if random.IntN(3) == 0 {
			ending = broken
			body = io.MultiReader(body, iotest.ErrReader(broken))
		}
		if random.IntN(2) == 0 {
			body = iotest.DataErrReader(body)
		}
		a := readAhead{body: iotest.HalfReader(body), turns: newTurns(chunks)}
		a.fill(t.Context(), 1, now)
		if fits := len(text) < chunks*chunkBytes; fits != (a.err != nil) || a.size > chunks*chunkBytes {
			t.Fatalf("%d bytes of %d were held in %d chunks, error %v", a.size, len(text), chunks, a.err)
		}
		if random.IntN(4) == 0 { // a page that is given up
			text = text[:random.IntN(len(text)+1)]
			if _, err := io.ReadFull(&a, make([]byte, len(text))); err != nil {
				t.Fatal(err)
			}
		} else if got, err := io.ReadAll(&a); !bytes.Equal(got, text) || ending == io.EOF && err != nil || ending != io.EOF && err != ending {
			t.Fatalf("%d bytes and %v, want %d and %v", len(got), err, len(text), ending)
		}
		if a.release(); a.turns.free != chunks || len(a.turns.waiting) != 0 {
			t.Fatalf("%d of %d chunks were given back, %d are waited for", a.turns.free, chunks, len(a.turns.waiting))
		}
	}
}

// TestReadAheadWaits has a page find no memory: it goes on once there is some,
// and ends with its context.
func TestReadAheadWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(0)
		ctx, cancel := context.WithCancel(t.Context())
		a := readAhead{body: bytes.NewReader(make([]byte, 2*chunkBytes)), turns: turns}
		done := make(chan struct{})
		go func() {
			defer close(done)
			a.fill(ctx, 7, nil)
		}()
		synctest.Wait()
		turns.give()
		synctest.Wait()
		if len(a.held) != 1 || a.size != chunkBytes {
			t.Errorf("%d bytes in %d chunks", a.size, len(a.held))
		}
		cancel()
		<-done
		if a.release(); turns.free != 1 {
			t.Errorf("%d of 1 chunk was given back", turns.free)
		}
	})
}

// TestTurnsGoToTheFirst gives turns in an order that is not that of asking.
func TestTurnsGoToTheFirst(t *testing.T) {
	came := func(turn <-chan struct{}) bool {
		select {
		case <-turn:
			return true
		default:
			return false
		}
	}
	turns := newTurns(1)
	five, three, four, nine := turns.ask(5), turns.ask(3), turns.ask(4), turns.ask(9)
	if !came(five) || came(three) || came(four) {
		t.Error("the one turn there is goes to the first that asks")
	}
	turns.pass(9) // out of turn
	if !came(nine) || came(three) {
		t.Error("9 was to pass, at nobody's cost")
	}
	turns.give()
	if !came(three) || came(four) {
		t.Error("3 was next")
	}
	turns.pass(3) // has its turn: leaves it to the next
	if !came(four) {
		t.Error("4 was next")
	}
	if turns.give(); turns.free != 1 {
		t.Errorf("%d turns are left", turns.free)
	}
}

// TestAllSeesEmptyPagesArrive has pages past the end of an account wait to be
// decoded: that they are empty shows at once, and no more are asked for.
func TestAllSeesEmptyPagesArrive(t *testing.T) {
	for _, empty := range []string{"[]", "null", " []\n"} {
		synctest.Test(t, func(t *testing.T) {
			const inFlight = 12
			server := &lister{total: 50}
			server.also = func(w http.ResponseWriter, offset, _ int) bool {
				if offset >= 50 {
					_, _ = io.WriteString(w, empty)
				}
				return offset >= 50
			}
			n := 0
			for _, err := range inMemory(t, server).Sources.All(t.Context(), AllParams{PageSize: 10, InFlight: inFlight}) {
				if err != nil {
					t.Fatal(err)
				}
				if n++; n == 11 {
					synctest.Wait()
					// Five pages have sources, and others were under way with the first empty one.
					if got, most := server.spent(), 5+inFlight; got > most {
						t.Errorf("%d requests, at most %d were to be seen", got, most)
					}
				}
			}
			if n != 50 {
				t.Errorf("%d sources", n)
			}
		})
	}
}
