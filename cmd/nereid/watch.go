package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

const watchPause = 2 * time.Second

// watch asks for statuses until ctx ends, which is no failure. On a terminal it
// prints every answer; elsewhere, and as JSON, one line for every change.
func watch(ctx context.Context, out io.Writer, format string, ask func(context.Context) []nodeStatus) error {
	everything := format != "json" && isTerminal(out)
	var shown []string
	for {
		all := ask(ctx)
		if ctx.Err() != nil { // what it cut off is no change
			return nil
		}
		if now := essence(all); everything || !slices.Equal(now, shown) {
			shown = now
			var p page
			if everything {
				p.line("%s", time.Now().Format(time.DateTime))
				writeStatus(&p, all)
				p.line("")
			} else if err := json.NewEncoder(&p).Encode(all); err != nil {
				return fmt.Errorf("report: %w", err)
			}
			if err := (output{"", out}).write(p.Bytes()); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchPause):
		}
	}
}

// essence returns of every status what is worth a line when it changes: times and
// bytes always do.
func essence(all []nodeStatus) (out []string) {
	for _, s := range all {
		if s.Node == nil {
			out = append(out, s.Error)
			continue
		}
		n := s.Node
		line := fmt.Sprint(n.Phase, n.Step, n.Stage, n.Waiting, n.Trained, n.Model, n.Opened, n.Strangers)
		for _, p := range n.Peers {
			line += fmt.Sprint(p.Name, p.Connected, p.Connects, p.Refused, p.Problem)
		}
		out = append(out, line)
	}
	return out
}
