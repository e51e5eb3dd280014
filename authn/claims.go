package authn

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strings"
	"time"
)

// claimPrefix stands before METI's own claims [A].
const claimPrefix = "https://api.meti.millpont.com/"

// UnverifiedClaims is what an access token says of itself. Nothing here was
// checked: the signature is the service's business. Use it to show an account
// to a person, never to decide what somebody may do.
//
// A claim that is absent is empty. METI's four claims depend on how the
// account's Auth0 is set up, and V1ClientID is not always a UUID.
type UnverifiedClaims struct {
	AccountID  string // https://api.meti.millpont.com/account_id
	Role       string // https://api.meti.millpont.com/role
	ClientName string // https://api.meti.millpont.com/client_name
	V1ClientID string // https://api.meti.millpont.com/v1_client_id

	Issuer      string   // iss; a custom domain need not match AUTH0_DOMAIN
	Subject     string   // sub
	Audience    []string // aud
	Scopes      []string // scope
	Permissions []string // permissions, where Auth0's RBAC adds them
	IssuedAt    time.Time
	ExpiresAt   time.Time
}

// ParseUnverifiedClaims reads the claims of a JWT without verifying it. A
// token that is no JWT gives [ErrOpaqueToken].
func ParseUnverifiedClaims(token string) (UnverifiedClaims, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return UnverifiedClaims{}, ErrOpaqueToken
	}
	var header map[string]json.RawMessage
	if !decodePart(parts[0], &header) {
		return UnverifiedClaims{}, ErrOpaqueToken
	}
	var claims map[string]json.RawMessage
	if !decodePart(parts[1], &claims) {
		return UnverifiedClaims{}, ErrOpaqueToken
	}
	return UnverifiedClaims{
		AccountID:   claimText(claims[claimPrefix+"account_id"]),
		Role:        claimText(claims[claimPrefix+"role"]),
		ClientName:  claimText(claims[claimPrefix+"client_name"]),
		V1ClientID:  claimText(claims[claimPrefix+"v1_client_id"]),
		Issuer:      claimText(claims["iss"]),
		Subject:     claimText(claims["sub"]),
		Audience:    claimList(claims["aud"]),
		Scopes:      claimList(claims["scope"]),
		Permissions: claimList(claims["permissions"]),
		IssuedAt:    claimTime(claims["iat"]),
		ExpiresAt:   claimTime(claims["exp"]),
	}, nil
}

// decodePart reads one base64url part of a JWT, which has to be an object.
func decodePart(part string, into *map[string]json.RawMessage) bool {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(part, "="))
	return err == nil && json.Unmarshal(raw, into) == nil && *into != nil
}

// claimText reads a string, and takes a number or a boolean as it is written.
func claimText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] == '{' || raw[0] == '[' {
		return ""
	}
	return string(raw)
}

// claimList reads an array of strings or a string with spaces in it.
func claimList(raw json.RawMessage) []string {
	var list []string
	if json.Unmarshal(raw, &list) == nil && list != nil {
		return list
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return strings.Fields(s)
	}
	return nil
}

// claimTime reads a NumericDate (RFC 7519, seconds since 1970).
func claimTime(raw json.RawMessage) time.Time {
	var seconds float64
	if json.Unmarshal(raw, &seconds) != nil || seconds == 0 || math.Abs(seconds) > 1e11 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}
