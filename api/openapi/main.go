// Command openapi writes the OpenAPI document of package api: of its operations, of the Go types
// that they name, and of those types' doc comments.
package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: openapi FILE")
	}
	document, err := generate()
	if err != nil {
		return err
	}
	return os.WriteFile(args[0], document, 0o644) //nolint:gosec // a source file
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
