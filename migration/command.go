package migration

import (
	"regexp"
	"strconv"
	"strings"
)

// Verbs of next steps.
const (
	// VerbStart starts a step, with its parameters.
	VerbStart = "start"
	// VerbApprove approves the run that waits, or rejects it.
	VerbApprove = "approve"
	// VerbWatch looks at the run under way.
	VerbWatch = "watch"
	// VerbScan brings what a scan of the app's source found.
	VerbScan = "scan"
)

// ScanCommand scans the source below DIR and submits what it found.
const ScanCommand = "switchyard scan DIR --submit"

// Command is how the next step is done from a shell. No other place spells it.
func (n NextStep) Command() string {
	switch n.Verb {
	case VerbApprove:
		return approveCommand(n.RunID, n.Action, n.ConfirmName)
	case VerbWatch:
		return RunCommand("show", n.RunID)
	case VerbScan:
		return ScanCommand
	}
	return StartCommand(n.Step, n.Params)
}

// StartCommand is how a step is started from a shell.
func StartCommand(step string, p Params) string {
	line := "switchyard step start " + step
	if p.To != "" {
		line += " --to " + string(p.To)
	}
	if p.Ramp != 0 {
		line += " --ramp " + strconv.Itoa(p.Ramp)
	}
	if n := p.Limits.MaxRefused; n != 0 {
		line += " --max-refused " + strconv.Itoa(n)
	}
	if p.Limits.MaxLatencyMS != 0 {
		line += " --max-latency " + p.Limits.Latency().String()
	}
	if p.Limits.MaxSilenceMS != 0 {
		line += " --max-silence " + p.Limits.Silence().String()
	}
	return line
}

// RunCommand is how a run is shown, paused, resumed, cancelled or rolled back from a shell.
func RunCommand(verb, run string) string { return "switchyard run " + verb + " " + run }

// ApproveCommand is how a waiting run is approved from a shell; name is its migration's.
func (r Run) ApproveCommand(name string) string {
	waitsWith, _ := r.Waiting()
	if r.Needs() != ApprovalTwo {
		name = ""
	}
	return approveCommand(r.ID, waitsWith.ID, name)
}

func approveCommand(run, action, confirmName string) string {
	line := RunCommand(VerbApprove, run)
	if action != "" {
		line += " --action " + action
	}
	if confirmName != "" {
		line += " --confirm-name " + quoted(confirmName)
	}
	return line
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:-]+$`)

// quoted writes one word so that a shell takes it as it is.
func quoted(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// RunListCommand lists runs on the command line. options are names with their values; a value
// that is empty is left out.
func RunListCommand(options ...[2]string) string {
	return withOptions("switchyard run list", options)
}

// AuditLogCommand lists the audit log on the command line, with options as of RunListCommand.
func AuditLogCommand(options ...[2]string) string {
	return withOptions("switchyard audit-log", options)
}

func withOptions(line string, options [][2]string) string {
	for _, o := range options {
		if o[1] != "" {
			line += " --" + o[0] + " " + quoted(o[1])
		}
	}
	return line
}

// SearchCommand searches on the command line.
func SearchCommand(text string) string {
	if strings.HasPrefix(text, "-") {
		return "switchyard search -- " + quoted(text)
	}
	return "switchyard search " + quoted(text)
}
