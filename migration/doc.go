// Package migration is Switchyard's vocabulary: migrations, plans, criteria, evidence,
// verdicts, runs, stages and routing. It imports only the standard library and does no I/O;
// everything else may import it.
package migration
