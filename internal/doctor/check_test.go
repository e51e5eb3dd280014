package doctor_test

import (
	"testing"
	"time"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/internal/doctor"
)

// A clock that is off is told, and what follows is looked at all the same.
func TestAClockThatIsOff(t *testing.T) {
	server, err := emulator.Start(emulator.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ready := server.Ready()
	config := authn.Config{Domain: ready.Domain, ClientID: ready.ClientID, ClientSecret: authn.Secret(ready.ClientSecret), BaseURL: ready.URL}
	tokens, err := authn.New(config)
	if err != nil {
		t.Fatal(err)
	}
	client, err := api.New(api.WithAuth(tokens), api.WithBaseURL(ready.URL))
	if err != nil {
		t.Fatal(err)
	}
	for _, off := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		report := doctor.Report{Checks: doctor.Setup{
			Getenv: func(string) string { return "" }, Config: config, Tokens: tokens, Client: client,
			Now: func() time.Time { return time.Now().Add(off) },
		}.Check(t.Context())}
		failed := report.Failed()
		if off == 0 && failed != nil {
			t.Errorf("a clock that is right: %s: %s", failed.Name, failed.Detail)
		}
		if off != 0 && (failed == nil || failed.Name != "clock") {
			t.Errorf("%s off: %+v", off, failed)
		}
		if last := report.Checks[len(report.Checks)-1]; last.Name != "target" || !last.OK {
			t.Errorf("%s off: it ended at %s", off, last.Name)
		}
	}
}
