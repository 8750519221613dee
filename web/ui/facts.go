package ui

import (
	"fmt"

	"github.com/switchyard-dev/switchyard/migration"
)

// Facts collects facts that have something to say.
type Facts []migration.Fact

// Add appends a fact, if it is one.
func (l *Facts) Add(label string, is bool, format string, args ...any) {
	if is {
		*l = append(*l, migration.Fact{Label: label, Value: fmt.Sprintf(format, args...)})
	}
}
