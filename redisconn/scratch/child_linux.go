package scratch

import "syscall"

// childAttr has the kernel end the server when this process ends, however that ends.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
