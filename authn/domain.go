package authn

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// tokenPath is where Auth0 answers token requests [A].
const tokenPath = "/oauth/token"

// parseDomain reads an Auth0 domain as people paste it (a host, or a URL with
// or without the path of the token endpoint) and returns its origin:
// "https://host" or "https://host:port", without a slash at the end.
//
// Errors never repeat the input: what was pasted may be a secret.
func parseDomain(text string) (string, error) {
	text = strings.TrimSpace(text)
	text = strings.Trim(text, `"'<>`)
	text = strings.TrimSpace(text)
	if text == "" {
		return "", errors.New("is missing")
	}
	switch {
	case strings.HasPrefix(text, "//"):
		text = "https:" + text
	case !strings.Contains(text, "://"):
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", errors.New("is neither a host nor a URL")
	}
	path := strings.ToLower(strings.Trim(u.Path, "/"))
	if path != "" && "/"+path != tokenPath {
		return "", errors.New("has a path: give the host alone, such as tenant.eu.auth0.com")
	}
	return origin(u)
}

// origin reduces u to scheme, host and port, in lower case and without the
// scheme's own port. It refuses user names, queries, and plain http to any
// host but this one.
func origin(u *url.URL) (string, error) {
	switch {
	case u.User != nil:
		return "", errors.New("has a user name or password in it: take it out")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("has a query or a fragment: give the host alone")
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if !validHost(host) {
		return "", errors.New("is not a host name: write it as tenant.eu.auth0.com, in ASCII")
	}
	scheme := strings.ToLower(u.Scheme)
	switch {
	case scheme == "https":
	case scheme == "http" && loopback(host):
	case scheme == "http":
		return "", errors.New("is plain http, which would show the secret on the wire: use https (http is for 127.0.0.1 and localhost only)")
	default:
		return "", errors.New("is not an https URL")
	}
	port := u.Port()
	if port == "" && strings.HasSuffix(u.Host, ":") {
		return "", errors.New("has an empty port")
	}
	if scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		port = ""
	}
	switch {
	case port != "":
		host = net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	return scheme + "://" + host, nil
}

func validHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Zone() == ""
	}
	if host == "" || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' || r == '_') {
				return false
			}
		}
	}
	return true
}

// loopback reports whether host can only be this machine.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
