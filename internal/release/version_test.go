package main

import "testing"

func TestReleaseRefusesWhatIsNoVersion(t *testing.T) {
	for _, version := range []string{"", "1.2.3", "v1.2", "v1.2.3 -X main.other=1"} {
		if err := release(t.Context(), version, t.TempDir(), nil); err == nil {
			t.Errorf("%q was taken", version)
		}
	}
}
