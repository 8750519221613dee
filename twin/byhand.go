package twin

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/switchyard-dev/switchyard/migration"
)

// Where the managed Redis of a twin comes from, and with it who looks after everything
// else.
const (
	// ManagedUpstash: stand-ins of Upstash's, Linode's and Heroku's APIs.
	ManagedUpstash = "upstash"
	// ManagedURL: it is there from the start, at a URL, and nothing has an API: a person
	// switches the machines off and sets the app's variables. The methods below are what
	// that person does.
	ManagedURL = "url"
)

// targetVar is the app's variable with the managed server's URL.
const targetVar = "TARGET_REDIS_URL"

// Machine states that a person brought about; a machine without one runs.
const (
	machineOff  = "off"
	machineGone = "gone"
)

// ByHand reports whether a person does what otherwise an API is asked for.
func (t *Twin) ByHand() bool { return t.cfg.Managed == ManagedURL }

// settle chooses between the kinds of twins. One that exists stays what it is.
func (t *Twin) settle() error {
	kind := t.cfg.Managed
	if kind == "" {
		kind = t.state.Managed
	}
	if kind == "" {
		kind = ManagedUpstash
	}
	if kind != ManagedUpstash && kind != ManagedURL {
		return migration.Errorf(migration.Invalid, "a managed Redis is at %s or %s, not %q",
			ManagedUpstash, ManagedURL, kind)
	}
	if was := t.state.Managed; was != "" && was != kind {
		return migration.Errorf(
			migration.Conflict,
			"the twin in %s has its managed Redis at %s, not "+
				"%s: choose another folder with --dir, or forget this twin with make reset",
			t.cfg.Dir,
			was,
			kind,
		)
	}
	t.cfg.Managed = kind
	t.state.Managed = kind
	return t.state.save()
}

// machineRuns reports whether a machine is there and on, and so its programs run.
func (t *Twin) machineRuns(id int) bool {
	if t.ByHand() {
		return t.state.machine(machines[id].label) == ""
	}
	for _, i := range t.linode.Instances() {
		if i.ID == id {
			return i.Status == "running"
		}
	}
	return false
}

// managedPassword is that of the managed server; none while there is none.
func (t *Twin) managedPassword() (password string, there bool) {
	if t.ByHand() {
		return t.state.Secrets["managed"], true
	}
	for _, db := range t.upstash.Databases() {
		return db.Password.Reveal(), true
	}
	return "", false
}

// keptVars are the app's variables as they were left.
func (t *Twin) keptVars() map[string]string {
	if !t.ByHand() {
		vars, _ := t.heroku.ConfigVars(herokuApp)
		return vars
	}
	vars := t.appConfig()
	maps.Copy(vars, t.state.vars())
	return vars
}

// Machines are the labels of the machines of the old servers.
func (t *Twin) Machines() []string {
	var labels []string
	for _, id := range slices.Sorted(maps.Keys(machines)) {
		labels = append(labels, machines[id].label)
	}
	return labels
}

// SwitchOff switches a machine off, as a person does at its host.
func (t *Twin) SwitchOff(ctx context.Context, label string) error {
	return t.handle(ctx, label, machineOff, linodeBackend{t}.Shutdown)
}

// SwitchOn switches a machine on again.
func (t *Twin) SwitchOn(ctx context.Context, label string) error {
	return t.handle(ctx, label, "", linodeBackend{t}.Boot)
}

// Discard deletes a machine with its disks.
func (t *Twin) Discard(ctx context.Context, label string) error {
	return t.handle(ctx, label, machineGone, linodeBackend{t}.Delete)
}

// handle does something to a machine by hand and keeps what state it is in then.
func (t *Twin) handle(
	ctx context.Context, label, state string, do func(context.Context, int) error,
) error {
	if !t.ByHand() {
		return migration.Errorf(migration.Invalid,
			"machines of this twin are handled by Linode's API")
	}
	for id, m := range machines {
		if m.label != label {
			continue
		}
		if t.state.machine(label) == machineGone && state != machineGone {
			return migration.Errorf(migration.NotFound, "%s was deleted", label)
		}
		return errors.Join(do(ctx, id), t.state.setMachine(label, state))
	}
	return migration.Errorf(migration.NotFound, "there is no machine %q: there are %v", label,
		t.Machines())
}

// SetTarget gives the managed server's URL to the app and restarts it, as a person does
// in the app's environment.
func (t *Twin) SetTarget(ctx context.Context) error {
	password, _ := t.managedPassword()
	return t.edit(ctx, targetVar, t.managedEndpoint(password).URL.Reveal())
}

// UnsetTarget takes it from the app again.
func (t *Twin) UnsetTarget(ctx context.Context) error { return t.edit(ctx, targetVar, "") }

// edit changes a variable of the app by hand and restarts the app; "" removes it.
func (t *Twin) edit(_ context.Context, name, value string) error {
	if !t.ByHand() {
		return migration.Errorf(migration.Invalid,
			"the app's variables are set by Heroku's API here")
	}
	if err := t.state.setVar(name, value); err != nil {
		return err
	}
	t.mu.Lock()
	t.appVars = t.keptVars()
	t.mu.Unlock()
	return t.restartApps()
}
