package study

import (
	"context"
	"fmt"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/nn"
)

// Twin trains in the clear what the parties train encrypted, on the rows of all of
// them, and returns its outputs for rows of the querier: what the querier is given but
// for the noise of encryption and flooding. Whoever holds the rows of all parties, as
// in a trial, checks the study with it. Errors wrap [ErrConfig] or [nn.ErrModel].
func (t Terms) Twin(ctx context.Context, tables []dataset.Table, rows [][]float64) ([][]float64, error) {
	if len(tables) != t.cfg.Parties {
		return nil, fmt.Errorf("%w: rows of %d parties, the study has %d", ErrConfig, len(tables), t.cfg.Parties)
	}
	var all dataset.Moments
	for _, d := range tables {
		all = all.Add(d.Moments())
	}
	scaler, err := t.prep.scaler(all)
	if err != nil {
		return nil, err
	}
	x := scaler.Apply(dataset.Table{X: rows}).X
	if t.net != nil {
		return t.networkTwin(ctx, scaler, tables, x)
	}
	var local []nn.Data
	for i, d := range tables {
		own, err := t.regressionData(scaler, d, i)
		if err != nil {
			return nil, err
		}
		local = append(local, own)
	}
	twin, err := nn.Twin(t.plan, local)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(rows))
	for i, z := range outputs(twin.Weights, withBias(x)) {
		out[i] = []float64{z}
	}
	return out, nil
}

func (t Terms) networkTwin(ctx context.Context, scaler dataset.Scaler, tables []dataset.Table, x [][]float64) ([][]float64, error) {
	var local []nn.NetworkData
	for i, d := range tables {
		own, err := t.networkData(scaler, d, i)
		if err != nil {
			return nil, err
		}
		local = append(local, own)
	}
	twin, err := nn.NewNetworkTwin(t.net, local)
	if err != nil {
		return nil, err
	}
	for range t.steps() {
		if err := twin.Step(ctx, 1); err != nil {
			return nil, err
		}
	}
	w := twin.Weights()
	out := make([][]float64, len(x))
	for i, row := range x {
		out[i] = t.net.Net.Output(w, row, false)
	}
	return out, nil
}

// OutputNoise returns the planned standard deviation of an opened output, with its
// flooding; 0 for a study without predictions.
func (t Terms) OutputNoise() (float64, error) {
	switch {
	case t.policy.openings() == 0:
		return 0, nil
	case t.net != nil:
		return t.netOutputNoise(t.net)
	}
	return t.outputNoise()
}
