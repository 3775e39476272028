package studyfile

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/nn"
)

// check records what is wrong with fields that do not go together. Every file
// without a violation converts.
func (r *reader) check(f File) {
	switch f.Model.Kind {
	case Network:
		r.checkNetwork(f)
	case Logistic, Linear:
		r.checkRegression(f)
	default:
		return // a violation already, on which all others depend
	}
	r.checkTarget(f)
	if r.checkData(f.Data); len(r.bad) == 0 {
		err := f.Columns().Check()
		bad := new(dataset.Error)
		r.must(!errors.As(err, &bad), "data", bad.Problem, bad.Remedy)
	}
	t := f.Training
	r.must(t.Steps > 0 || t.Epochs > 0, "training", "neither steps nor epochs", "one of them, 1 or more")
	r.must(t.Steps == 0 || t.Epochs == 0, "training.epochs", fmt.Sprintf("%d epochs and %d steps", t.Epochs, t.Steps), "one of them")
	r.checkParties(f)
}

// checkRegression is for the kinds logistic and linear.
func (r *reader) checkRegression(f File) {
	kind := string(f.Model.Kind)
	plain := leaves(reflect.ValueOf(New(f.Model.Kind).WithDefaults()), "")
	has := map[string]string{}
	for _, l := range leaves(reflect.ValueOf(f), "") {
		has[l.path] = l.text
	}
	for _, l := range plain {
		if only(l.path) != "" && l.path != "model.hidden" {
			r.must(has[l.path] == l.text, l.path, has[l.path], l.text+": the field is for networks, the kind is "+kind)
		}
	}
	m := f.Model
	r.must(len(m.Hidden) == 0, "model.hidden", "hidden layers", "none, or the kind network")
	r.must(m.Outputs == 1, "model.outputs", fmt.Sprint(m.Outputs), "1 for the kind "+kind)
	want := New(m.Kind).Model.Loss
	r.must(m.Loss.Name == want.Name, "model.loss.name", m.Loss.Name, want.Name+" for the kind "+kind)
	r.must(m.Loss.Bound > 0, "model.loss.bound", "0", "a number above 0")
	_, err := m.Loss.network()
	r.model(err, "model.loss.degree")
	r.must(len(f.Opening.Queriers) > 0, "opening.queriers", "nothing", "who may have predictions: nobody could use the model")
}

// only returns the kind of model that the field at a path is for, or "".
func only(path string) string {
	t := reflect.TypeFor[File]()
	for name := range strings.SplitSeq(path, ".") {
		f, ok := lookup(fieldsOf(t), name)
		if !ok || f.only != "" {
			return f.only
		}
		t = f.typ
	}
	return ""
}

// checkNetwork is for the kind network.
func (r *reader) checkNetwork(f File) {
	m, t := f.Model, f.Training
	for i, h := range m.Hidden {
		_, err := h.activation()
		r.model(err, fmt.Sprintf("model.hidden[%d]", i))
	}
	_, err := m.Loss.network()
	r.model(err, "model.loss")
	r.must(f.Data.Target == "class" || m.Outputs == 1, "model.outputs", fmt.Sprint(m.Outputs), "1 for a target that is a number")
	r.must(f.Data.Target == "class" || m.Loss.Name == "squared", "model.loss.name", m.Loss.Name, "squared for a target that is a number")
	fits := m.Outputs == f.Data.ClassCount || m.Outputs == 1 && f.Data.ClassCount == 2
	r.must(f.Data.Target != "class" || fits, "model.outputs", fmt.Sprint(m.Outputs), fmt.Sprintf("one for each of %d classes, or 1 for two", f.Data.ClassCount))
	k := len(m.Hidden) + 1
	r.must(len(t.LayerRates) == 0 || len(t.LayerRates) == k, "training.layer_rates", fmt.Sprintf("%d factors", len(t.LayerRates)), fmt.Sprintf("%d, that of the outputs included", k))
	r.must(!t.Nesterov || t.Momentum > 0, "training.nesterov", "true without momentum", "training.momentum above 0")
	r.must(f.Preprocessing.Unit == 0 || f.Preprocessing.Floor == 0, "preprocessing.floor", "a floor and a unit", "one of them")
}

