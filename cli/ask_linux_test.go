package cli

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal gives both ends of a new one.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal("this machine makes no terminals:", err)
	}
	fd := int(person.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = person.Close(), program.Close() })
	return person, program
}

// echoes says whether the terminal shows what is typed.
func echoes(f *os.File) bool {
	state, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil && state.Lflag&unix.ECHO != 0
}

func TestASecretIsNotShownOnATerminal(t *testing.T) {
	t.Parallel()
	person, program := terminal(t)
	a := atTerminal(program, program)
	if a == nil {
		t.Fatal("it is no terminal")
	}
	shown := make(chan string, 1)
	go func() {
		var all strings.Builder
		buf := make([]byte, 1024)
		typedSecret := false
		for !strings.Contains(all.String(), "app: ") {
			n, err := person.Read(buf)
			if err != nil {
				break
			}
			all.Write(buf[:n])
			if !typedSecret && strings.Contains(all.String(), "source (not shown): ") {
				typedSecret = true
				for echoes(program) { // until right behind the question
					time.Sleep(time.Millisecond)
				}
				_, _ = person.WriteString("canary-s3cret\n")
			}
		}
		_, _ = person.WriteString("http://x\n")
		shown <- all.String()
	}()
	secret, err := a.askSecret(t.Context(), "source")
	if err != nil || secret.Reveal() != "canary-s3cret" {
		t.Errorf("%d bytes, %v", len(secret.Reveal()), err)
	}
	if app, err := a.ask(t.Context(), "app", ""); err != nil || app != "http://x" {
		t.Errorf("%q, %v", app, err)
	}
	if s := <-shown; strings.Contains(s, "canary") {
		t.Errorf("shown: %q", s)
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if atTerminal(file, program) != nil || atTerminal(program, file) != nil {
		t.Error("a file is taken for a terminal")
	}
}
