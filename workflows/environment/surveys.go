package environment

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
	// surveyFresh is how old what a survey says may be before it is read again. Walking
	// over every key of a large server takes minutes, so that waits for walkRests times as
	// long as the last walk took; until then only what costs little is read again.
	surveyFresh = 30 * time.Second
	walkRests   = 5
	// surveyStale is how old a reading may be before it says nothing any more; a walk may
	// be as much older as it rests and takes.
	surveyStale = 2 * time.Minute
	// SurveyPatience is how long somebody who asks is kept waiting for the first one.
	SurveyPatience = 2 * time.Second
)

// SideSurvey is the latest survey of one side. Error says why there is none, or none that
// is recent; then Survey may still be an old one.
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

// Surveys takes surveys in the background, one at a time per server, and remembers the last
// of each.
type Surveys struct {
	ctx context.Context //nolint:containedctx // ends with the process
	now func() time.Time

	mu   sync.Mutex
	last map[string]*surveyState // by address
}

type surveyState struct {
	survey      bullmq.Survey
	walkErr     error
	readErr     error
	walking     chan struct{} // closed when the walk under way ends; nil: none is
	reading     chan struct{} // the same of what is read again
	seen, total int64
}

func newSurveys(ctx context.Context, now func() time.Time) *Surveys {
	return &Surveys{ctx: ctx, now: now, last: map[string]*surveyState{}}
}

// Get gives the last survey of a server. It has what is old read again, and waits a moment for it.
func (s *Surveys) Get(
	ctx context.Context,
	side string,
	c redis.UniversalClient,
	e redisconn.Endpoint,
	err error,
	patience time.Duration,
) SideSurvey {
	out := SideSurvey{Side: side, Endpoint: e.Name, Address: e.Address()}
	if err != nil {
		out.Error = InWords(err)
		return out
	}
	s.mu.Lock()
	st := s.last[e.Address()]
	if st == nil {
		st = &surveyState{}
		s.last[e.Address()] = st
	}
	if st.walking == nil && s.now().Sub(st.survey.At) > max(surveyFresh, walkRests*st.survey.Took) {
		st.walking = make(chan struct{})
		go s.walk(st, c)
	}
	if st.reading == nil && !st.survey.At.IsZero() && s.now().Sub(st.survey.ReadAt) > surveyFresh {
		st.reading = make(chan struct{})
		go s.read(st, c)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for _, wait := range []chan struct{}{st.reading, st.walking} {
		s.mu.Unlock()
		if wait != nil {
			select {
			case <-wait:
			case <-ctx.Done():
			case <-timer.C:
				timer.Reset(0)
			}
		}
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	out.Survey = st.survey
	if st.walking != nil {
		out.Reading = fmt.Sprintf("%d of about %d keys read", st.seen, st.total)
	}
	read, walked := s.now().Sub(st.survey.ReadAt), s.now().Sub(st.survey.At)
	switch {
	case st.walkErr != nil:
		out.Error = InWords(st.walkErr)
	case st.survey.At.IsZero():
		out.Error = "is being read for the first time"
	case st.readErr != nil:
		out.Error = InWords(st.readErr)
	case read > surveyStale:
		out.Error = fmt.Sprintf("was last read %s ago", migration.Words(read.Round(time.Second)))
	case walked > surveyStale+2*walkRests*st.survey.Took:
		out.Error = fmt.Sprintf("had its last full scan %s ago", migration.Words(walked.Round(time.Second)))
	}
	return out
}

// walk takes a whole survey.
func (s *Surveys) walk(st *surveyState, c redis.UniversalClient) {
	began := s.now()
	survey, err := bullmq.TakeSurvey(
		s.ctx,
		c,
		bullmq.SurveyOptions{Progress: func(seen, total int64) {
			s.mu.Lock()
			defer s.mu.Unlock()
			st.seen, st.total = seen, total
		}},
	)
	s.mu.Lock()
	defer s.mu.Unlock()
	close(st.walking)
	if st.walking, st.walkErr = nil, err; err == nil {
		survey.At, survey.ReadAt = began, began // each queue's counts are from somewhere in between
		st.survey, st.readErr = survey, nil
	}
}

// read reads again what costs little.
func (s *Surveys) read(st *surveyState, c redis.UniversalClient) {
	s.mu.Lock()
	old, began := st.survey, s.now()
	s.mu.Unlock()
	survey, err := bullmq.Refresh(s.ctx, c, old, bullmq.SurveyOptions{})
	s.mu.Lock()
	defer s.mu.Unlock()
	close(st.reading)
	st.reading = nil
	switch {
	case !st.survey.At.Equal(old.At): // a walk has ended meanwhile
	case err != nil:
		st.readErr = err
	default:
		survey.ReadAt = began
		st.survey, st.readErr = survey, nil
	}
}

// Both gives the surveys of both sides.
func (s *Surveys) Both(ctx context.Context, servers *Servers, mid string) []SideSurvey {
	source, sourceEndpoint, sourceErr := servers.Source(ctx, mid)
	target, targetEndpoint, targetErr := servers.Target(ctx)
	out := make([]SideSurvey, 2)
	var both sync.WaitGroup
	both.Go(
		func() { out[0] = s.Get(ctx, "source", source, sourceEndpoint, sourceErr, SurveyPatience) },
	)
	both.Go(
		func() { out[1] = s.Get(ctx, "target", target, targetEndpoint, targetErr, SurveyPatience) },
	)
	both.Wait()
	return out
}
