package evidence

import (
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Attestation is the id of the check of the connection options that the app reports.
const Attestation = "breaker-attestation"

var attestationCheck = New(Check{
	ID:    Attestation,
	Title: "Breaker options",
	Limit: "every producer has enableOfflineQueue false, commandTimeout set and " +
		"skipWaitingForReady on, and no producer's queue is left out of the drill or the " +
		"attestation",
	Next:    "set the safe producer options in the app",
	Before:  migration.StageDualWrite,
	MaxAge:  5 * time.Minute,
	Watched: true,
	Told:    true,
}, coverAttestation, judgeAttestation)

// AttestationFacts is the evidence of Attestation.
type AttestationFacts struct {
	Producers []ProducerOptions `json:"producers"`
	// Undrilled are queues of these producers that the last breaker drill did not try;
	// none before the first.
	Undrilled []string `json:"undrilled,omitempty"`
	// Unattested are queues of which the scanned source makes a producer, and of which no
	// app attests one, now or at the last drill.
	Unattested []string `json:"unattested,omitempty"`
	// Unproduced are routed queues of which no app attests a producer: nobody knows what their
	// adds do while Redis is down.
	Unproduced []string `json:"unproduced,omitempty"`
	// ScanOnly are such queues too, but of commands that end, by the configuration.
	ScanOnly []string `json:"scan_only,omitempty"`
	// Asked is every worker that should attest. Facts of earlier versions have none.
	Asked migration.Coverage `json:"asked,omitzero"`
}

// ProducerOptions is what a running app attests about one producer connection.
type ProducerOptions struct {
	Instance           string `json:"instance"`
	Queue              string `json:"queue"`
	Side               string `json:"side"`
	Endpoint           string `json:"endpoint"`
	EnableOfflineQueue *bool  `json:"enable_offline_queue"`
	CommandTimeoutMS   int64  `json:"command_timeout_ms"`
	// SkipWaitingForReady: BullMQ does not wait for the connection when the app starts
	// while Redis is down.
	SkipWaitingForReady *bool `json:"skip_waiting_for_ready"`
}

func coverAttestation(f AttestationFacts) migration.Coverage {
	c := migration.Coverage{Of: "producer connection",
		Found: "the attestations of live workers, and the scanned source"}
	c.Members = append(c.Members, f.Asked.Members...)
	for _, p := range f.Producers {
		key := p.Instance + "/" + p.Queue + "/" + p.Side
		c.Members = append(c.Members, migration.Member{Key: "producer:" + key, Name: key,
			Verdict: migration.Met})
	}
	for _, q := range f.Unattested {
		c.Members = append(c.Members, migration.Member{Key: "producer:scan/" + q, Name: q,
			Why: "the source makes a producer that no app attests"})
	}
	for _, q := range f.Unproduced {
		c.Members = append(c.Members, migration.Member{Key: "producer:routed/" + q, Name: q,
			Why: "it is routed, and no app attests a producer of it"})
	}
	return c
}

func judgeAttestation(f AttestationFacts) (bool, string, error) {
	if len(f.Producers) == 0 {
		return false, "", errors.New("no live worker reports a producer connection")
	}
	for _, p := range f.Producers {
		where := fmt.Sprintf("%s on %s of %s", p.Queue, p.Endpoint, p.Instance)
		switch {
		case p.EnableOfflineQueue == nil:
			return false, "", fmt.Errorf("%s does not say whether enableOfflineQueue is off",
				where)
		case *p.EnableOfflineQueue:
			return false, where + " has enableOfflineQueue on: an add waits instead of " +
				"failing when Redis is down", nil
		case p.CommandTimeoutMS <= 0:
			return false, where + " has no commandTimeout: an add hangs on a frozen server", nil
		case p.CommandTimeoutMS > longestWaitMS:
			return false, fmt.Sprintf("%s has a commandTimeout of %s: no payment provider waits "+
				"longer than %s for an answer", where, seconds(p.CommandTimeoutMS),
				seconds(longestWaitMS)), nil
		case p.SkipWaitingForReady == nil:
			return false, "", fmt.Errorf("%s does not say whether skipWaitingForReady is on",
				where)
		case !*p.SkipWaitingForReady:
			return false, where + " has skipWaitingForReady off: an add hangs when the app " +
				"starts while Redis is down", nil
		}
	}
	if len(f.Undrilled) > 0 {
		return false, fmt.Sprintf("a producer is attested that the last drill did not try (%s): "+
			"run the step Circuit-breaker drill again", list(f.Undrilled)), nil
	}
	if len(f.Unattested) > 0 {
		return false, fmt.Sprintf("the source makes producers that no app attests (%s): attest "+
			"them and run the step Circuit-breaker drill, or name queues of commands that end "+
			"under drill.scan_only", list(f.Unattested)), nil
	}
	measured := fmt.Sprintf("producer connections that attest enableOfflineQueue: false with "+
		"a commandTimeout, and skipWaitingForReady: %d", len(f.Producers))
	if len(f.ScanOnly) > 0 {
		measured += "; neither attested nor drilled, by the configuration: " + list(f.ScanOnly)
	}
	return true, measured, nil
}
