package rns

// SetVector switches the assembly on or off and returns what it was.
func SetVector(on bool) (was bool) {
	was, vector = vector, on
	return was
}
