package twin

import "syscall"

// dieWithParent has the kernel end the child when we are killed, and keeps a terminal's
// Ctrl-C from reaching it before we stop it in order.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
