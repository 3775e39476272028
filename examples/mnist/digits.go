package main

import (
	"math/rand/v2"

	"github.com/nereid-mhe/nereid/dataset"
)

// side is the width and height of made-up images.
const side = 12

// segments are the strokes of digits as on a pocket calculator: top, the upper left
// and right, middle, the lower left and right, bottom.
var segments = [10][7]bool{
	{true, true, true, false, true, true, true},
	{false, false, true, false, false, true, false},
	{true, false, true, true, true, false, true},
	{true, false, true, true, false, true, true},
	{false, true, true, true, false, true, false},
	{true, true, false, true, false, true, true},
	{true, true, false, true, true, true, true},
	{true, false, true, false, false, true, false},
	{true, true, true, true, true, true, true},
	{true, true, true, true, false, true, true},
}

// strokes are the first row and column of every segment, its height and its width.
var strokes = [7][4]int{{1, 3, 1, 6}, {1, 3, 5, 1}, {1, 8, 5, 1}, {5, 3, 1, 6}, {5, 3, 6, 1}, {5, 8, 6, 1}, {10, 3, 1, 6}}

// digits makes images of digits, moved by a pixel at most and with noise: n rows of
// side·side grey levels from 0 to 1, and the digits.
func digits(n int, seed uint64) dataset.Table {
	rng := rand.New(rand.NewPCG(seed, 0))
	var t dataset.Table
	for i := range n {
		digit := i % 10
		x := make([]float64, side*side)
		for k := range x {
			x[k] = 0.2 * rng.Float64()
		}
		down, right, ink := rng.IntN(2), rng.IntN(3)-1, 0.6+0.2*rng.Float64()
		for s, on := range segments[digit] {
			if on {
				draw(x, strokes[s], down, right, ink)
			}
		}
		t.X, t.Y = append(t.X, x), append(t.Y, float64(digit))
	}
	return t
}

// draw adds ink along a stroke.
func draw(x []float64, stroke [4]int, down, right int, ink float64) {
	for r := range stroke[2] {
		for c := range stroke[3] {
			at := (stroke[0]+down+r)*side + stroke[1] + right + c
			x[at] = min(1, x[at]+ink)
		}
	}
}
