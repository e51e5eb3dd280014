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

// UnverifiedClaims is what an access token says of itself, empty where it says
// nothing. Nothing here was checked, not even the signature: use it to show an
// account to a person, never to decide what somebody may do.
type UnverifiedClaims struct {
	AccountID  string `json:"account_id,omitempty"`   // https://api.meti.millpont.com/account_id
	Role       string `json:"role,omitempty"`         // https://api.meti.millpont.com/role
	ClientName string `json:"client_name,omitempty"`  // https://api.meti.millpont.com/client_name
	V1ClientID string `json:"v1_client_id,omitempty"` // https://api.meti.millpont.com/v1_client_id, not always a UUID

	Issuer      string    `json:"iss,omitempty"` // a custom domain need not match AUTH0_DOMAIN
	Subject     string    `json:"sub,omitempty"`
	Audience    []string  `json:"aud,omitempty"`
	Scopes      []string  `json:"scope,omitempty"`
	Permissions []string  `json:"permissions,omitempty"` // where Auth0's RBAC adds them
	IssuedAt    time.Time `json:"iat,omitzero"`
	ExpiresAt   time.Time `json:"exp,omitzero"`
}

// ParseUnverifiedClaims reads the claims of a JWT without verifying it. A
// token that is no JWT gives [ErrOpaqueToken].
func ParseUnverifiedClaims(token string) (UnverifiedClaims, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || decodePart(parts[0]) == nil {
		return UnverifiedClaims{}, ErrOpaqueToken
	}
	claims := decodePart(parts[1])
	if claims == nil {
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

// decodePart reads one base64url part of a JWT; nil if it is no object.
func decodePart(part string) map[string]json.RawMessage {
	raw, _ := base64.RawURLEncoding.DecodeString(strings.TrimRight(part, "="))
	return members(raw)
}

// members reads a JSON object; nil if it is none.
func members(raw []byte) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	return m
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
	var text string
	switch {
	case json.Unmarshal(raw, &list) == nil:
		return list
	case json.Unmarshal(raw, &text) == nil:
		return strings.Fields(text)
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

// headerSafe reports whether token can stand in a header: visible ASCII.
func headerSafe(token string) bool {
	return token != "" && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}
