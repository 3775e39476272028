package studyfile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/study"
	"github.com/nereid-mhe/nereid/studyfile"
)

// The defaults of a file of a regression are those of package study.
func TestDefaultsAreThoseOfTheDemo(t *testing.T) {
	f := studyfile.New(studyfile.Logistic)
	f.Name, f.Parties.Count = "demo", 10
	c, err := f.Regression()
	require.NoError(t, err)
	want := study.Default()
	want.Partition = dataset.PartitionEven
	require.Equal(t, want, c)
}

// What is planned from the file alone is what the study then runs with.
func TestPlanOfTheFileIsThatOfTheStudy(t *testing.T) {
	f := parsed(t, []byte(layered+"training: {steps: 2, batch: 20}\ncrypto: {max_weight_error: 1e-4}\nopening: {queriers: [{name: q, rows: 5}]}\n"))
	r, err := f.PlanRequest()
	require.NoError(t, err)
	require.Equal(t, 0, r.Fanout, "2 of 3 parties: all others")
	require.Equal(t, 1e-4, r.MaxWeightErr)
	require.Equal(t, []nn.Allowance{{Rows: 5}}, r.Predict.Queriers)

	f = parsed(t, []byte(layered+"training: {steps: 2, batch: 20}\n"))
	_, err = f.PlanRequest()
	require.NoError(t, err)

	f.Training.Steps, f.Training.Epochs = 0, 3
	_, err = f.PlanRequest()
	require.ErrorIs(t, err, studyfile.ErrFile)
	require.EqualError(t, err, "training.epochs: found 3; want training.steps, or public rows of the parties and a batch: passes over secret numbers of rows are no number of steps")
	f.Parties.Roster = []studyfile.Member{{Name: "a", Rows: 41}, {Name: "b", Rows: 20}, {Name: "c", Rows: 33}}
	r, err = f.PlanRequest()
	require.NoError(t, err)
	require.Equal(t, 3*3, r.Net.Steps)

	f.Data.FeatureCount = 0
	_, err = f.PlanRequest()
	require.ErrorContains(t, err, "data.feature_count: found nothing")

	if testing.Short() {
		t.Skip("searches take seconds")
	}
	f = parsed(t, []byte(layered+"training: {steps: 2, batch: 20}\n"))
	r, err = f.PlanRequest()
	require.NoError(t, err)
	search, err := nn.PlanNetwork(t.Context(), r)
	require.NoError(t, err)
	table, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: 100, Features: 3, Seed: 1})
	require.NoError(t, err)
	c, err := f.Network()
	require.NoError(t, err)
	s, err := study.PrepareNetwork(t.Context(), c, table, dataset.Table{})
	require.NoError(t, err)
	require.Equal(t, search.Best().Plan.Hash(), s.Plan().Hash())
}
