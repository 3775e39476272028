package nn

import (
	_ "embed"
	"sync"

	"github.com/nereid-mhe/nereid/mhe"
)

//go:embed planner_costs.json
var plannerCosts []byte

var defaultCosts = sync.OnceValue(func() mhe.Costs {
	c, err := mhe.ParseCosts(plannerCosts)
	if err != nil {
		panic(err) // the record is part of the program
	}
	return c
})

// DefaultCosts returns the built-in record of costs, of the machine that it names:
// for plans on machines that have not been measured.
func DefaultCosts() mhe.Costs { return defaultCosts() }
