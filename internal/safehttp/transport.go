package safehttp

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// ConnectTimeout bounds reaching a server, and again the TLS handshake.
const ConnectTimeout = 5 * time.Second

// Transport is shared by whatever was given no other, so that a program which
// makes many clients does not make many pools.
//
// It respects the proxy variables and the system's roots. An idle connection
// is dropped after 4 seconds, before common servers drop theirs (5 seconds and
// more): a POST that meets a connection just being closed has no known outcome.
var Transport = sync.OnceValue(func() *http.Transport {
	return &http.Transport{
		Proxy:                  proxy,
		OnProxyConnectResponse: proxyAnswered,
		DialContext:            (&net.Dialer{Timeout: ConnectTimeout, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:    ConnectTimeout,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    32,
		IdleConnTimeout:        4 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		ReadBufferSize:         32 << 10,
		WriteBufferSize:        32 << 10,
	}
})

// proxyError is a fault of the proxy's address, or a refusal by the proxy.
type proxyError string

func (e proxyError) Error() string { return string(e) }

// proxy is http.ProxyFromEnvironment, which ignores an address that it cannot
// read: the request would go out by itself, and fail for another reason.
func proxy(r *http.Request) (*url.URL, error) {
	address := os.Getenv("HTTPS_PROXY")
	if address == "" {
		address = os.Getenv("https_proxy")
	}
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	if u, err := url.Parse(address); r.URL.Scheme == "https" && address != "http://" && (err != nil || u.Scheme == "" || u.Host == "") {
		return nil, proxyError("the address of the proxy is not a URL") // and may hold a password
	}
	return http.ProxyFromEnvironment(r)
}

func proxyAnswered(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusProxyAuthRequired {
		return proxyError("the proxy answers 407 Proxy Authentication Required")
	}
	return nil
}
