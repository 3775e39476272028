package main

import (
	"bufio"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// ask asks a question on the terminal and returns the line that is typed, unseen
// if it is secret. Without a terminal it is an error with the remedy.
func ask(c *cobra.Command, prompt string, secret bool, remedy string) (string, error) {
	in, ok := c.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", usageError(remedy, "no terminal to ask for an answer")
	}
	state, err := term.GetState(int(in.Fd()))
	if err != nil {
		return "", fmt.Errorf("the terminal: %w", err)
	}
	fmt.Fprint(c.ErrOrStderr(), prompt)
	type answer struct {
		line string
		err  error
	}
	typed := make(chan answer, 1)
	go func() { // stays behind when the command is interrupted, and ends with the process
		var a answer
		if secret {
			var b []byte
			b, a.err = term.ReadPassword(int(in.Fd()))
			a.line = string(b)
			fmt.Fprintln(c.ErrOrStderr())
		} else {
			a.line, a.err = bufio.NewReader(in).ReadString('\n') // a terminal gives one line at a time
		}
		typed <- a
	}()
	select {
	case a := <-typed:
		if a.err != nil {
			return "", usageError(remedy, "no answer: %w", a.err)
		}
		return a.line, nil
	case <-c.Context().Done():
		fmt.Fprintln(c.ErrOrStderr())
		_ = term.Restore(int(in.Fd()), state) // the echo is on again
		return "", c.Context().Err()
	}
}
