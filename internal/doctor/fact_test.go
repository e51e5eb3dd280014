package doctor_test

import (
	"testing"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/internal/doctor"
)

// questions asks an emulator.
func questions(t *testing.T, server *emulator.Server) doctor.Questions {
	t.Helper()
	tokens, err := authn.New(authn.Config{Domain: server.Ready().URL, ClientID: server.Ready().ClientID, ClientSecret: authn.Secret(server.Ready().ClientSecret)})
	if err != nil {
		t.Fatal(err)
	}
	return doctor.Questions{
		BaseURL:   server.Ready().URL,
		Authorize: tokens.Edit,
		Announce:  func(string) {},
	}
}

func TestFactsHoldAgainstTheEmulator(t *testing.T) {
	server, err := emulator.Start(emulator.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	facts, err := questions(t, server).Ask(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, fact := range facts {
		t.Logf("%-8s %s [%s]: %s", fact.Verdict, fact.Name, fact.Provenance, fact.Seen)
		if fact.Verdict != doctor.Holds {
			t.Errorf("%s: %s, %s", fact.Name, fact.Verdict, fact.Seen)
		}
	}
}
