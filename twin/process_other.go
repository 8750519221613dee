//go:build !linux

package twin

import "syscall"

// dieWithParent keeps a terminal's Ctrl-C from reaching the child before we stop it in
// order. Only Linux can end it with us.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
