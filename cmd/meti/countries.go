package main

import (
	"os"

	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/ledger"
)

// countryTable is the built-in table of countries, or that of a file.
func (a *app) countryTable(file string) (table *ledger.Countries, err error) {
	if file == "" {
		return nil, nil
	}
	err = load(file, func(f *os.File) (err error) {
		table, err = ledger.LoadCountries(f)
		return err
	})
	return table, err
}

// setCountries gives the emulator its table of countries.
func (a *app) setCountries(options *emulator.Options, file string) (err error) {
	options.Countries, err = a.countryTable(file)
	return err
}
