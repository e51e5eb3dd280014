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
	ClientID     string   `json:"client_id"`
	ClientSecret string   `json:"client_secret"`
	AccountID    string   `json:"account_id"`             // METI's, a UUID; the profile that creates its sources follows from it
	Role         string   `json:"role,omitempty"`         // told in the tokens; "admin" sees every account's sources
	ClientName   string   `json:"client_name,omitempty"`  // told in the tokens
	V1ClientID   string   `json:"v1_client_id,omitempty"` // told in the tokens, where it is given
	Scopes       []string `json:"scopes"`                 // those granted; all three if absent, none if empty
}

// admin is the role that sees every account.
const admin = "admin"

// allScopes are granted where an account names none.
var allScopes = []string{gen.ScopeReadSources, gen.ScopeWriteSources, gen.ScopeDeleteSources}

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
		ClientID: "demo-client", ClientSecret: "demo-secret", AccountID: "00000000-0000-4000-8000-000000000001",
		Role: "custodian", ClientName: "Demo Custodian", Scopes: slices.Clone(allScopes),
	}
}

// LoadAccounts reads a JSON array of accounts, with the members of [Account].
// No member but v1_client_id, role, client_name and scopes may be left out.
func LoadAccounts(r io.Reader) (accounts []Account, err error) {
	decoder := json.NewDecoder(io.LimitReader(r, 16<<20))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&accounts); err != nil {
		return nil, fmt.Errorf("emulator: accounts: %w", err)
	}
	if len(accounts) == 0 {
		return nil, errors.New("emulator: accounts: the array is empty")
	}
	return accounts, checkAccounts(accounts)
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
	defer s.lock()()
	return slices.Clone(s.accounts)
}

// AddAccount lets one more client ask for tokens, until [Server.Reset].
func (s *Server) AddAccount(a Account) error {
	defer s.lock()()
	more := append(slices.Clip(s.accounts), a)
	if err := checkAccounts(more); err != nil {
		return err
	}
	s.accounts = more
	return nil
}

// account is the one with this client id, with the scopes that it is granted.
func (s *Server) account(clientID string) (account Account, known bool) {
	for _, a := range s.Accounts() {
		if a.ClientID == clientID {
			account, known = a, true
		}
	}
	if account.Scopes == nil {
		account.Scopes = allScopes
	}
	return account, known
}
