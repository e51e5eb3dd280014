package authn

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/meti-go/meti/internal/safehttp"
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
	if len(parts) != 3 || decodePart(parts[0]) == nil || decodePart(parts[1]) == nil {
		return UnverifiedClaims{}, ErrOpaqueToken
	}
	claims := decodePart(parts[1])
	return UnverifiedClaims{
		AccountID:   safehttp.Text(claims[claimPrefix+"account_id"]),
		Role:        safehttp.Text(claims[claimPrefix+"role"]),
		ClientName:  safehttp.Text(claims[claimPrefix+"client_name"]),
		V1ClientID:  safehttp.Text(claims[claimPrefix+"v1_client_id"]),
		Issuer:      safehttp.Text(claims["iss"]),
		Subject:     safehttp.Text(claims["sub"]),
		Audience:    list(claims["aud"]),
		Scopes:      list(claims["scope"]),
		Permissions: list(claims["permissions"]),
		IssuedAt:    numericDate(claims["iat"]),
		ExpiresAt:   numericDate(claims["exp"]),
	}, nil
}

// decodePart reads one base64url part of a JWT; nil if it is no object.
func decodePart(part string) map[string]any {
	raw, _ := base64.RawURLEncoding.DecodeString(strings.TrimRight(part, "="))
	object, _ := safehttp.JSON(raw).(map[string]any)
	return object
}

// list is an array of strings, or a string with spaces in it; nil if it is neither.
func list(value any) []string {
	switch value := value.(type) {
	case string:
		return strings.Fields(value)
	case []any:
		texts := make([]string, len(value))
		for i := range value {
			texts[i] = safehttp.Text(value[i])
		}
		return texts
	}
	return nil
}

// numericDate reads seconds since 1970 (RFC 7519).
func numericDate(value any) time.Time {
	seconds, err := strconv.ParseFloat(safehttp.Text(value), 64)
	if err != nil || seconds == 0 || math.IsNaN(seconds) || math.Abs(seconds) > 1e11 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

// headerSafe reports whether token can stand in a header: visible ASCII.
func headerSafe(token string) bool {
	return token != "" && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}
