package providerstest

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"sync"
)

// HerokuBackend does what the platform does to an app.
type HerokuBackend interface {
	// ConfigChanged asks for a restart of the app with these variables. It must not wait
	// for the app to be up: the platform answers the API call before the dynos have
	// restarted.
	ConfigChanged(ctx context.Context, app string, vars map[string]string) error
}

// HerokuConfig configures the stand-in. Apps are the variables at the first start;
// afterwards the state file counts.
type HerokuConfig struct {
	Token     string
	Apps      map[string]map[string]string
	Backend   HerokuBackend
	StatePath string // JSON, mode 0600: config vars hold credentials
}

// Heroku is a stand-in for the Heroku Platform API v3, the part about config vars
// (https://api.heroku.com).
//
// Kept: Bearer token; the Accept header that names version 3 (else 406); GET and PATCH
// /apps/{app}/config-vars, null deletes; every PATCH restarts the app, also one that
// changes nothing; the answer carries all variables; error bodies {"id","message"};
// statuses 400 401 404 406 422 429.
//
// Left out: app ids (names only), releases, add-ons, the RateLimit-Remaining header,
// protected add-on variables.
type Heroku struct {
	Faults
	cfg  HerokuConfig
	mu   sync.Mutex
	apps map[string]map[string]string
}

var herokuVar = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// NewHeroku returns the stand-in. Errors: incomplete configuration, unreadable state file.
func NewHeroku(cfg HerokuConfig) (*Heroku, error) {
	if cfg.Token == "" || cfg.Backend == nil {
		return nil, errors.New("heroku stand-in needs Token and Backend")
	}
	h := &Heroku{cfg: cfg, apps: map[string]map[string]string{}}
	var saved map[string]map[string]string
	if err := loadState(cfg.StatePath, &saved); err != nil {
		return nil, err
	}
	if saved == nil {
		saved = cfg.Apps
	}
	for app, vars := range saved {
		h.apps[app] = map[string]string{}
		maps.Copy(h.apps[app], vars)
	}
	return h, nil
}

// ConfigVars returns the app's variables; ok is false for an app that does not exist.
func (h *Heroku) ConfigVars(app string) (vars map[string]string, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	vars, ok = h.apps[app]
	return maps.Clone(vars), ok
}

// ServeHTTP implements http.Handler.
func (h *Heroku) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !bearer(r, h.cfg.Token) {
		herokuError(w, http.StatusUnauthorized, "unauthorized", "Invalid credentials provided.")
		return
	}
	h.serve(w, r, func(w http.ResponseWriter, status int, message string) {
		id := "internal_server_error"
		if status == http.StatusTooManyRequests {
			id, message = "rate_limit", "Your account reached the API rate limit"
		}
		herokuError(w, status, id, message)
	}, h.route)
}

func (h *Heroku) route(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.Header.Get("Accept"), "application/vnd.heroku+json; version=3") {
		herokuError(
			w,
			http.StatusNotAcceptable,
			"not_acceptable",
			"Set the Accept header application/vnd.heroku+json; version=3",
		)
		return
	}
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(path) != 3 || path[0] != "apps" || path[2] != "config-vars" ||
		r.Method != http.MethodGet && r.Method != http.MethodPatch {
		herokuError(
			w,
			http.StatusNotFound,
			"not_found",
			"The requested API endpoint was not found.",
		)
		return
	}
	// Held across the backend call, so that restarts are asked for in the order of the changes.
	h.mu.Lock()
	defer h.mu.Unlock()
	vars, ok := h.apps[path[1]]
	if !ok {
		herokuError(w, http.StatusNotFound, "not_found", "Couldn't find that app.")
		return
	}
	if r.Method == http.MethodGet {
		send(w, http.StatusOK, vars)
		return
	}
	h.patch(w, r, path[1])
}

// patch changes an app's variables; mu is held.
func (h *Heroku) patch(w http.ResponseWriter, r *http.Request, app string) {
	var raw map[string]any
	if err := decode(w, r, &raw); err != nil || raw == nil {
		herokuError(
			w,
			http.StatusBadRequest,
			"bad_request",
			"Unable to parse the JSON request body.",
		)
		return
	}
	next := maps.Clone(h.apps[app])
	for name, value := range raw {
		text, isText := value.(string)
		switch {
		case !herokuVar.MatchString(name):
			herokuError(
				w,
				http.StatusUnprocessableEntity,
				"invalid_params",
				"Config var names are letters, digits and underscores.",
			)
			return
		case value == nil:
			delete(next, name)
		case isText:
			next[name] = text
		default:
			herokuError(
				w,
				http.StatusUnprocessableEntity,
				"invalid_params",
				"Config var "+name+" must be a string or null.",
			)
			return
		}
	}
	before := h.apps[app]
	h.apps[app] = next
	if err := saveState(h.cfg.StatePath, h.apps); err != nil {
		h.apps[app] = before
		herokuError(w, http.StatusInternalServerError, "internal_server_error", err.Error())
		return
	}
	if err := h.cfg.Backend.ConfigChanged(context.WithoutCancel(r.Context()), app, maps.Clone(next)); err != nil {
		// Taken back, else the next attempt would find the variables set and the app never
		// restarted.
		h.apps[app] = before
		err = errors.Join(err, saveState(h.cfg.StatePath, h.apps))
		herokuError(
			w,
			http.StatusInternalServerError,
			"internal_server_error",
			"The app did not restart: "+err.Error(),
		)
		return
	}
	send(w, http.StatusOK, next)
}

func herokuError(w http.ResponseWriter, status int, id, message string) {
	send(w, status, map[string]string{"id": id, "message": message})
}
