package dataset

import (
	"math"
	"strconv"
	"strings"
)

// isMissing reports whether a trimmed cell stands for no value: empty, "?",
// "NaN" or "NA" in any case.
func isMissing(cell string) bool {
	switch len(cell) {
	case 0:
		return true
	case 1:
		return cell == "?"
	case 2:
		return strings.EqualFold(cell, "na")
	case 3:
		return strings.EqualFold(cell, "nan")
	}
	return false
}

// parseNumber returns the value of a trimmed decimal number such as 5, -0.25,
// +1e-3 or .5. It is ±Inf for "inf" and for numbers beyond float64; too small
// ones become 0. Go's hexadecimal floats and digit separators are no numbers
// here, since in a data file they are more likely codes.
func parseNumber(cell string) (v float64, ok bool) {
	v, err := strconv.ParseFloat(cell, 64)
	if err != nil && !math.IsInf(v, 0) {
		return 0, false
	}
	if math.IsNaN(v) || strings.ContainsAny(cell, "xX_") {
		return 0, false
	}
	return v, true
}

// numberRemedy says how to turn cell into a number; otherwise is the remedy
// when nothing better is known.
func numberRemedy(cell, otherwise string) string {
	if strings.Count(cell, ",") == 1 {
		if point := strings.Replace(cell, ",", ".", 1); isNumber(point) {
			return "write the decimal point as a point, " + point
		}
	}
	return otherwise
}

func isNumber(cell string) bool {
	_, ok := parseNumber(cell)
	return ok
}

func finite(v float64) bool { return !math.IsInf(v, 0) && !math.IsNaN(v) }