// model records what package nn says about a part of the model.
func (r *reader) model(err error, path string) {
	if err == nil {
		return
	}
	message := strings.TrimPrefix(err.Error(), nn.ErrModel.Error()+": ")
	found, want, _ := strings.Cut(message, "want ")
	if want == "" {
		want = "other settings"
	}
	r.must(false, path, strings.TrimRight(found, " :,"), want)
}

// checkTarget is about what the label is.
func (r *reader) checkTarget(f File) {
	d := f.Data
	switch f.Model.Kind {
	case Logistic:
		r.must(d.Target == "class", "data.target", d.Target, "class for logistic regression, or the kind linear")
		r.must(d.ClassCount == 2 || d.Target != "class", "data.class_count", fmt.Sprintf("%d classes", d.ClassCount), "2 for logistic regression, or the kind network")
	case Linear:
		r.must(d.Target == "number", "data.target", d.Target, "number for linear regression, or the kind logistic")
	}
	if d.Target == "number" {
		r.must(len(d.Classes) == 0, "data.classes", "classes", "none for a target that is a number")
		r.must(d.ClassCount == 0, "data.class_count", fmt.Sprint(d.ClassCount), "none for a target that is a number")
		r.must(d.Format == "csv", "data.target", "number", "class for idx files")
		return
	}
	r.must(d.TargetBound == 0, "data.target_bound", fmt.Sprint(d.TargetBound), "none for classes")
	r.must(d.ClassCount >= 2, "data.class_count", fmt.Sprint(d.ClassCount), "2 or more")
	r.must(len(d.Classes) != 1, "data.classes", "1 class", "2 or more, or none for whole numbers from 0")
	r.must(len(d.Classes) == 0 || len(d.Classes) == d.ClassCount, "data.class_count", fmt.Sprint(d.ClassCount), fmt.Sprintf("%d as the list has, or no such line", len(d.Classes)))
}

// checkData is about columns.
func (r *reader) checkData(d Data) {
	r.must(len(d.Features) == 0 || len(d.Drop) == 0, "data.drop", "columns to drop and a list of features", "one of the two lists: columns that are no features are left out")
	r.must(len(d.Features) == 0 || d.FeatureCount == len(d.Features), "data.feature_count", fmt.Sprint(d.FeatureCount), fmt.Sprintf("%d as the list has, or no such line", len(d.Features)))
	r.must(d.Format != "csv" || strings.TrimSpace(d.Label) != "", "data.label", "nothing", "the label column, by name or index")
	if d.Format != "idx" {
		return
	}
	for _, c := range []struct {
		path  string
		there bool
	}{
		{"data.label", d.Label != ""},
		{"data.features", len(d.Features) > 0},
		{"data.drop", len(d.Drop) > 0},
		{"data.classes", len(d.Classes) > 0},
		{"data.missing", d.Missing != "error"},
		{"data.comma", d.Comma != ""},
	} {
		r.must(!c.there, c.path, "a setting of columns", "none: idx files have no columns")
	}
}

// checkParties is about parties and queriers.
func (r *reader) checkParties(f File) {
	p := f.Parties
	r.must(p.Count > 0, "parties", "neither a count nor a roster", "one of them, of 2 parties or more")
	r.must(p.Count != 1, "parties", "1 party", "2 or more")
	r.must(len(p.Roster) == 0 || len(p.Roster) == p.Count, "parties.count", fmt.Sprint(p.Count), fmt.Sprintf("%d as the roster has, or no such line", len(p.Roster)))
	r.must(p.Fanout > 0, "parties.fanout", "0", "1 or more")
	seen := map[string]bool{}
	for i, m := range p.Roster {
		r.must(!seen[m.Name], fmt.Sprintf("parties.roster[%d].name", i), quote(m.Name)+" again", "a name of its own for every party")
		seen[m.Name] = true
	}
	clear(seen)
	for i, q := range f.Opening.Queriers {
		r.must(!seen[q.Name], fmt.Sprintf("opening.queriers[%d].name", i), quote(q.Name)+" again", "a name of its own for every querier")
		seen[q.Name] = true
	}
}
