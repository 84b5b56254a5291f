// Package checks prints the results of named checks, one a line: `ok NAME`, or `not ok NAME: why`.
package checks

import (
	"fmt"
	"os"
	"strings"
)

// Checks counts failures.
type Checks struct{ failed bool }

// Run runs a check; one that fails does not stop those after it.
func (c *Checks) Run(name string, check func() error) {
	if err := check(); err != nil {
		c.failed = true
		fmt.Printf("not ok %s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	fmt.Printf("ok %s\n", name)
}

// Exit ends the process, with 1 if a check failed.
func (c *Checks) Exit() {
	if c.failed {
		os.Exit(1)
	}
	os.Exit(0)
}

// Want fails unless an error holds all of the texts.
func Want(err error, texts ...string) error {
	if err == nil {
		return fmt.Errorf("no error, but one with %q was expected", texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			return fmt.Errorf("the error lacks %q: %w", text, err)
		}
	}
	return nil
}
