package main

import (
	"os"

	"github.com/meti-go/meti/ledger"
	"github.com/meti-go/meti/ledger/countries"
)

// countryTable is the built-in table of countries, or that of a file.
func countryTable(file string) (table *ledger.Countries, err error) {
	if file == "" {
		return countries.World(), nil
	}
	err = load(file, func(f *os.File) (err error) {
		table, err = ledger.LoadCountries(f)
		return err
	})
	return table, err
}
