package authn

import (
	"encoding/base64"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/meti-go/meti/internal/safehttp"
)

func TestUnverifiedClaims(t *testing.T) {
	const p = "https://api.meti.millpont.com/"
	full := map[string]any{
		p + "account_id": "3f0c8a52-5d0e-4a5b-9d52-6f1f6f0c2b11", p + "role": "custodian", p + "client_name": "Arva & Söhne",
		p + "v1_client_id": "not a UUID", "iss": "https://other.example/", "sub": "x@clients", "aud": DefaultAudience,
		"scope": "read:sources write:sources", "permissions": []string{"read:sources"}, "iat": 1767225600, "exp": 1767229200.5,
	}
	want := UnverifiedClaims{
		AccountID: "3f0c8a52-5d0e-4a5b-9d52-6f1f6f0c2b11", Role: "custodian", ClientName: "Arva & Söhne", V1ClientID: "not a UUID",
		Issuer: "https://other.example/", Subject: "x@clients", Audience: []string{DefaultAudience},
		Scopes: []string{"read:sources", "write:sources"}, Permissions: []string{"read:sources"},
		IssuedAt: time.Unix(1767225600, 0).UTC(), ExpiresAt: time.Unix(1767229200, 0).UTC(),
	}
	for _, tt := range []struct {
		name  string
		token string
		want  UnverifiedClaims
	}{
		{"full", jwt(full), want},
		{"none of them", jwt(map[string]any{}), UnverifiedClaims{}},
		{"odd types", jwt(map[string]any{p + "account_id": 17, p + "role": nil, p + "client_name": []string{"x"}, p + "v1_client_id": true,
			"aud": []string{"a", "b"}, "scope": 5, "exp": "soon", "iat": 1e300}),
			UnverifiedClaims{AccountID: "17", V1ClientID: "true", Audience: []string{"a", "b"}}},
		{"padded base64", base64.URLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.URLEncoding.EncodeToString([]byte(`{"sub":"x"}`)) + ".",
			UnverifiedClaims{Subject: "x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseUnverifiedClaims(tt.token)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	object := base64.RawURLEncoding.EncodeToString([]byte("{}"))
	list := base64.RawURLEncoding.EncodeToString([]byte("[]"))
	for _, opaque := range []string{"", "opaque", "a.b.c", "..", object + "." + list + ".x", list + "." + object + ".x", object + ".!!!.x", strings.Repeat(object+".", 5)} {
		if claims, err := ParseUnverifiedClaims(opaque); !errors.Is(err, ErrOpaqueToken) || !reflect.DeepEqual(claims, UnverifiedClaims{}) {
			t.Errorf("%q: %+v, %v", opaque, claims, err)
		}
	}
}

func FuzzUnverifiedClaims(f *testing.F) {
	f.Add(jwt(map[string]any{"sub": "x", "exp": 1}))
	f.Add("a.b.c")
	f.Add("eyJ9.bnVsbA.")
	f.Fuzz(func(t *testing.T, token string) {
		claims, err := ParseUnverifiedClaims(token)
		if err != nil && !reflect.DeepEqual(claims, UnverifiedClaims{}) {
			t.Errorf("%+v beside %v", claims, err)
		}
	})
}

func FuzzQuota(f *testing.F) {
	f.Add("b=per_hour;q=10;r=7;t=3540,b=per_day;q=50;r=47;t=43200", "10", "0", "1767225660", "7")
	f.Add("b=;q=-1,;;=,b=x;r=99999999999999999999", "x", "-5", "99999999999999999999", "Wed, 21 Oct 2015 07:28:00 GMT")
	f.Add("0", "0", "-1", "0", "0")
	f.Add(strings.Repeat("b=a;q=1;r=0;t=1,", 1000), "", "", "1", "-1")
	f.Fuzz(func(t *testing.T, quota, limit, remaining, reset, retry string) {
		now := time.Unix(1767225600, 0)
		header := http.Header{"Auth0-Client-Quota-Limit": {quota}, "X-Ratelimit-Limit": {limit}, "X-Ratelimit-Remaining": {remaining}, "X-Ratelimit-Reset": {reset}, "Retry-After": {retry}}
		for _, status := range []int{200, 429, 503} {
			got, wait := readQuota(header, status, now)
			if wait < 0 || wait > safehttp.MaxWait {
				t.Errorf("waits %s", wait)
			}
			if len(got) > 17 {
				t.Errorf("%d quotas", len(got))
			}
			for _, q := range got {
				if q.Name == "" || strconv.Quote(q.Name) != `"`+q.Name+`"` || q.Limit < 0 || q.Remaining < 0 || !q.Reset.IsZero() && q.Reset.Before(now) {
					t.Errorf("%+v", q)
				}
			}
		}
	})
}
