package dataset

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Partition says how [Divide] deals rows to parties: one of the constants, or
// the result of [PartitionBy]. The zero value is PartitionEven.
type Partition string

const (
	// PartitionEven deals shuffled rows; sizes differ by one at most.
	PartitionEven Partition = "even"
	// PartitionSkewed deals shuffled rows; the size of part i falls off as
	// 1/(i+1). See [Divide].
	PartitionSkewed Partition = "skewed"
	// PartitionLabel sorts the rows by target and cuts even blocks. It is the
	// extreme case: with two classes most parties hold one class only.
	PartitionLabel Partition = "label"
)

const columnPrefix = "column:"

// PartitionBy returns the partition "column:NAME", which sorts the rows by the
// value of a feature and cuts even blocks, as if one hospital had the youngest
// patients and another the oldest. A column may also be given by its index
// among the features, as in [Schema]. Blocks have the same size up to one row,
// so rows of equal value may end up with two neighbouring parties.
func PartitionBy(column string) Partition { return Partition(columnPrefix + column) }

// Divide deals all rows of t to the given number of parties; each row goes to
// exactly one. Rows are shuffled first, so that sorting breaks ties at random.
// The same arguments give the same parts on every machine.
//
// Even parts have n/parties rows, and the first n mod parties one more. Skewed
// part i gets one row and, of the n-parties rows left, the share
// 1/(i+1) : Σ 1/(k+1), rounded down; the rows left by rounding go to the first
// parts, one each.
//
// It returns an [Error] if parties < 1, if there are fewer rows than parties,
// or if the partition or its column is not known.
func Divide(t Table, parties int, p Partition, seed uint64) ([]Table, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	n := t.Rows()
	if parties < 1 {
		return nil, &Error{Problem: fmt.Sprintf("%d parties", parties), Remedy: "use one party or more"}
	}
	if n < parties {
		return nil, &Error{
			Problem: fmt.Sprintf("%d rows cannot be divided among %d parties", n, parties),
			Remedy:  "use fewer parties or more rows",
		}
	}
	key, err := p.key(t)
	if err != nil {
		return nil, err
	}
	rows := count(n)
	shuffle(newRand(seed, streamDivide), rows)
	if key != nil {
		slices.SortStableFunc(rows, func(a, b int) int { return cmp.Compare(key(a), key(b)) })
	}
	sizes := evenSizes(n, parties)
	if p == PartitionSkewed {
		sizes = skewedSizes(n, parties)
	}
	parts := make([]Table, parties)
	for i, size := range sizes {
		parts[i] = t.Select(rows[:size])
		rows = rows[size:]
	}
	return parts, nil
}

// key returns the value by which p sorts rows, nil if it does not.
func (p Partition) key(t Table) (func(row int) float64, error) {
	name, byColumn := strings.CutPrefix(string(p), columnPrefix)
	switch {
	case p == "" || p == PartitionEven || p == PartitionSkewed:
		return nil, nil
	case p == PartitionLabel:
		return func(row int) float64 { return t.Y[row] }, nil
	case !byColumn:
		return nil, &Error{
			Value:   string(p),
			Problem: "unknown partition",
			Remedy:  `use "even", "skewed", "label" or "column:NAME"`,
		}
	}
	names := t.Features
	if len(names) == 0 {
		names = defaultNames(t.Dim())
	}
	j := findColumn(name, names)
	if j < 0 {
		return nil, noColumn(name, "no such column to partition by", names, true)
	}
	return func(row int) float64 { return t.X[row][j] }, nil
}

func evenSizes(n, parties int) []int {
	sizes := make([]int, parties)
	for i := range sizes {
		sizes[i] = n / parties
		if i < n%parties {
			sizes[i]++
		}
	}
	return sizes
}

func skewedSizes(n, parties int) []int {
	total := 0.0
	for i := range parties {
		total += 1 / float64(i+1)
	}
	sizes := make([]int, parties)
	left := n - parties
	for i := range sizes {
		share := min(int(float64(n-parties)/float64(i+1)/total), left)
		sizes[i] = 1 + share
		left -= share
	}
	for i := range left { // less than one row per part
		sizes[i%parties]++
	}
	return sizes
}
