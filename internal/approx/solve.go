package approx

// solve returns the x for which Σ_k x[k]·rows[i][k] is closest to values[i], in the sum
// of squares over i; the columns must be independent. It is the modified Gram–Schmidt
// method with the values as a last column, which is as accurate as Householder's. Every
// product is rounded on its own: all processors get the same bits, which no library of
// linear algebra promises.
func solve(rows [][]float64, values []float64) []float64 {
	n := len(rows[0])
	columns := make([][]float64, n+1) // orthogonal ones in place of those before
	for k := range n {
		columns[k] = make([]float64, len(rows))
		for i, row := range rows {
			columns[k][i] = row[k]
		}
	}
	columns[n] = append([]float64{}, values...)
	r := make([][]float64, n) // upper triangle; its diagonal is 1
	for k := range n {
		q := columns[k]
		square := product(q, q)
		r[k] = make([]float64, n+1)
		for j := k + 1; j <= n; j++ {
			r[k][j] = product(q, columns[j]) / square
			for i := range q {
				columns[j][i] -= float64(r[k][j] * q[i])
			}
		}
	}
	x := make([]float64, n)
	for k := n - 1; k >= 0; k-- {
		x[k] = r[k][n]
		for j := k + 1; j < n; j++ {
			x[k] -= float64(r[k][j] * x[j])
		}
	}
	return x
}

// product returns the inner product of two vectors.
func product(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i] * b[i])
	}
	return sum
}
