package dataset_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nereid-mhe/nereid/dataset"
)

// Read a file with a header, an identifier, text classes and a gap.
func ExampleRead() {
	const file = `id,age,bmi,outcome
p-17,50,33.6,malignant
p-18,31,,benign
p-19,32,23.4,benign
`
	table, report, err := dataset.Read(strings.NewReader(file), "ward.csv", dataset.Schema{
		Label:   "outcome",
		Drop:    []string{"id"},
		Missing: dataset.MissingMean,
		Classes: []string{"benign", "malignant"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(table.Features, table.X, table.Y)
	fmt.Printf("%+v\n", report)
	// Output:
	// [age bmi] [[50 33.6] [31 28.5] [32 23.4]] [1 0 0]
	// {Rows:3 Dropped:0 Imputed:1 Header:true}
}

// An error names the place, the problem and a remedy, for people in one line
// and for programs in fields.
func ExampleError() {
	_, _, err := dataset.Read(strings.NewReader("age,ill\n50,1\n3l,0\n"), "ward.csv", dataset.Schema{Label: "ill"})
	fmt.Println(err)
	var e *dataset.Error
	if errors.As(err, &e) {
		fmt.Println(e.File, e.Row, e.Column, e.Value)
	}
	// Output:
	// dataset: ward.csv, row 3, column "age", value "3l": not a number; replace the text by numbers or list the column under drop
	// ward.csv 3 age 3l
}

// Hold out a fifth of the rows for testing, in both classes alike.
func ExampleSplit() {
	all, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: 100, Features: 4, Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	train, test, err := dataset.Split(all, 0.2, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(train.Rows(), test.Rows())
	// Output: 80 20
}

// Deal one table to three parties of falling size, as in a simulation.
func ExampleDivide() {
	all, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: 113, Features: 4, Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	parts, err := dataset.Divide(all, 3, dataset.PartitionSkewed, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range parts {
		fmt.Println(p.Rows())
	}
	// Output:
	// 61
	// 31
	// 21
}

// Two parties agree on one standardisation by adding their moments.
func ExampleMoments() {
	a := dataset.Table{Features: []string{"age"}, X: [][]float64{{30}, {50}}, Y: []float64{0, 1}}
	b := dataset.Table{Features: []string{"age"}, X: [][]float64{{40}, {40}}, Y: []float64{1, 0}}
	s, err := a.Moments().Add(b.Moments()).Scaler(5)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("mean %.0f, standard deviation %.4f\n", s.Mean[0], s.Std[0])
	fmt.Printf("%.4f\n", s.Apply(a).X)
	// Output:
	// mean 40, standard deviation 7.0711
	// [[-1.4142] [1.4142]]
}

// The true weights are known and apply to standardised columns.
func ExampleSynthetic() {
	c := dataset.SyntheticConfig{Rows: 5000, Features: 3, Seed: 42, Noise: 0.02}
	t, err := dataset.Synthetic(c)
	if err != nil {
		fmt.Println(err)
		return
	}
	w, b, err := c.Truth()
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := t.Moments().Scaler(0)
	if err != nil {
		fmt.Println(err)
		return
	}
	hits := 0
	for i, z := range s.Apply(t).X {
		if logit := w[0]*z[0] + w[1]*z[1] + w[2]*z[2] + b; (logit > 0) == (t.Y[i] == 1) {
			hits++
		}
	}
	fmt.Printf("the true model is right in %d%% of the rows\n", hits/50)
	// Output: the true model is right in 77% of the rows
}
