package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/switchyard-dev/switchyard/workflows"
)

func statusReportOperations() []Operation {
	const path = ofMigration + "/report"
	return []Operation{{
		ID: "getReport", Route: "GET " + path, Access: AccessSession,
		Summary: "The closing report once every criterion is met, the status report until then",
		Description: "The digest is the SHA-256 of the canonical JSON (keys sorted, no spaces) of " +
			"the report without it. It is not a signature: no key is involved.",
		Answer: Report{},
	}, {
		ID: "getReportLinks", Route: "GET " + path + "/links", Access: AccessSession,
		Summary: "Links by which the report is read without an account, the newest first",
		Answer:  ReportLinkList{},
	}, {
		ID: "shareReport", Route: "POST " + path + "/links", Access: AccessEngineer,
		Summary:     "Make a link by which the report is read without an account",
		Description: "It counts for 1 to 720 hours. At most 20 links of a migration count at a time.",
		Body:        NewReportLink{}, Status: http.StatusCreated, Answer: CreatedReportLink{},
	}, {
		ID: "revokeReportLink", Route: "DELETE " + path + "/links/{link}", Access: AccessEngineer,
		Summary: "Make a link lead nowhere",
	}}
}

// Report is where a migration stands, for who answers for it: see workflows.Report.
type Report = workflows.Report

// ReportLinkList is the links of a migration.
type ReportLinkList struct {
	Links []workflows.ReportLink `json:"links"`
}

// NewReportLink is a link to be made.
type NewReportLink struct {
	// Note says whom it is for.
	Note string `json:"note,omitempty"`
	// Hours is for how long it counts.
	Hours int `json:"hours" minimum:"1" maximum:"720"`
}

// CreatedReportLink is a link with its address, which is not kept.
type CreatedReportLink struct {
	Link    workflows.ReportLink `json:"link"`
	Address string               `json:"address"`
}

// Report gives the closing or status report.
func (c *Client) Report(ctx context.Context, mid string) (Report, error) {
	var r Report
	err := c.get(ctx, at(mid, "report"), &r)
	return r, err
}

// ReportLinks lists the links by which the report is read without an account.
func (c *Client) ReportLinks(ctx context.Context, mid string) ([]workflows.ReportLink, error) {
	var l ReportLinkList
	err := c.get(ctx, at(mid, "report", "links"), &l)
	return l.Links, err
}

// ShareReport makes a link by which the report is read without an account.
func (c *Client) ShareReport(
	ctx context.Context, mid string, n NewReportLink,
) (CreatedReportLink, error) {
	var out CreatedReportLink
	err := c.call(ctx, http.MethodPost, at(mid, "report", "links"), n, &out)
	return out, err
}

// RevokeReportLink makes a link lead nowhere.
func (c *Client) RevokeReportLink(ctx context.Context, mid string, id int64) error {
	return c.call(ctx, http.MethodDelete,
		at(mid, "report", "links", strconv.FormatInt(id, 10)), nil, nil)
}
