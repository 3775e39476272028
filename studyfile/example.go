package studyfile

import _ "embed"

var (
	//go:embed examples/logistic.yaml
	logisticExample []byte
	//go:embed examples/network.yaml
	networkExample []byte
)

// Example returns a study file with comments, to start from: that of a network, or
// else that of a logistic regression.
func Example(kind Kind) []byte {
	b := logisticExample
	if kind == Network {
		b = networkExample
	}
	return append([]byte(nil), b...)
}
