package migrationpages

import (
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
)

// figureStatus says whether what was promised was kept; what nobody observed was not.
func figureStatus(v migration.Verdict) ui.Status {
	switch v {
	case migration.Met:
		return ui.OK("Kept")
	case migration.Unmet:
		return ui.Bad("Not kept")
	case migration.Unknown:
		return ui.Unknown("Not observed")
	}
	return ui.Past("Measured")
}

// rowStatus is figureStatus of one of many things.
func rowStatus(v migration.Verdict) ui.Status {
	switch v {
	case migration.Met:
		return ui.OK("OK")
	case migration.Unmet:
		return ui.Bad("Not OK")
	case migration.Unknown:
		return ui.Unknown("Not observed")
	}
	return ui.Past("Done")
}

// doneStatus shows a run that succeeded: green only where it did all that it was to do, and
// everything that was promised was seen to be kept.
func doneStatus(lacks string) ui.Status {
	if lacks != "" {
		return ui.Warn("Done, " + lacks)
	}
	return ui.OK("Done")
}

// promised is what there is to compare with.
func promised(f migration.ResultFigure) string {
	if f.Promised == "" {
		return "–"
	}
	return f.Promised
}

// judged reports whether any row of a list has a verdict of its own.
func judged(l migration.ResultList) bool {
	for _, r := range l.Rows {
		if r.Verdict != "" {
			return true
		}
	}
	return false
}

// column is the heading of a cell, for screens on which a row is a block of lines.
func column(l migration.ResultList, i int) string {
	if i < len(l.Columns) {
		return l.Columns[i]
	}
	return ""
}

// undoLabel names the way back, or what goes forward again.
func undoLabel(u migration.ResultUndo) string {
	if u.Forward != nil {
		return "Go forward again"
	}
	return "Undo"
}

// forwardLabel names the move that goes forward again.
func forwardLabel(r migration.Run, u migration.ResultUndo) string {
	if u.Forward.To == "" {
		return "Review plan: " + r.Step
	}
	return "Review plan: " + u.Forward.Move().String()
}
