package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/node"
	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/study"
)

// A localReport is what a trial has come to: a contract.
type localReport struct {
	Study     string   `json:"study"` // the lock's fingerprint
	Parties   int      `json:"parties"`
	Steps     int      `json:"steps"`
	Predicted int      `json:"predicted"`          // rows
	Accuracy  *float64 `json:"accuracy,omitempty"` // of the predictions
	RMSE      *float64 `json:"rmse,omitempty"`     // of the predictions of a regression
	Model     string   `json:"model"`              // digest of the encrypted weights, equal at all parties
	Restarts  int64    `json:"restarts"`           // of processes that died
	Insecure  bool     `json:"insecure"`           // a toy ring WITHOUT SECURITY
	Depth     int      `json:"tree_depth"`

	Twin  *twinReport `json:"clear_twin,omitempty"`
	Links []treeLink  `json:"links"` // the edges of the tree

	Seconds struct {
		Training float64 `json:"training"` // and setup, since the processes started
		Predict  float64 `json:"predict"`
	} `json:"seconds"`
	Nodes []node.Status `json:"nodes"`
}

// A twinReport compares the predictions with those of the same training in the clear,
// which only a trial can run: it has the rows of all parties.
type twinReport struct {
	Accuracy *float64 `json:"accuracy,omitempty"` // null of a regression
	MaxDiff  float64  `json:"max_output_diff"`    // of an opened output from the twin's
	Noise    float64  `json:"output_noise_plan"`  // planned standard deviation of an opened output
}

// A treeLink is an edge of the tree with the bytes on its wire, since the processes
// started.
type treeLink struct {
	Parent string `json:"parent"`
	Child  string `json:"child"`
	Up     int64  `json:"up"` // from child to parent
	Down   int64  `json:"down"`
}

// treeLinks returns the edges of the tree, with what the parents say of them.
func treeLinks(tree protocols.Tree, nodes []node.Status) []treeLink {
	links := []treeLink{}
	for _, parent := range tree.Members() {
		for _, child := range tree.Children(parent) {
			l := treeLink{Parent: nodes[parent].Party, Child: nodes[child].Party}
			for _, p := range nodes[parent].Peers {
				if p.Name == l.Child {
					l.Up, l.Down = p.In, p.Out
				}
			}
			links = append(links, l)
		}
	}
	return links
}

// compareTwin trains in the clear and compares outputs for rows.
func compareTwin(ctx context.Context, t *node.Trial, terms study.Terms, rows dataset.Table, z [][]float64) (*twinReport, error) {
	var tables []dataset.Table
	for _, p := range t.Lock.Parties() {
		d, err := t.Rows(p.Name)
		if err != nil {
			return nil, err
		}
		tables = append(tables, d)
	}
	twin, err := terms.Twin(ctx, tables, rows.X)
	if errors.Is(err, nn.ErrModel) { // it left what the plan is made for: there is nothing to compare with
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := &twinReport{}
	if r.Noise, err = terms.OutputNoise(); err != nil {
		return nil, err
	}
	right := 0.0
	for i := range z {
		for j := range z[i] {
			r.MaxDiff = max(r.MaxDiff, math.Abs(z[i][j]-twin[i][j]))
		}
		if terms.Class(twin[i]) == int(rows.Y[i]) {
			right += 1 / float64(len(z))
		}
	}
	if t.File.Data.Target != "number" {
		r.Accuracy = &right
	}
	return r, nil
}

func (r localReport) write(p *page) {
	p.heading(fmt.Sprintf("Nereid trial: %s in processes of their own", count(r.Parties, "party")))
	if r.Insecure {
		p.fact("ring", "a toy WITHOUT ANY SECURITY")
	}
	p.fact("study", r.Study)
	p.fact("training", fmt.Sprintf("%s in %s, with setup", count(r.Steps, "step"), seconds(r.Seconds.Training)))
	score := ""
	if r.Accuracy != nil {
		score = fmt.Sprintf(", accuracy %.1f %%", 100**r.Accuracy)
	}
	if r.RMSE != nil {
		score = fmt.Sprintf(", root mean square error %.3g", *r.RMSE)
	}
	p.fact("predictions", fmt.Sprintf("%s in %s%s", count(r.Predicted, "row"), seconds(r.Seconds.Predict), score))
	p.fact("model", r.Model+", the same at all parties")
	if w := r.Twin; w != nil {
		text := fmt.Sprintf("outputs within %.2g of training in the clear, noise planned %.2g", w.MaxDiff, w.Noise)
		if w.Accuracy != nil {
			text += fmt.Sprintf(", its accuracy %.1f %%", 100**w.Accuracy)
		}
		p.fact("clear twin", text)
	}
	p.fact("tree", fmt.Sprintf("depth %d, %s", r.Depth, count(len(r.Links), "link")))
	p.fact("restarts", fmt.Sprint(r.Restarts))
	for _, l := range r.Links {
		p.fact("link", fmt.Sprintf("%s to %s: %s up, %s down", l.Child, l.Parent, size(l.Up), size(l.Down)))
	}
	for _, n := range r.Nodes {
		var sent int64
		for _, b := range n.Sent {
			sent += b
		}
		var waits []string
		for _, w := range n.Peers {
			if w.Connects > 1 {
				waits = append(waits, w.Name)
			}
		}
		line := size(sent) + " sent"
		if len(waits) > 0 {
			line += ", reconnected to " + strings.Join(waits, ", ")
		}
		p.fact(n.Party, line)
	}
}
