package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// decode reads a JSON body strictly: unknown fields are a mistake, so that a misspelt one is not silently ignored. An empty body leaves v.
func decode(c *fiber.Ctx, v any) error {
	if len(bytes.TrimSpace(c.Body())) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(c.Body()))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return migration.Errorf(migration.Invalid, "the body is not the JSON that is expected: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return migration.Errorf(migration.Invalid, "the body holds more than one JSON value")
	}
	return nil
}

// whole reads a query parameter that is a whole number and not negative.
func whole(c *fiber.Ctx, name string, missing int64) (int64, error) {
	text := c.Query(name)
	if text == "" {
		return missing, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, migration.Errorf(migration.Invalid, "%s must be a whole number, 0 or more", name)
	}
	return n, nil
}

const maxLimit = 1000

// limited reads the query parameter limit.
func limited(c *fiber.Ctx, missing int64) (int, error) {
	n, err := whole(c, "limit", missing)
	if err == nil && (n < 1 || n > maxLimit) {
		err = migration.Errorf(migration.Invalid, "limit must be from 1 to %d", maxLimit)
	}
	return int(n), err
}

// answer sends a value, or hands on the error.
func answer[T any](c *fiber.Ctx, v T, err error) error {
	if err != nil {
		return err
	}
	return c.JSON(v)
}

func (s *Server) apiDocument(c *fiber.Ctx) error {
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Send(api.OpenAPI())
}

func (s *Server) apiSignIn(c *fiber.Ctx) error {
	var in api.Credentials
	if err := decode(c, &in); err != nil {
		return err
	}
	token, actor, err := s.control.SignIn(c.UserContext(), in.Name, in.Password, c.IP())
	if err != nil {
		return err
	}
	c.Status(http.StatusCreated)
	return c.JSON(api.Session{Token: token, Actor: actor})
}

func (s *Server) apiWhoAmI(c *fiber.Ctx) error {
	return c.JSON(api.Session{Actor: identityOf(c).Actor})
}

func (s *Server) apiSignOut(c *fiber.Ctx) error {
	if err := s.control.SignOut(c.UserContext(), identityOf(c).token); err != nil {
		return err
	}
	return c.SendStatus(http.StatusNoContent)
}

func (s *Server) apiMigrations(c *fiber.Ctx) error {
	all, err := s.control.Migrations(c.UserContext())
	return answer(c, api.MigrationList{Migrations: list(all)}, err)
}

func (s *Server) apiOverview(c *fiber.Ctx) error {
	o, err := s.control.Overview(c.UserContext(), c.Params("mid"))
	return answer(c, o, err)
}

func (s *Server) apiCriteria(c *fiber.Ctx) error {
	o, err := s.control.Overview(c.UserContext(), c.Params("mid"))
	return answer(c, api.CriteriaList{Criteria: o.Checklist}, err)
}

func (s *Server) apiEvidence(c *fiber.Ctx) error {
	limit, err := limited(c, 50)
	if err != nil {
		return err
	}
	check := c.Query("check")
	if _, known := evidence.Of(check); check != "" && !known {
		return migration.Errorf(migration.Invalid, "there is no check %q", check)
	}
	all, err := s.control.Evidence(c.UserContext(), c.Params("mid"), check, limit)
	return answer(c, api.EvidenceList{Evidence: list(all)}, err)
}

func (s *Server) apiSteps(c *fiber.Ctx) error {
	o, err := s.control.Overview(c.UserContext(), c.Params("mid"))
	return answer(c, api.StepList{Steps: list(o.Steps), NextSteps: list(o.NextSteps)}, err)
}

func (s *Server) apiPlan(c *fiber.Ctx) error {
	p, err := params(c.Query("to"), c.Query("ramp"))
	if err != nil {
		return err
	}
	plan, err := s.control.Plan(c.UserContext(), c.Params("mid"), c.Params("step"), p)
	return answer(c, plan, err)
}

func (s *Server) apiStart(c *fiber.Ctx) error {
	var in api.Start
	if err := decode(c, &in); err != nil {
		return err
	}
	mid := c.Params("mid")
	r, err := s.control.Start(c.UserContext(), identityOf(c).Actor, mid, c.Params("step"), in.Params, in.PlanHash)
	if migration.KindOf(err) == migration.Conflict {
		if o, viewErr := s.control.Overview(c.UserContext(), mid); viewErr == nil && o.OpenRun != nil {
			return &inTheWayError{err, o.OpenRun.ID}
		}
	}
	return created(c, r, err)
}

// created answers with the run that a verb made.
func created(c *fiber.Ctx, r migration.Run, err error) error {
	if err != nil {
		return err
	}
	c.Location("/api/v1/runs/" + r.ID)
	c.Status(http.StatusCreated)
	return c.JSON(r)
}

