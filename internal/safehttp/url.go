// Package safehttp holds the rules by which packages api and authn send
// secrets over HTTP: to which servers, over which transport, what of a
// server's words may be shown, and when another attempt is of no use.
package safehttp

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// Base reads the URL of a server, with or without a path, and normalises it:
// lower case, no port where it is the scheme's own, no slash at the end.
//
// It refuses plain http to any host but this one, user names, queries and
// fragments. Errors never repeat the input: what was pasted may be a secret.
func Base(text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	switch {
	case err != nil:
		return nil, errors.New("is not a URL")
	case u.User != nil:
		return nil, errors.New("has a user name or password in it: take it out")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("has a query or a fragment: take it out")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("is not an https URL, such as https://example.com")
	}
	host, port := strings.TrimSuffix(strings.ToLower(u.Hostname()), "."), u.Port()
	addr, err := netip.ParseAddr(host)
	switch {
	case err == nil && addr.Zone() != "" || err != nil && (len(host) > 253 || !hostName.MatchString(host)):
		return nil, errors.New("has no valid host name, in ASCII")
	case u.Scheme == "http" && !Loopback(host):
		return nil, errors.New("is plain http, which would show secrets on the wire: use https (http is for 127.0.0.1 and localhost only)")
	case port == "" && strings.HasSuffix(u.Host, ":"):
		return nil, errors.New("has an empty port")
	case port != "" && port != map[string]string{"https": "443", "http": "80"}[u.Scheme]:
		host = net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	return &url.URL{Scheme: u.Scheme, Host: host, Path: strings.TrimRight(u.Path, "/"), RawPath: strings.TrimRight(u.RawPath, "/")}, nil
}

var hostName = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$`)

// Loopback reports whether host can only be this machine.
func Loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Origin is the server of u: scheme, host and port.
func Origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

// Redirects reports whether an http.Client would follow an answer of status.
func Redirects(status int) bool {
	switch status {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

// RedirectTarget is the origin that a Location header points at, "" where it
// does not say. What follows the host is left out, for it can hold anything.
func RedirectTarget(from *url.URL, location string, secrets Secrets) string {
	// Redacted before it is parsed: parsing could cut a secret in two.
	location = secrets.Redact(location)
	to, err := from.Parse(location)
	if location == "" || err != nil {
		return ""
	}
	return Line(Origin(to), 300)
}
