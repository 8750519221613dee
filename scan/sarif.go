package scan

import (
	"encoding/json"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// The parts of SARIF 2.1.0 that a report needs.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		Results     []sarifResult     `json:"results"`
		ColumnKind  string            `json:"columnKind"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string    `json:"id"`
		ShortDescription sarifText `json:"shortDescription"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifInvocation struct {
		ExecutionSuccessful bool                `json:"executionSuccessful"`
		Notifications       []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct {
		Level   string    `json:"level"`
		Message sarifText `json:"message"`
	}
	sarifResult struct {
		RuleID       string             `json:"ruleId"`
		Kind         string             `json:"kind"`
		Level        string             `json:"level"`
		Message      sarifText          `json:"message"`
		Locations    []sarifLocation    `json:"locations"`
		Fingerprints map[string]string  `json:"partialFingerprints"`
		Suppressions []sarifSuppression `json:"suppressions,omitempty"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI       string `json:"uri"`
		URIBaseID string `json:"uriBaseId"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn"`
	}
	sarifSuppression struct {
		Kind          string `json:"kind"`
		Status        string `json:"status"`
		Justification string `json:"justification"`
	}
)

var sarifRules = map[Role]string{
	RoleQueue:     "A BullMQ Queue fails fast when Redis does",
	RoleFlow:      "A BullMQ FlowProducer fails fast when Redis does",
	RoleSubclass:  "A class that extends a BullMQ producer fails fast when Redis does",
	RoleNestQueue: "A queue of a Nest module fails fast when Redis does",
	RoleNestFlow:  "A flow producer of a Nest module fails fast when Redis does",
	RolePipeline:  "A Pipeline of @switchyard/bullmq makes its own producers",
	RoleProducer:  "A Producer of @switchyard/bullmq keeps its safety options",
	RoleWorker:    "A worker has no producer options",
	RoleOld:       "A bull queue has a decision",
	RoleClass:     "A producer's class is not passed on unseen",
	RoleFile:      "A file can be read",
}

// WriteSARIF writes the report as SARIF 2.1.0. Paths are relative to the scanned
// folder.
func WriteSARIF(w io.Writer, r Report, version string) error {
	run := sarifRun{
		Tool:       sarifTool{sarifDriver{Name: "switchyard scan", Version: version}},
		Results:    []sarifResult{},
		ColumnKind: "utf16CodeUnits",
	}
	for _, role := range slices.Sorted(maps.Keys(sarifRules)) {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules,
			sarifRule{ruleID(role), sarifText{sarifRules[role]}})
	}
	inv := sarifInvocation{ExecutionSuccessful: true}
	for _, n := range r.Notes {
		inv.Notifications = append(inv.Notifications,
			sarifNotification{"warning", sarifText{n}})
	}
	run.Invocations = []sarifInvocation{inv}
	for _, f := range r.Findings {
		res := sarifResult{RuleID: ruleID(f.Role), Message: sarifText{f.Message()},
			Fingerprints: map[string]string{"switchyardId/v1": f.ID},
			Locations: []sarifLocation{{sarifPhysical{
				sarifArtifact{(&url.URL{Path: f.At.File}).EscapedPath(), "%SRCROOT%"},
				sarifRegion{f.At.Line, f.At.Column},
			}}}}
		switch f.Verdict {
		case Pass:
			res.Kind, res.Level = "pass", "none"
		case Fail:
			res.Kind, res.Level = "fail", "error"
		case Review: // kind "review" would make every viewer hide it, but a review blocks
			res.Kind, res.Level = "fail", "warning"
		}
		if d := f.Decision; d != nil {
			res.Suppressions = []sarifSuppression{{"external", "accepted",
				d.Reason + " (" + d.By + ", until " + d.Until + ")"}}
		}
		run.Results = append(run.Results, res)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0",
		[]sarifRun{run}})
}

func ruleID(r Role) string { return "breaker/" + string(r) }

// Message says in one paragraph what was found and what to do.
func (f Finding) Message() string {
	parts := append([]string{string(f.Verdict) + ": " + f.Expr}, f.Why()...)
	if f.Fix != "" && f.Verdict != Pass {
		parts = append(parts, "Fix: "+f.Fix)
	}
	return strings.Join(parts, ". ")
}

// Why lists the objections: the options that are missing or wrong, and what the
// source does not tell.
func (f Finding) Why() []string {
	var out []string
	for _, c := range f.Checks {
		if c.State == missing || c.State == wrong {
			out = append(out, c.Option+" is "+c.Seen+", needs "+c.Needs+": "+c.Why)
		}
	}
	return append(out, f.Reasons...)
}
