// Package dataset reads, checks, splits and standardises plain training data.
//
// It is the clear side of a study: each organisation reads its own file with
// [ReadFile], a simulation cuts one file into several with [Divide], and the
// per-column sums of [Moments] are what the parties add up, encrypted or not,
// to agree on one [Scaler]. It knows no keys, no ciphertexts and no network.
//
// The package refuses rather than guesses. A cell that is not a number, a row
// of another length, an undeclared class or a constant column is an [Error] that
// names the file, the row, the column, the value and a remedy; nothing half
// read is returned. The only guesses are the separator and the header row, and
// [Read] states their rules.
//
// Everything random here (the order of rows, synthetic rows) is drawn from a
// seed that is public, so that all parties and all reruns agree. Nothing in
// this package is fit for cryptography.
//
// # Notation
//
// A table has n rows (samples) and d columns (features): X is n×d, Y has
// length n. Columns are counted from 0, rows of a file from 1 with the header
// counted. Variances divide by n, not n-1.
//
// All functions are safe for concurrent use as long as nobody writes to the
// tables meanwhile: tables share rows, see [Table.Select].
//
// # Sources
//
// The idx format is described with the MNIST data by Y. LeCun, C. Cortes and
// C. J. C. Burges, http://yann.lecun.com/exdb/mnist/.
package dataset
