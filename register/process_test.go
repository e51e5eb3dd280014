package register_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// command is a process of its own for an order.
func command(t *testing.T, o order) *exec.Cmd {
	text, err := json.Marshal(o)
	if err != nil {
		t.Error(err)
	}
	executable, err := os.Executable()
	if err != nil {
		t.Error(err)
	}
	cmd := exec.Command(executable)
	cmd.Env = append(os.Environ(), "REGISTER_TEST_ORDER="+string(text))
	return cmd
}

// inProcess runs an order in a process of its own, and ends it after a while
// if kill is not negative.
func inProcess(t *testing.T, o order, kill time.Duration, gentle bool) (code int, log string) {
	cmd := command(t, o)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return -1, ""
	}
	if kill >= 0 {
		timer := time.AfterFunc(kill, func() {
			if gentle {
				_ = cmd.Process.Signal(syscall.SIGTERM)
			} else {
				_ = cmd.Process.Kill()
			}
		})
		defer timer.Stop()
	}
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode(), strings.TrimSpace(stderr.String())
}
