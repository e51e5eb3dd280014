package emulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/uuid"
	"github.com/meti-go/meti/gen"
)

// Account is one client that may ask for tokens, and the METI account that its
// tokens belong to. Several clients may share an account.
type Account struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	// AccountID is the METI account, a UUID. The profile that its sources are
	// created by is derived from it.
	AccountID string `json:"account_id"`
	// Role is told in the tokens; "admin" sees every account's sources.
	Role string `json:"role,omitempty"`
	// ClientName is told in the tokens.
	ClientName string `json:"client_name,omitempty"`
	// V1ClientID is told in the tokens where it is given.
	V1ClientID string `json:"v1_client_id,omitempty"`
	// Scopes are those granted; all three if the member is absent. An empty
	// list grants none.
	Scopes []string `json:"scopes"`
}

// admin is the role that sees every account.
const admin = "admin"

// allScopes are granted where an account names none.
var allScopes = []string{gen.ScopeReadSources, gen.ScopeWriteSources, gen.ScopeDeleteSources}

// granted are the account's scopes.
func (a Account) granted() []string {
	if a.Scopes == nil {
		return allScopes
	}
	return a.Scopes
}

// String names the account without its secret.
func (a Account) String() string {
	return fmt.Sprintf("account %s of client %s", a.AccountID, a.ClientID)
}

// GoString is String: no formatting verb shows the secret.
func (a Account) GoString() string { return a.String() }

// DemoAccount is the account of an emulator that was given none. Its secret is
// public, of course.
func DemoAccount() Account {
	return Account{
		ClientID:     "demo-client",
		ClientSecret: "demo-secret",
		AccountID:    "00000000-0000-4000-8000-000000000001",
		Role:         "custodian",
		ClientName:   "Demo Custodian",
		Scopes:       slices.Clone(allScopes),
	}
}

// LoadAccounts reads a JSON array of accounts, with the members of [Account].
// No member but v1_client_id, role, client_name and scopes may be left out.
func LoadAccounts(r io.Reader) ([]Account, error) {
	const most = 16 << 20
	decoder := json.NewDecoder(io.LimitReader(r, most))
	decoder.DisallowUnknownFields()
	var accounts []Account
	if err := decoder.Decode(&accounts); err != nil {
		return nil, fmt.Errorf("emulator: accounts: %w", err)
	}
	if len(accounts) == 0 {
		return nil, errors.New("emulator: accounts: the array is empty")
	}
	if err := checkAccounts(accounts); err != nil {
		return nil, err
	}
	return accounts, nil
}

func checkAccounts(accounts []Account) error {
	seen := make(map[string]bool)
	for i, a := range accounts {
		switch {
		case a.ClientID == "", a.ClientSecret == "", a.AccountID == "":
			return fmt.Errorf("emulator: account %d lacks client_id, client_secret or account_id", i+1)
		case seen[a.ClientID]:
			return fmt.Errorf("emulator: client_id %s is given twice", a.ClientID)
		}
		for _, scope := range a.Scopes {
			if !slices.Contains(allScopes, scope) {
				return fmt.Errorf("emulator: account %d has the scope %q, which METI does not know", i+1, scope)
			}
		}
		seen[a.ClientID] = true
	}
	return nil
}

// profile is the UUID of the profile that an account's sources are created by.
func profile(accountID string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("profile of "+accountID)).String()
}

// Accounts are those that may ask for tokens, secrets included.
func (s *Server) Accounts() []Account {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Clone(s.accounts)
}

// AddAccount lets one more client ask for tokens, until [Server.Reset].
func (s *Server) AddAccount(a Account) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err := checkAccounts(append(slices.Clip(s.accounts), a)); err != nil {
		return err
	}
	s.accounts = append(s.accounts, a)
	return nil
}

// account is the one with this client id, or the first one if that is empty.
func (s *Server) account(clientID string) (Account, bool) {
	for _, a := range s.Accounts() {
		if clientID == "" || a.ClientID == clientID {
			return a, true
		}
	}
	return Account{}, false
}
