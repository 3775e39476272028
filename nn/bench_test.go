package nn_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
)

func BenchmarkGradient(b *testing.B) {
	loss, err := nn.NewLogistic(3, 12)
	require.NoError(b, err)
	m := nn.Model{Features: 9, Loss: loss, SGD: nn.SGD{Rate: 1, L2: 0.03}, Steps: 30, MaxFeature: 8, MaxTarget: 1, Batch: make([]int, 10)}
	for i := range m.Batch {
		m.Batch[i] = 64
	}
	p, err := nn.Fit(m, false)
	require.NoError(b, err)
	keys := testkit.OneParty(b, p.Set, p.Keys)
	rows := make([][]float64, 64)
	for i := range rows {
		rows[i] = testkit.Random(9, uint64(i))
	}
	batch, err := p.Batch(0, rows, make([]float64, 64))
	require.NoError(b, err)
	enc := mhe.NewEncoder(p.Set)
	w, err := keys.Encryption().Encrypt(enc, p.Dense.Dot.Weights(make([]float64, 9)), p.Set.MaxLevel(), mhe.Power(45), testkit.Source("w"))
	require.NoError(b, err)
	for _, workers := range []int{1, 2} {
		t := nn.Trainer{Plan: &p, Eval: mhe.NewCKKS(keys, workers)}
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := t.Gradient(w, batch)
				require.NoError(b, err)
			}
		})
	}
}
