package register_test

import (
	"testing"

	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/register"
)

func TestRegistersOnce(t *testing.T) {
	server := start(t, emulator.Options{})
	path := file(t, collection(square("a", 1), square("b", 2), bowtie("c"), square("d", 4)))
	first := run(t, server, register.Options{Input: path, BatchFeatures: 2})
	if first.err != nil || first.outcomes() != "a registered, b registered, c invalid, d registered" {
		t.Fatal(first.outcomes(), first.err, first.notices)
	}
	if n := len(stored(t, server)); n != 3 {
		t.Fatalf("%d sources", n)
	}
	before := server.Requests()
	second := run(t, server, register.Options{Input: path})
	if second.err != nil || second.outcomes() != first.outcomes() || second.results[1].ID != first.results[1].ID {
		t.Fatal(second.outcomes(), second.err)
	}
	if after := server.Requests(); after["createSources"] != before["createSources"] || after["listSources"] != before["listSources"] {
		t.Fatal("requests were made again", before, after)
	}
}
