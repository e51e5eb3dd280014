package safehttp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// ProxyAdvice is what to do about a proxy that refuses.
const ProxyAdvice = "check HTTPS_PROXY, its user name and password included"

// Advice says what to do about a request that got no answer because of err,
// which is noHost where there is no server of that name, and whether another
// attempt is of no use.
func Advice(err error, noHost string) (advice string, final bool) {
	var (
		refused     proxyError
		op          *net.OpError
		dns         *net.DNSError
		record      tls.RecordHeaderError
		certificate *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &refused), strings.HasSuffix(err.Error(), http.StatusText(http.StatusProxyAuthRequired)): // by another transport
		return ProxyAdvice, true
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return ProxyAdvice, false
	case errors.As(err, &dns) && dns.IsNotFound:
		return noHost, true
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "the server does not speak TLS there", true
	case errors.As(err, &certificate):
		return "the server's certificate is not trusted here: another server, or a proxy whose certificate this machine does not know?", true
	case errors.Is(err, http.ErrNotSupported):
		return "", true
	}
	return "", false
}

// Ended says why ctx ended, for errors.Is.
func Ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause != nil && cause != err {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}
