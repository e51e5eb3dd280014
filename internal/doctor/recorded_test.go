package doctor_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/meti-go/meti"
	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/doctor"
)

const recordings = "../../testdata/recorded"

var record = flag.Bool("record", false, "record the emulator anew, into testdata/recorded/emulator")

// exchange is what a file of a recording holds.
type exchange struct {
	file    string
	Request struct {
		Method string          `json:"method"`
		Path   string          `json:"path"`
		Body   json.RawMessage `json:"body"`
	} `json:"request"`
	Response struct {
		Status int             `json:"status"`
		Body   json.RawMessage `json:"body"`
	} `json:"response"`
}

func readRecording(t *testing.T, folder string) (exchanges []exchange) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "[0-9]*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", folder, len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		e := exchange{file: filepath.Base(file)}
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		exchanges = append(exchanges, e)
	}
	return exchanges
}

// What METI was seen to answer is as openapi.yaml says, is read by api and gen,
// and is what the emulator answers to the same requests, but for what
// differences.txt in the recording's folder names.
func TestRecorded(t *testing.T) {
	if *record {
		recordEmulator(t)
	}
	folders, err := os.ReadDir(recordings)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := openapi3.NewLoader().LoadFromData(meti.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		t.Run(folder.Name(), func(t *testing.T) {
			folder := filepath.Join(recordings, folder.Name())
			exchanges := readRecording(t, folder)
			var found []string
			for _, e := range exchanges {
				for _, problem := range e.judge(spec) {
					found = append(found, e.file+": "+problem)
				}
			}
			found = append(found, replay(t, exchanges)...)
			text, err := os.ReadFile(filepath.Join(folder, "differences.txt"))
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if listed, found := strings.TrimSpace(string(text)), strings.Join(found, "\n"); listed != found {
				t.Errorf("differences.txt has\n%s\nand these were found:\n%s", listed, found)
			}
		})
	}
}

// docs/facts.md is what openapi.yaml and the recordings say.
func TestFactsPage(t *testing.T) {
	want, err := doctor.Page(meti.OpenAPI, os.DirFS(recordings))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/facts.md")
	if err != nil || string(got) != want {
		t.Errorf("docs/facts.md is not what openapi.yaml says: run make generate (%v)", err)
	}
}

// recordEmulator makes the recording that stands there until METI's does.
func recordEmulator(t *testing.T) {
	t.Helper()
	server, err := emulator.Start(emulator.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	q := questions(t, server)
	q.Record = filepath.Join(recordings, "emulator")
	if err := os.RemoveAll(q.Record); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(q.Record, doctor.MadeByEmulator), []byte("No METI answered this: it stands here until a recording of METI does.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// path is that of the contract, and whether it names one source.
func (e exchange) path() (path string, one bool) {
	path, _, _ = strings.Cut(strings.TrimPrefix(e.Request.Path, "/sandbox"), "?")
	if strings.HasPrefix(path, "/sources/") {
		return "/sources/{source_id}", true
	}
	return path, false
}

// judge holds an answer against openapi.yaml, and against what reads it.
func (e exchange) judge(spec *openapi3.T) (problems []string) {
	path, one := e.path()
	operation := spec.Paths.Value(path).GetOperation(e.Request.Method)
	answer := operation.Responses.Status(e.Response.Status)
	if answer == nil {
		return []string{fmt.Sprintf("openapi.yaml has no answer %d", e.Response.Status)}
	}
	var value any
	if err := json.Unmarshal(e.Response.Body, &value); err != nil {
		return []string{err.Error()}
	}
	if err := answer.Value.Content.Get("application/json").Schema.Value.VisitJSON(value, openapi3.MultiErrors()); err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		problems = append(problems, first)
	}
	if e.Response.Status/100 != 2 {
		return problems
	}
	body := e.Response.Body
	if one {
		body = slices.Concat([]byte("["), body, []byte("]"))
	}
	var byAPI []api.Source
	if err := json.Unmarshal(body, &byAPI); err != nil {
		problems = append(problems, "api: "+err.Error())
	}
	var byGen []gen.Source
	if err := json.Unmarshal(body, &byGen); err != nil {
		problems = append(problems, "gen: "+err.Error())
	}
	return problems
}

// replay sends the requests to an emulator, and compares statuses and shapes.
func replay(t *testing.T, exchanges []exchange) (differences []string) {
	t.Helper()
	server, err := emulator.Start(emulator.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	authorize := questions(t, server).Authorize
	ids := strings.NewReplacer() // those of the recording, by those of the emulator
	var pairs []string
	for _, e := range exchanges {
		request, err := http.NewRequestWithContext(t.Context(), e.Request.Method, server.Ready().URL+ids.Replace(e.Request.Path), bytes.NewReader(e.Request.Body))
		if err != nil {
			t.Fatal(err)
		}
		if err := authorize(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != e.Response.Status {
			differences = append(differences, fmt.Sprintf("%s: %d was recorded, and the emulator answers %d", e.file, e.Response.Status, answer.StatusCode))
			continue
		}
		if recorded, emulated := form(e.Response.Body), form(body); recorded != emulated {
			differences = append(differences, fmt.Sprintf("%s: %s was recorded, and the emulator answers %s", e.file, recorded, emulated))
		}
		if e.Request.Method == http.MethodPost && answer.StatusCode/100 == 2 {
			var recorded, emulated []struct{ ID string }
			_ = json.Unmarshal(e.Response.Body, &recorded) // judged above
			_ = json.Unmarshal(body, &emulated)
			for i := range min(len(recorded), len(emulated)) {
				pairs = append(pairs, recorded[i].ID, emulated[i].ID)
			}
			ids = strings.NewReplacer(pairs...)
		}
	}
	return differences
}

// form describes the types within JSON, each different element of a list once.
func form(text []byte) string {
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return "no JSON"
	}
	return formOf(value)
}

func formOf(value any) string {
	switch value := value.(type) {
	case map[string]any:
		var members []string
		for name, inside := range value {
			members = append(members, name+": "+formOf(inside))
		}
		slices.Sort(members)
		return "{" + strings.Join(members, ", ") + "}"
	case []any:
		var elements []string
		for _, inside := range value {
			elements = append(elements, formOf(inside))
		}
		slices.Sort(elements)
		return "[" + strings.Join(slices.Compact(elements), " | ") + "]"
	case nil:
		return "null"
	}
	return fmt.Sprintf("%T", value)
}
