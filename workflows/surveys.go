package workflows

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

const (
	// surveyFresh is how old a survey may be before another one is begun, and at least three times as long as it took; surveyStale how old before it
	// says nothing any more.
	surveyFresh = 30 * time.Second
	surveyStale = 30 * time.Minute
	// surveyPatience is how long somebody who asks is kept waiting for the first one.
	surveyPatience = 2 * time.Second
)

// SideSurvey is the latest survey of one side. Error says why there is none, or none that is recent; then Survey may still be an old one.
type SideSurvey struct {
	Side     string        `json:"side"` // source, target
	Endpoint string        `json:"endpoint"`
	Address  string        `json:"address"`
	Error    string        `json:"error,omitempty"`
	Reading  string        `json:"reading,omitempty"` // how far the one that is being taken is
	Survey   bullmq.Survey `json:"survey"`
}

// Usable reports whether the survey may be relied on.
func (s SideSurvey) Usable() bool { return s.Error == "" && !s.Survey.At.IsZero() }

// surveys takes surveys in the background, one at a time per server, and remembers the last of each.
type surveys struct {
	ctx context.Context // ends with the process
	now func() time.Time

	mu   sync.Mutex
	last map[string]*surveyState // by address
}

type surveyState struct {
	survey      bullmq.Survey
	err         error
	done        chan struct{} // closed when the survey under way ends; nil: none is
	seen, total int64
}

func newSurveys(ctx context.Context, now func() time.Time) *surveys {
	return &surveys{ctx: ctx, now: now, last: map[string]*surveyState{}}
}

// get gives the last survey of a server and begins another one when it is old, waiting a moment for it.
func (s *surveys) get(ctx context.Context, side string, c redis.UniversalClient, e redisconn.Endpoint, err error, patience time.Duration) SideSurvey {
	out := SideSurvey{Side: side, Endpoint: e.Name, Address: e.Address()}
	if err != nil {
		out.Error = inWords(err)
		return out
	}
	s.mu.Lock()
	st := s.last[e.Address()]
	if st == nil {
		st = &surveyState{}
		s.last[e.Address()] = st
	}
	if st.done == nil && s.now().Sub(st.survey.At) > max(surveyFresh, 3*st.survey.Took) {
		st.done = make(chan struct{})
		go s.take(st, c)
	}
	done := st.done
	s.mu.Unlock()
	if done != nil {
		select {
		case <-done:
		case <-ctx.Done():
		case <-time.After(patience):
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out.Survey = st.survey
	if st.done != nil {
		out.Reading = fmt.Sprintf("%d of about %d keys read", st.seen, st.total)
	}
	switch age := s.now().Sub(st.survey.At); {
	case st.err != nil:
		out.Error = inWords(st.err)
	case st.survey.At.IsZero():
		out.Error = "is being read for the first time"
	case age > surveyStale:
		out.Error = fmt.Sprintf("was last read %s ago", age.Round(time.Second))
	}
	return out
}

func (s *surveys) take(st *surveyState, c redis.UniversalClient) {
	survey, err := bullmq.TakeSurvey(s.ctx, c, bullmq.SurveyOptions{Progress: func(seen, total int64) {
		s.mu.Lock()
		defer s.mu.Unlock()
		st.seen, st.total = seen, total
	}})
	s.mu.Lock()
	defer s.mu.Unlock()
	close(st.done)
	if st.done, st.err = nil, err; err == nil {
		st.survey = survey
	}
}

// inWords is what a person is told of an error of a server.
func inWords(err error) string {
	if migration.KindOf(err) != migration.Internal {
		return err.Error()
	}
	if explained := redisconn.Explain(err); migration.KindOf(explained) != migration.Internal {
		return explained.Error()
	}
	return "cannot be read"
}

// Surveys gives what is known of the queues on both sides, and has it read again when it is old.
func (c *Control) Surveys(ctx context.Context, mid string) ([]SideSurvey, error) {
	if _, err := c.store.Migration(ctx, mid); err != nil {
		return nil, err
	}
	return c.estate.surveyBoth(ctx, mid), nil
}

func (e *Estate) surveyBoth(ctx context.Context, mid string) []SideSurvey {
	source, sourceEndpoint, sourceErr := e.Source(ctx, mid)
	target, targetEndpoint, targetErr := e.Target(ctx)
	out := make([]SideSurvey, 2)
	var both sync.WaitGroup
	both.Go(func() { out[0] = e.surveys.get(ctx, "source", source, sourceEndpoint, sourceErr, surveyPatience) })
	both.Go(func() { out[1] = e.surveys.get(ctx, "target", target, targetEndpoint, targetErr, surveyPatience) })
	both.Wait()
	return out
}
