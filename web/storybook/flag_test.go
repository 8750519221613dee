package storybook

import (
	"testing"
	"time"

	"github.com/a-h/templ"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/flagpages"
)

func flagStories(t *testing.T) map[string]story {
	t.Helper()
	o := storyOverview(t)
	out := map[string]story{}
	view := migration.FlagSetView{
		FlagSet: migration.FlagSet{
			ID: mid, MigrationID: mid, Name: "Order pipeline",
			Revision: 17,
		},
		Flags: []migration.FlagInfo{
			{
				Key: "order-ingestion-ramp", ValueType: "number", ManagedBy: "cutover",
				State: "ENABLED", Variant: "25", Value: 25, Revision: 17, Actor: "ada",
				Reason: "cutover to live at 25 %", RunID: "4b1f09c2aa",
				At: storyTime.Add(-time.Hour),
			},
			{
				Key: "order-ingestion-stage", ValueType: "string", Type: "migration",
				ManagedBy: "cutover", State: "ENABLED", Variant: "live", Value: "live",
				Revision: 16, Actor: "ada", Reason: "cutover to live at 10 %",
				RunID: "4b1f09c2aa", At: storyTime.Add(-2 * time.Hour),
			},
			{
				Key: "pause-intake", ValueType: "boolean", Type: "kill-switch",
				State: "ENABLED", Variant: "on", Value: true, Revision: 9, Actor: "linus",
				Reason: "prepared for the event", At: storyTime.Add(-50 * time.Hour),
			},
			{
				Key: "upsell-banner", ValueType: "boolean", State: "ENABLED",
				Variant: "off", Value: false, Targeted: true, Revision: 3, Actor: "linus",
				Reason: "for the campaign", At: storyTime.Add(-60 * 24 * time.Hour),
				Hint: "unchanged for 60 days",
			},
		},
	}
	setting := flagpages.FlagSetting{
		MigrationID: mid, Sets: []migration.FlagSet{view.FlagSet}, View: view,
		Now: storyTime, Who: engineer,
	}
	tab := func(id string) flagpages.FlagSetting { s := setting; s.Tab = id; return s }
	readers := []flagpages.Worker{
		{Worker: o.Workers[0]},
		{
			Worker: migration.Worker{
				Instance: "web.2", Service: "ingestion", Version: "1.0.0",
				Set: mid, Via: []string{"attestation", "poll"}, Identified: true,
				Live: true, Revision: 16, SeenAt: storyTime.Add(-3 * time.Second),
			},
		},
		{
			Worker: migration.Worker{
				Instance: "web.3", Service: "ingestion", Version: "1.0.0",
				Set: mid, Via: []string{"attestation"}, Identified: true,
				Revision: 12, SeenAt: storyTime.Add(-3 * time.Minute),
			},
			LastKnownGood: true,
		},
		{
			Worker: migration.Worker{
				Set: mid, Via: []string{"stream"}, Key: "checkout",
				Address: "10.0.0.9", Live: true, Revision: 17, SeenAt: storyTime,
			},
		},
	}
	changes := []migration.FlagDiff{
		{
			Key: "upsell-banner", Kind: "changed",
			Lines:  []string{`defaultVariant: "off" → "on"`},
			Before: []byte(`{"defaultVariant":"off"}`),
			After:  []byte(`{"defaultVariant":"on"}`),
		},
	}
	routing := o.Routing
	revisions := []migration.FlagSetRevision{
		{
			Set: mid, Revision: 17, Actor: "ada",
			Reason: "cutover to live at 25 %", RunID: "4b1f09c2aa",
			At: storyTime.Add(-time.Hour), Changes: changes,
		},
		{
			Set: mid, Revision: 16, Actor: "linus", Reason: "for the campaign",
			At: storyTime.Add(-2 * time.Hour), Changes: changes,
		},
	}
	out["flags"] = flagStory(flagpages.FlagsPage(
		flagpages.Flags{
			FlagSetting: setting, Workers: readers, Routing: &routing,
			Share: o.Observed,
		},
	))
	out["flag-editor"] = flagStory(flagpages.FlagEditorPage(
		flagpages.FlagEditor{
			FlagSetting: setting,
			Draft: flagpages.FlagDraft{
				Key: "upsell-banner", State: "ENABLED", Default: "off",
				Targeting: `{"if": [{"var": "vip"}, "on"]}`,
				Variants: []flagpages.VariantRow{
					{Name: "on", Value: "true"},
					{Name: "off", Value: "false"},
					{},
				},
				Context: `{"vip": true}`,
			},
			Preview: &flagpages.FlagPreview{
				Variant: "on", Reason: "TARGETING_MATCH", Value: "true",
			},
		},
	))
	out["flag-managed"] = flagStory(flagpages.FlagEditorPage(
		flagpages.FlagEditor{
			FlagSetting: setting, Managed: "cutover",
			Draft: flagpages.FlagDraft{
				Key: "order-ingestion-stage", Raw: `{"state":"ENABLED"}`,
			},
		},
	))
	out["flag-review"] = flagStory(flagpages.FlagReviewPage(
		flagpages.FlagReview{
			FlagSetting: setting,
			Check:       migration.FlagCheck{Base: 17, Changes: changes}, Edit: "{}",
			Key: "upsell-banner", Draft: "{}", Theirs: revisions[:1],
		},
	))
	out["flag-history"] = flagStory(flagpages.FlagHistoryPage(
		flagpages.FlagHistory{FlagSetting: tab("history"), Revisions: revisions, Older: 16},
	))
	out["flag-schedules"] = flagStory(flagpages.FlagSchedulesPage(
		flagpages.FlagSchedules{
			FlagSetting: tab("schedules"), Ramp: make([]flagpages.RampRow, 2),
			Schedules: []migration.FlagSchedule{
				{
					ID: "s1", At: storyTime.Add(time.Hour),
					Move:  &migration.StageMove{To: migration.StageLive, Ramp: 50},
					State: migration.SchedulePending, CreatedBy: "ada",
				}},
		},
	))
	out["flag-workers"] = flagStory(flagpages.FlagWorkersPage(
		flagpages.FlagWorkers{FlagSetting: tab("workers"), Workers: readers},
	))
	out["flag-keys"] = flagStory(flagpages.FlagKeysPage(
		flagpages.FlagKeys{
			FlagSetting: tab("keys"),
			Keys: []migration.APIKey{
				{
					ID: "k1", Name: "checkout", Set: mid, Prefix: "swy_ab12",
					RatePerSecond: 200, CreatedBy: "ada",
					CreatedAt: storyTime.Add(-time.Hour),
				},
			},
			Token: "swy_example", Name: "web", Rate: "0",
		},
	))
	return out
}

func flagStory(page templ.Component) story {
	return story{frame: frame("Flags", "flags", "/m/order-pipeline/flags", engineer), page: page}
}
