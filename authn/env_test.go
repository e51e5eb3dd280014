package authn

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var variables = []string{"AUTH0_DOMAIN", "AUTH0_AUDIENCE", "METI_CLIENT_ID", "METI_CLIENT_SECRET", "METI_CLIENT_SECRET_FILE", "CLIENT_ID", "CLIENT_SECRET", "METI_BASE_URL"}

func TestFromEnv(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bom, wide := write("bom", "\ufefffrom-file\r\n"), write("wide", "\xff\xfes\x00")
	file, empty, large := write("secret", "\n from-file \r\n"), write("empty", " \n"), write("large", strings.Repeat("x\n", 1<<20))
	type env = map[string]string
	for _, tt := range []struct {
		name   string
		env    env
		want   Config
		naming []string // in the error
	}{
		{"all", env{"AUTH0_DOMAIN": "a.example", "AUTH0_AUDIENCE": "urn:x", "METI_CLIENT_ID": "i", "METI_CLIENT_SECRET": "s"},
			Config{Domain: "https://a.example", Audience: "urn:x", ClientID: "i", ClientSecret: "s"}, nil},
		{"default audience, white space", env{"AUTH0_DOMAIN": " a.example ", "METI_CLIENT_ID": " i\n", "METI_CLIENT_SECRET": "s\r\n"},
			Config{Domain: "https://a.example", Audience: DefaultAudience, ClientID: "i", ClientSecret: "s"}, nil},
		{"the page's names", env{"AUTH0_DOMAIN": "a.example", "CLIENT_ID": "i", "CLIENT_SECRET": "s"},
			Config{Domain: "https://a.example", Audience: DefaultAudience, ClientID: "i", ClientSecret: "s"}, nil},
		{"METI_ before the page's", env{"AUTH0_DOMAIN": "a.example", "CLIENT_ID": "x", "CLIENT_SECRET": "y", "METI_CLIENT_ID": "i", "METI_CLIENT_SECRET": "s"},
			Config{Domain: "https://a.example", Audience: DefaultAudience, ClientID: "i", ClientSecret: "s"}, nil},
		{"file", env{"AUTH0_DOMAIN": "a.example", "METI_CLIENT_ID": "i", "METI_CLIENT_SECRET_FILE": file, "CLIENT_SECRET": "y"},
			Config{Domain: "https://a.example", Audience: DefaultAudience, ClientID: "i", ClientSecret: "from-file"}, nil},
		{"file with a byte order mark", env{"AUTH0_DOMAIN": "a.example", "METI_CLIENT_ID": "i", "METI_CLIENT_SECRET_FILE": bom},
			Config{Domain: "https://a.example", Audience: DefaultAudience, ClientID: "i", ClientSecret: "from-file"}, nil},
		{"file in UTF-16", env{"AUTH0_DOMAIN": "a.example", "METI_CLIENT_ID": "i", "METI_CLIENT_SECRET_FILE": wide}, Config{}, []string{"METI_CLIENT_SECRET_FILE", "a file in UTF-8"}},
		{"base URL", env{"AUTH0_DOMAIN": "a.example", "METI_BASE_URL": " http://127.0.0.1:8484/ ", "METI_CLIENT_ID": "i", "METI_CLIENT_SECRET": "s"},
			Config{Domain: "https://a.example", Audience: DefaultAudience, ClientID: "i", ClientSecret: "s", BaseURL: "http://127.0.0.1:8484"}, nil},
		{"base URL that would show the token", env{"AUTH0_DOMAIN": "a.example", "METI_BASE_URL": "http://api.example", "METI_CLIENT_ID": "i", "METI_CLIENT_SECRET": "s"}, Config{}, []string{"METI_BASE_URL is plain http"}},
		{"blank counts as missing", env{"AUTH0_DOMAIN": "a.example", "METI_CLIENT_ID": " ", "CLIENT_ID": "i", "METI_CLIENT_SECRET": "\n", "CLIENT_SECRET": "s"},
			Config{Domain: "https://a.example", Audience: DefaultAudience, ClientID: "i", ClientSecret: "s"}, nil},
		{"nothing", env{}, Config{}, []string{"AUTH0_DOMAIN", "METI_CLIENT_ID", "METI_CLIENT_SECRET"}},
		{"no domain", env{"CLIENT_ID": "i", "CLIENT_SECRET": "s"}, Config{}, []string{"AUTH0_DOMAIN"}},
		{"no id", env{"AUTH0_DOMAIN": "a.example", "CLIENT_SECRET": "s"}, Config{}, []string{"METI_CLIENT_ID"}},
		{"no secret", env{"AUTH0_DOMAIN": "a.example", "CLIENT_ID": "i"}, Config{}, []string{"METI_CLIENT_SECRET"}},
		{"two secrets", env{"AUTH0_DOMAIN": "a.example", "CLIENT_ID": "i", "METI_CLIENT_SECRET": "hunter2", "METI_CLIENT_SECRET_FILE": file}, Config{}, []string{"METI_CLIENT_SECRET_FILE"}},
		{"no file", env{"AUTH0_DOMAIN": "a.example", "CLIENT_ID": "i", "METI_CLIENT_SECRET_FILE": dir + "/none"}, Config{}, []string{"METI_CLIENT_SECRET_FILE", dir + "/none"}},
		{"a folder", env{"AUTH0_DOMAIN": "a.example", "CLIENT_ID": "i", "METI_CLIENT_SECRET_FILE": dir}, Config{}, []string{"METI_CLIENT_SECRET_FILE"}},
		{"empty file", env{"AUTH0_DOMAIN": "a.example", "CLIENT_ID": "i", "METI_CLIENT_SECRET_FILE": empty}, Config{}, []string{"METI_CLIENT_SECRET_FILE is missing or empty"}},
		{"large file", env{"AUTH0_DOMAIN": "a.example", "CLIENT_ID": "i", "METI_CLIENT_SECRET_FILE": large}, Config{}, []string{"METI_CLIENT_SECRET_FILE", "one line"}},
		{"plain http", env{"AUTH0_DOMAIN": "http://a.example", "CLIENT_ID": "i", "CLIENT_SECRET": "hunter2"}, Config{}, []string{"AUTH0_DOMAIN", "plain http"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, name := range variables {
				t.Setenv(name, tt.env[name])
			}
			c, err := FromEnv()
			if c.Domain != tt.want.Domain || c.Audience != tt.want.Audience || c.ClientID != tt.want.ClientID || c.ClientSecret != tt.want.ClientSecret {
				t.Errorf("%+v", c)
			}
			if len(tt.naming) == 0 {
				if c.BaseURL != cmp.Or(tt.want.BaseURL, DefaultBaseURL) {
					t.Error(c.BaseURL)
				}
				if err != nil {
					t.Error(err)
				}
				if _, err := New(c); err != nil {
					t.Error(err)
				}
				return
			}
			if _, ok := errors.AsType[*ConfigError](err); !ok {
				t.Errorf("%T is no ConfigError", err)
			}
			for _, want := range tt.naming {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not said: %v", want, err)
				}
			}
			noSecrets(t, err, "hunter2", "from-file")
		})
	}
}
