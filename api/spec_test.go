package api_test

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"golang.org/x/oauth2"

	"github.com/meti-go/meti"
	"github.com/meti-go/meti/api"
)

func spec(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(meti.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestServersAreThoseOfTheSpec(t *testing.T) {
	var urls []string
	for _, server := range spec(t).Servers {
		urls = append(urls, server.URL)
	}
	for i, want := range []string{api.Production, api.Alternative, api.Sandbox} {
		if i >= len(urls) || urls[i] != want {
			t.Errorf("api has the server %q, and openapi.yaml in its place %q: see api/client.go", want, urls[min(i, len(urls)):min(i+1, len(urls))])
		}
	}
	if len(urls) > 3 {
		t.Errorf("openapi.yaml has the servers %q too, and api/client.go does not", urls[3:])
	}
}

// TestFilterIsThatOfTheSpec sets every field of ListParams, and expects every
// query parameter of openapi.yaml to be sent, and no other.
func TestFilterIsThatOfTheSpec(t *testing.T) {
	var want []string
	for _, parameter := range spec(t).Paths.Find("/sources").Get.Parameters {
		want = append(want, parameter.Value.Name)
	}
	var params api.ListParams
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		for i := range v.NumField() {
			switch f := v.Field(i); f.Kind() {
			case reflect.Struct:
				fill(f)
			case reflect.String:
				f.SetString("x")
			case reflect.Int:
				f.SetInt(7)
			default:
				t.Fatalf("%s is a %s", v.Type().Field(i).Name, f.Kind())
			}
		}
	}
	fill(reflect.ValueOf(&params).Elem())

	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.URL.Query() {
			got = append(got, name)
			if len(values) != 1 || values[0] != "x" && values[0] != "7" {
				t.Errorf("%s is sent as %q", name, values)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("[]"))
	}))
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client, err := api.New(api.WithBaseURL(server.URL), api.WithHTTPClient(&http.Client{Transport: transport}),
		api.WithTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "t"})))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Sources.List(t.Context(), params); err != nil {
		t.Fatal(err)
	}
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("openapi.yaml has the parameter %s, and it is not sent", name)
		}
	}
	for _, name := range got {
		if !slices.Contains(want, name) {
			t.Errorf("the parameter %s is sent, and openapi.yaml does not have it", name)
		}
	}
}
