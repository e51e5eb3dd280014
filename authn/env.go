package authn

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// FromEnv reads a Config from the environment:
//
//   - AUTH0_DOMAIN: the Auth0 domain that MillPont gave you;
//   - AUTH0_AUDIENCE: [DefaultAudience] when it is not set;
//   - METI_CLIENT_ID, or else CLIENT_ID;
//   - METI_CLIENT_SECRET, or else the text of the file METI_CLIENT_SECRET_FILE,
//     or else CLIENT_SECRET.
//
// What is missing is named by [ConfigError], all of it at once. An empty
// variable counts as not set.
func FromEnv() (Config, error) {
	secret, err := secretFromEnv()
	if err != nil {
		return Config{}, err
	}
	c := Config{
		Domain:       os.Getenv("AUTH0_DOMAIN"),
		Audience:     os.Getenv("AUTH0_AUDIENCE"),
		ClientID:     firstEnv("METI_CLIENT_ID", "CLIENT_ID"),
		ClientSecret: secret,
	}
	if err := c.check(); err != nil {
		return Config{}, err
	}
	return c, nil
}

func secretFromEnv() (Secret, error) {
	text, file := firstEnv("METI_CLIENT_SECRET"), firstEnv("METI_CLIENT_SECRET_FILE")
	switch {
	case text != "" && file != "":
		return "", &ConfigError{Field: "ClientSecret", Variable: "METI_CLIENT_SECRET", Problem: "is set beside METI_CLIENT_SECRET_FILE: unset one of them"}
	case text != "":
		return Secret(text), nil
	case file != "":
		return secretFromFile(file)
	}
	return Secret(firstEnv("CLIENT_SECRET")), nil
}

func secretFromFile(name string) (Secret, error) {
	const most = 64 << 10
	problem := func(err error) error {
		return &ConfigError{Field: "ClientSecret", Variable: "METI_CLIENT_SECRET_FILE", Problem: "cannot be used: " + err.Error()}
	}
	f, err := os.Open(name)
	if err != nil {
		return "", problem(err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, most+1))
	switch text := strings.TrimSpace(string(raw)); {
	case err != nil:
		return "", problem(err)
	case len(raw) > most:
		return "", problem(fmt.Errorf("%s is larger than %d bytes", name, most))
	case text == "":
		return "", problem(errors.New(name + " is empty"))
	default:
		return Secret(text), nil
	}
}

// firstEnv returns the first of the variables that is more than white space.
func firstEnv(names ...string) string {
	for _, name := range names {
		if text := strings.TrimSpace(os.Getenv(name)); text != "" {
			return text
		}
	}
	return ""
}