func (s *Server) apiRuns(c *fiber.Ctx) error {
	limit, err := limited(c, 50)
	if err != nil {
		return err
	}
	if _, err := s.migration(c); err != nil {
		return err
	}
	runs, err := s.control.Runs(c.UserContext(), c.Params("mid"), c.Query("step"), limit)
	return answer(c, api.RunList{Runs: list(runs)}, err)
}

func (s *Server) apiRun(c *fiber.Ctx) error {
	r, err := s.control.Run(c.UserContext(), c.Params("run"))
	return answer(c, r, err)
}

func (s *Server) apiLog(c *fiber.Ctx) error {
	after, err := whole(c, "after", 0)
	if err != nil {
		return err
	}
	limit, err := limited(c, maxLimit)
	if err != nil {
		return err
	}
	if _, err := s.control.Run(c.UserContext(), c.Params("run")); err != nil {
		return err
	}
	lines, err := s.control.Log(c.UserContext(), c.Params("run"), after, limit)
	page := api.LogPage{Lines: list(lines), Next: after}
	if len(lines) > 0 {
		page.Next = lines[len(lines)-1].Seq
	}
	return answer(c, page, err)
}

func (s *Server) apiRollbackPlan(c *fiber.Ctx) error {
	plan, err := s.control.RollbackPlan(c.UserContext(), c.Params("run"))
	return answer(c, plan, err)
}

func (s *Server) apiApprove(c *fiber.Ctx) error { return s.apiDecide(c, true) }
func (s *Server) apiReject(c *fiber.Ctx) error  { return s.apiDecide(c, false) }

func (s *Server) apiDecide(c *fiber.Ctx, approve bool) error {
	var in api.Decision
	if err := decode(c, &in); err != nil {
		return err
	}
	r, err := s.control.Decide(c.UserContext(), identityOf(c).Actor, c.Params("run"),
		workflows.Decision{Approve: approve, Comment: in.Comment, ConfirmName: in.ConfirmName, PlanHash: in.PlanHash, Action: in.Action})
	return answer(c, r, err)
}

func (s *Server) apiCancel(c *fiber.Ctx) error {
	r, err := s.control.Cancel(c.UserContext(), identityOf(c).Actor, c.Params("run"))
	return answer(c, r, err)
}

func (s *Server) apiPause(c *fiber.Ctx) error {
	r, err := s.control.Pause(c.UserContext(), identityOf(c).Actor, c.Params("run"))
	return answer(c, r, err)
}

func (s *Server) apiResume(c *fiber.Ctx) error {
	r, err := s.control.Resume(c.UserContext(), identityOf(c).Actor, c.Params("run"))
	return answer(c, r, err)
}

func (s *Server) apiRollback(c *fiber.Ctx) error {
	r, err := s.control.Rollback(c.UserContext(), identityOf(c).Actor, c.Params("run"))
	return created(c, r, err)
}

// queueStates are the states that a census shows, in the order of a job's life.
var queueStates = []string{"waiting", "prioritized", "delayed", "waiting-children", "active", "failed", "completed"}

func (s *Server) board(c *fiber.Ctx) (api.QueueBoard, error) {
	b, err := s.control.Queues(c.UserContext(), c.Params("mid"))
	if err != nil {
		return api.QueueBoard{}, err
	}
	out := api.QueueBoard{At: b.At, Sides: []api.QueueSide{}}
	for _, side := range b.Sides {
		qs := api.QueueSide{Endpoint: api.Endpoint{Side: side.Side, Endpoint: side.Endpoint, Address: side.Address, Error: side.Error}, Queues: []api.Queue{}, Looking: side.Looking}
		for _, q := range side.Queues {
			qs.Queues = append(qs.Queues, census(q))
		}
		out.Sides = append(out.Sides, qs)
	}
	return out, nil
}

func census(q bullmq.Counts) api.Queue {
	return api.Queue{Queue: q.Queue, Version: q.Version, Paused: q.Paused, Pending: q.Pending(), OldestJobAgeMS: q.OldestJobAgeMS, States: map[string]int64{
		"waiting": q.Waiting, "prioritized": q.Prioritized, "delayed": q.Delayed, "waiting-children": q.WaitingChildren, "active": q.Active, "failed": q.Failed,
		"completed": q.Completed,
	}}
}

func (s *Server) apiQueues(c *fiber.Ctx) error {
	b, err := s.board(c)
	return answer(c, b, err)
}

func (s *Server) apiQueue(c *fiber.Ctx) error {
	q, err := s.control.Queue(c.UserContext(), c.Params("mid"), unescaped(c.Params("queue")))
	return answer(c, q, err)
}

