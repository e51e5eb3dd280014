package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/authn"
)

func (a *app) tokenCommand() *cobra.Command {
	var scopes []string
	var claims, status bool
	cmd := describe("token", cobra.NoArgs)
	cmd.Flags().StringArrayVar(&scopes, "scope", nil, "ask for this scope only; may be repeated")
	completeWith(cmd, "scope", "read:sources", "write:sources", "delete:sources")
	cmd.Flags().BoolVar(&claims, "claims", false, "print the token's claims, which were not verified, as JSON")
	cmd.Flags().BoolVar(&status, "status", false, "print expiry, scopes, account and how many tokens are left")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if claims && status {
			return usage("give --claims or --status, not both")
		}
		source, err := a.tokens(strings.FieldsFunc(strings.Join(scopes, " "), func(r rune) bool { return r == ',' || r == ' ' }))
		if err != nil {
			return err
		}
		grant, err := source.Grant(cmd.Context())
		if err != nil {
			return err
		}
		switch {
		case claims:
			said, err := authn.ParseUnverifiedClaims(grant.AccessToken())
			if err != nil {
				return err
			}
			return a.printJSON(said)
		case status:
			return a.printStatus(grant, source.Quota())
		}
		_, err = fmt.Fprintln(a.stdout, grant.AccessToken())
		return err
	}
	return cmd
}

// tokenStatus is what "meti token --status" prints.
type tokenStatus struct {
	ExpiresAt  time.Time     `json:"expires_at"`
	ExpiresIn  int64         `json:"expires_in"` // seconds
	Scopes     []string      `json:"scopes"`
	AccountID  string        `json:"account_id,omitempty"`
	Role       string        `json:"role,omitempty"`
	ClientName string        `json:"client_name,omitempty"`
	Quota      []authn.Quota `json:"quota,omitempty"`
}

func (a *app) printStatus(grant *authn.Grant, quota []authn.Quota) error {
	scopes, _ := grant.Scopes()
	claims, _ := authn.ParseUnverifiedClaims(grant.AccessToken()) // an opaque token has been warned of
	s := tokenStatus{
		ExpiresAt: grant.Expiry().UTC().Truncate(time.Second),
		ExpiresIn: int64(grant.Expiry().Sub(a.now()) / time.Second),
		Scopes:    append([]string{}, scopes...),
		AccountID: claims.AccountID, Role: claims.Role, ClientName: claims.ClientName, Quota: quota,
	}
	if !a.terminal {
		return a.printJSON(s)
	}
	lines := [][2]string{
		{"expires", fmt.Sprintf("%s, in %s", s.ExpiresAt.Format(time.RFC3339), time.Duration(s.ExpiresIn)*time.Second)},
		{"scopes", strings.Join(s.Scopes, " ")},
		{"account", strings.TrimSpace(s.AccountID + " " + s.ClientName + " " + s.Role)},
	}
	for _, q := range quota {
		text := fmt.Sprintf("%d of %d left", q.Remaining, q.Limit)
		if !q.Reset.IsZero() {
			text += ", full again at " + q.Reset.UTC().Format(time.RFC3339)
		}
		lines = append(lines, [2]string{q.Name, text})
	}
	return a.printPairs("", "", lines)
}
