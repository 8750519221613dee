package workflows

import (
	"encoding/json"
	"time"

	"github.com/switchyard-dev/switchyard/audit"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/alarm"
	"github.com/switchyard-dev/switchyard/workflows/costs"
	"github.com/switchyard-dev/switchyard/workflows/cutoverreport"
	"github.com/switchyard-dev/switchyard/workflows/digest"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/forecast"
	"github.com/switchyard-dev/switchyard/workflows/outage"
	"github.com/switchyard-dev/switchyard/workflows/report"
	"github.com/switchyard-dev/switchyard/workflows/steps"
	"github.com/switchyard-dev/switchyard/workflows/steps/provision"
)

// What Control answers, so that pages, API and command line need know nothing below it.
type (
	SideSurvey          = environment.SideSurvey
	LedgerOverview      = environment.LedgerOverview
	LedgerOrder         = environment.LedgerOrder
	LedgerLane          = environment.LedgerLane
	LedgerCount         = environment.LedgerCount
	LedgerFilter        = environment.LedgerFilter
	Outage              = outage.Outage
	ProviderOutage      = outage.ProviderOutage
	ProviderFacts       = outage.ProviderFacts
	IntakeOutlook       = outage.IntakeOutlook
	OutageClock         = outage.OutageClock
	OutageProspect      = outage.OutageProspect
	Forecast            = outage.Forecast
	SourcedText         = outage.SourcedText
	Replay              = outage.Replay
	ReplayResult        = outage.ReplayResult
	Capacity            = costs.Capacity
	CostPhase           = costs.CostPhase
	CostLine            = costs.CostLine
	MeteredCost         = costs.MeteredCost
	SideLoad            = costs.SideLoad
	CutoverReport       = cutoverreport.CutoverReport
	ReportLine          = cutoverreport.ReportLine
	Severity            = cutoverreport.Severity
	Notifications       = alarm.Notifications
	NotificationChannel = alarm.NotificationChannel
	NotifiedAlert       = alarm.NotifiedAlert
	DigestPlan          = alarm.DigestPlan
	DigestPreview       = alarm.DigestPreview
	DigestPart          = digest.Part
	AlertTold           = alarm.AlertTold
	Alerts              = alarm.Alerts
	Report              = report.Report
	ReportIncident      = report.Incident
	ReportRollback      = report.Rollback
	ReportWaiver        = report.Waiver
	ForecastState       = forecast.State
	Acknowledgement     = alarm.Acknowledgement
	NotificationSent    = alarm.NotificationSent
	Export              = provision.Export
	AuditFilter         = store.AuditFilter
	RunFilter           = store.RunFilter
	Account             = store.Account
	PastAlert           = alarm.PastAlert
)

// RedisAudit is the last whole audit of the source, and what has changed since.
type RedisAudit struct {
	RunID   string         `json:"run_id"`
	At      time.Time      `json:"at"`
	Reports []audit.Report `json:"reports"` // one for each node
	// Now is what the monitor saw last of the checks that need no look at the keys; NowAt
	// is zero before it looked.
	Now    evidence.AuditFacts `json:"now"`
	NowAt  time.Time           `json:"now_at"`
	Alerts []migration.Alert   `json:"alerts,omitempty"`
	// Past: the source is no longer in use, on purpose, so that nothing here is to be mended.
	Past bool `json:"past,omitempty"`
}

// The values that those types take.
const (
	LedgerClean        = environment.LedgerClean
	LedgerBroken       = environment.LedgerBroken
	LedgerInconclusive = environment.LedgerInconclusive

	SeverityUnknown = cutoverreport.SeverityUnknown
	SeverityBlocks  = cutoverreport.SeverityBlocks
	SeverityCareful = cutoverreport.SeverityCareful
	SeverityClear   = cutoverreport.SeverityClear

	ForecastDone = forecast.Done
	OnTrack      = forecast.OnTrack
	AtRisk       = forecast.AtRisk
	OffTrack     = forecast.OffTrack

	CostNow     = costs.CostNow
	CostInterim = costs.CostInterim
	CostAfter   = costs.CostAfter

	// ReplayMost is how many events one replay hands to the app.
	ReplayMost = outage.ReplayMost
)

// Providers lists the ids of the payment providers.
func Providers() []string { return outage.Providers() }

// ProviderName is the name of a payment provider, for people; of one that is none, its id.
func ProviderName(id string) string { return outage.ProviderName(id) }

// ReadEvents reads a file of a provider's events, as webhooks.Sender.ReadEvents does.
func ReadEvents(provider string, file []byte) ([]json.RawMessage, error) {
	return outage.ReadEvents(provider, file)
}

// StepIDs lists the ids of all steps, sorted.
func StepIDs() []string { return steps.IDs() }
