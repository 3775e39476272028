package study_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/study"
)

func TestRunToy(t *testing.T) {
	tab, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: 400, Features: 8, Seed: 1})
	require.NoError(t, err)
	cfg := study.Default()
	cfg.Insecure = true
	cfg.Parties = 4
	cfg.Epochs = 5
	r, err := study.Run(context.Background(), cfg, tab, nil, nil)
	require.NoError(t, err)
	b, _ := json.MarshalIndent(r, "", " ")
	fmt.Println(string(b))
}

func TestPima(t *testing.T) {
	tab, _, err := dataset.ReadFile("../../shared/data/pima/pima-indians-diabetes.data.csv", dataset.Schema{Label: "8"})
	require.NoError(t, err)
	cfg := study.Default()
	r, err := study.Run(context.Background(), cfg, tab, nil, func(p study.Progress) { fmt.Println(p) })
	require.NoError(t, err)
	b, _ := json.MarshalIndent(r, "", " ")
	fmt.Println(string(b))
}
