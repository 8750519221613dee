// Package engine carries runs out: their actions one after another, durably on DBOS
// Transact, with approvals, undo, cancelling and pause. It knows no server and no step: a
// step is a value that it is given.
package engine
