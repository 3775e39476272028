package nn

import (
	"fmt"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/packing"
)

// Queries returns how many rows one encrypted query holds.
func (p *Plan) Queries() int { return p.Dense.Dot.Layout.Axes[1].Size }

// Query lays out rows for encryption by a querier, at most Queries of them. The
// features must be within the model's bound: flooding is made for such rows, and
// larger ones would amplify the error that it hides.
func (p *Plan) Query(rows [][]float64) ([]float64, error) {
	if len(rows) < 1 || len(rows) > p.Queries() {
		return nil, fmt.Errorf("%w: a query of %d rows, want 1 to %d", ErrModel, len(rows), p.Queries())
	}
	if err := p.checkRows(rows); err != nil {
		return nil, err
	}
	return p.Dense.Dot.Data(rows), nil
}

// Predict is phase PREDICT up to the key switch: the model's outputs for an
// encrypted query of the given number of rows, and zero in every other slot, at
// the plan's PredictLevel. What the querier put into other slots reaches nobody.
func (p *Plan) Predict(ev mhe.Evaluator, w, query mhe.Tensor, rows int) (mhe.Tensor, error) {
	if rows < 1 || rows > p.Queries() {
		return mhe.Tensor{}, fmt.Errorf("%w: a query of %d rows, want 1 to %d", ErrModel, rows, p.Queries())
	}
	z, err := p.predict(ev, w, query, rows)
	if err != nil {
		return mhe.Tensor{}, err
	}
	return mhe.Drop(z, p.PredictLevel)
}

// predict multiplies one level below the top: training needs no keys at the top,
// and a level less makes them a quarter smaller.
func (p *Plan) predict(ev mhe.Evaluator, w, query mhe.Tensor, rows int) (mhe.Tensor, error) {
	z, err := p.outputs(ev, w, query)
	if err != nil {
		return mhe.Tensor{}, fmt.Errorf("nn: predict: %w", err)
	}
	if z, err = ev.Map(p.Dense.Dot.Select(rows), z); err != nil {
		return mhe.Tensor{}, fmt.Errorf("nn: predict: %w", err)
	}
	return z, nil
}

func (p *Plan) outputs(ev mhe.Evaluator, w, query mhe.Tensor) (z mhe.Tensor, err error) {
	level := p.Set.MaxLevel() - 1
	if w, err = mhe.Drop(w, level); err != nil {
		return z, err
	}
	if query, err = mhe.Drop(query, level); err != nil {
		return z, err
	}
	return p.Dense.Forward(ev, w, query)
}

// Outputs returns the model's outputs from the slots of an opened prediction.
func (p *Plan) Outputs(slots []float64, rows int) []float64 {
	z := make([]float64, rows)
	for s := range z {
		z[s] = slots[p.Dense.Dot.Layout.Slot(0, s)]
	}
	return z
}

// MaxBatch returns the rows that fit beside the model's features in one
// ciphertext.
func (p *Plan) MaxBatch() int { return packing.MaxBatch(p.Model.Features, p.Set.N()) }