func (s *Server) apiCutoverReport(c *fiber.Ctx) error {
	r, err := s.control.CutoverReport(c.UserContext(), c.Params("mid"))
	return answer(c, r, err)
}

func (s *Server) apiExport(c *fiber.Ctx) error {
	e, err := s.control.Export(c.UserContext(), c.Params("mid"), c.Params("format"))
	return answer(c, e, err)
}

func (s *Server) apiRedisAudit(c *fiber.Ctx) error {
	a, err := s.control.RedisAudit(c.UserContext(), c.Params("mid"))
	return answer(c, a, err)
}

func (s *Server) apiCapacity(c *fiber.Ctx) error {
	a, err := s.control.Capacity(c.UserContext(), c.Params("mid"))
	return answer(c, a, err)
}

func (s *Server) apiLedger(c *fiber.Ctx) error {
	l, err := s.control.LedgerOverview(c.UserContext(), c.Params("mid"))
	return answer(c, l, err)
}

func (s *Server) apiLedgerExceptions(c *fiber.Ctx) error {
	f := workflows.LedgerFilter{Verdict: c.Query("verdict"), State: c.Query("state")}
	var err error
	if f.Limit, err = strconv.Atoi(c.Query("limit", "100")); err != nil {
		return migration.Errorf(migration.Invalid, "limit %.40q is no number", c.Query("limit"))
	}
	if f.Offset, err = strconv.Atoi(c.Query("offset", "0")); err != nil {
		return migration.Errorf(migration.Invalid, "offset %.40q is no number", c.Query("offset"))
	}
	found, total, err := s.control.LedgerExceptions(c.UserContext(), c.Params("mid"), f)
	return answer(c, api.LedgerExceptionList{Exceptions: found, Total: total}, err)
}

func (s *Server) apiLedgerOrder(c *fiber.Ctx) error {
	o, err := s.control.LedgerOrder(c.UserContext(), c.Params("mid"), c.Query("id"))
	return answer(c, o, err)
}

func (s *Server) apiJobs(c *fiber.Ctx) error {
	found, err := s.control.FindJobs(c.UserContext(), identityOf(c).Actor, c.Params("mid"), c.Query("id"))
	return answer(c, found, err)
}

func (s *Server) apiSearchJobs(c *fiber.Ctx) error {
	var in api.JobSearch
	if err := decode(c, &in); err != nil {
		return err
	}
	found, err := s.control.SearchJobs(c.UserContext(), identityOf(c).Actor, c.Params("mid"), in)
	return answer(c, found, err)
}

func (s *Server) apiChangeJob(c *fiber.Ctx) error {
	var in api.JobChange
	if err := decode(c, &in); err != nil {
		return err
	}
	if err := s.control.ChangeJob(c.UserContext(), identityOf(c).Actor, c.Params("mid"), in); err != nil {
		return err
	}
	return c.SendStatus(http.StatusNoContent)
}

func (s *Server) apiEndpoints(c *fiber.Ctx) error {
	b, err := s.board(c)
	out := api.EndpointList{Endpoints: []api.Endpoint{}}
	for _, side := range b.Sides {
		out.Endpoints = append(out.Endpoints, side.Endpoint)
	}
	return answer(c, out, err)
}

func (s *Server) apiWorkers(c *fiber.Ctx) error {
	if _, err := s.migration(c); err != nil {
		return err
	}
	all, err := s.control.Workers(c.UserContext(), c.Params("mid"))
	return answer(c, api.WorkerList{Workers: list(all)}, err)
}

func (s *Server) apiAudit(c *fiber.Ctx) error {
	before, err := whole(c, "before", 0)
	if err != nil {
		return err
	}
	limit, err := limited(c, 50)
	if err != nil {
		return err
	}
	entries, err := s.control.Audit(c.UserContext(), before, limit)
	page := api.AuditPage{Entries: list(entries)}
	if len(entries) == limit {
		page.Next = entries[len(entries)-1].Seq
	}
	return answer(c, page, err)
}

// apiAttest takes in what a worker says of itself. Fields that this version does not know are ignored: workers may be newer.
func (s *Server) apiAttest(c *fiber.Ctx) error {
	var in fleet.Attestation
	if err := json.Unmarshal(c.Body(), &in); err != nil {
		return migration.Errorf(migration.Invalid, "the attestation is not readable: %w", err)
	}
	if err := s.readers.Fleet.Attest(in, whoAsks(c, readerOf(c))); err != nil {
		return err
	}
	return c.SendStatus(http.StatusNoContent)
}

// list makes an empty list [] in JSON instead of null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
