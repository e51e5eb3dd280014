package countries_test

import (
	"fmt"

	"github.com/meti-go/meti/ledger"
	"github.com/meti-go/meti/ledger/countries"
)

func ExampleWorld() {
	fmt.Println(countries.World().At(ledger.Point{11.5, 52.05}))
	// Output: Germany
}
