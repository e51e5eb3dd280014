package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sync/errgroup"

	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/testdata"
)

func TestMain(m *testing.M) {
	commands := map[string]func(){"meti": main}
	if _, err := exec.LookPath("curl"); err != nil || strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") == "curl" {
		commands["curl"] = curl
	}
	testscript.Main(m, commands)
}

// TestScripts runs testdata/script: the real command in a process of its own,
// against a real emulator in another. Beside testscript's own commands they use
//
//	emulator [FLAG…]       start one, and point the environment at it
//	code N meti ARG…       run meti and want exit code N; see secretsKept
//	signal NAME N meti …   run meti, signal it when a server took its request, want exit code N
//	serve STATUS [FILE]    point METI_BASE_URL at a server that answers this to everything
//	requests OP N          want N requests of an operation at the emulator (-admin)
//	runs N P meti ARG…     run meti N times, P at a time; each must succeed
//	proxy                  point HTTPS_PROXY at one that asks for another password
//	connects N             want N requests at that proxy
//	keep NAME REGEXP       put what REGEXP finds in stdout into a variable
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Values[serverKey{}] = new(server)
			env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, "cache"))
			if cache, err := exec.Command("go", "env", "GOCACHE").Output(); err == nil {
				env.Setenv("GOCACHE", strings.TrimSpace(string(cache)))
			}
			return os.WriteFile(filepath.Join(env.WorkDir, "fields.geojson"), testdata.Fields, 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"emulator": startEmulator, "code": code, "signal": interrupt, "serve": serve, "requests": requests, "runs": runs, "keep": keep,
			"proxy": proxy, "connects": connects,
		},
	})
}

// startEmulator runs "meti emulator" until the script ends; then it has to end
// by itself on SIGTERM, with 0, and without another word on stdout. Windows has no
// signal to tell that to a process of its own.
func startEmulator(ts *testscript.TestScript, _ bool, args []string) {
	cmd := exec.CommandContext(context.Background(), meti(ts), append([]string{"emulator"}, args...)...)
	cmd.Env = append(os.Environ(), "METI_CLIENT_SECRET=")
	cmd.Dir = ts.MkAbs(".")
	log, err := os.Create(ts.MkAbs("emulator.log"))
	ts.Check(err)
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	out := bufio.NewReader(stdout)
	ts.Defer(func() {
		if runtime.GOOS == "windows" {
			ts.Check(cmd.Process.Kill())
			_ = cmd.Wait()
			return
		}
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
		rest, _ := io.ReadAll(out)
		if err := cmd.Wait(); err != nil || len(rest) > 0 {
			ts.Fatalf("the emulator ended with %v, and more on stdout: %q", err, rest)
		}
	})
	line, err := out.ReadString('\n')
	if err != nil {
		ts.Fatalf("no ready line: %v\n%s", err, ts.ReadFile("emulator.log"))
	}
	var ready emulator.Ready
	ts.Check(json.Unmarshal([]byte(line), &ready))
	ts.Setenv("METI_BASE_URL", ready.URL)
	ts.Setenv("AUTH0_DOMAIN", ready.Domain)
	ts.Setenv("AUTH0_AUDIENCE", ready.Audience)
	ts.Setenv("METI_CLIENT_ID", ready.ClientID)
	ts.Setenv("METI_CLIENT_SECRET", ready.ClientSecret)
}

// meti is the path of the command under test.
func meti(ts *testscript.TestScript) string {
	name := "meti"
	if runtime.GOOS == "windows" {
		name = "meti.exe"
	}
	path := filepath.Join(filepath.SplitList(ts.Getenv("PATH"))[0], name)
	if _, err := os.Stat(path); err != nil {
		ts.Fatalf("%v", err)
	}
	return path
}

func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N meti ARG…")
	}
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	got := 0
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
	secretsKept(ts, args[2:])
}

func runs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: runs N P meti ARG…")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	atOnce, err := strconv.Atoi(args[1])
	ts.Check(err)
	environment := os.Environ()
	for _, name := range []string{"AUTH0_DOMAIN", "AUTH0_AUDIENCE", "METI_CLIENT_ID", "METI_CLIENT_SECRET", "XDG_CACHE_HOME"} {
		environment = append(environment, name+"="+ts.Getenv(name))
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	for range n {
		group.Go(func() error {
			cmd := exec.CommandContext(context.Background(), meti(ts), args[3:]...)
			cmd.Env = environment
			return cmd.Run()
		})
	}
	ts.Check(group.Wait())
}

var jwt = regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.`)

// secretsKept looks for the client secret, and for tokens but where one was
// asked for, in all that was printed.
func secretsKept(ts *testscript.TestScript, args []string) {
	for _, stream := range []string{"stdout", "stderr"} {
		text := ts.ReadFile(stream)
		if secret := strings.TrimSpace(ts.Getenv("METI_CLIENT_SECRET")); secret != "" && strings.Contains(text, secret) {
			ts.Fatalf("%s holds the client secret", stream)
		}
		if wanted := len(args) > 0 && args[0] == "token" && stream == "stdout"; !wanted && jwt.MatchString(text) {
			ts.Fatalf("%s holds a token", stream)
		}
	}
}

// server answers one thing to everything. A script has one at a time.
type server struct {
	*httptest.Server
	asked   chan string   // gets the path of each request
	hang    chan struct{} // closed at the end; what hangs waits for it
	signals int           // that were sent
}

type serverKey struct{}

func serve(ts *testscript.TestScript, _ bool, args []string) {
	s := &server{asked: make(chan string, 1000), hang: make(chan struct{})}
	body := []byte("{}")
	if len(args) > 1 {
		body = []byte(ts.ReadFile(args[1]))
	}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked <- r.URL.Path
		if args[0] == "hang" {
			select {
			case <-s.hang:
			case <-r.Context().Done():
			}
			return
		}
		status, _ := strconv.Atoi(args[0])
		w.Header().Set("Content-Type", "application/json")
		if status >= 300 && status < 400 {
			w.Header().Set("Location", "https://elsewhere.example/sources")
		}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	ts.Defer(func() { close(s.hang); s.Close() })
	ts.Setenv("METI_BASE_URL", s.URL)
	ts.Setenv("SERVER_URL", s.URL)
	*ts.Value(serverKey{}).(*server) = *s
}

func interrupt(ts *testscript.TestScript, _ bool, args []string) {
	signal := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM}[args[0]]
	cmd := exec.CommandContext(context.Background(), meti(ts), args[3:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"AUTH0_DOMAIN", "AUTH0_AUDIENCE", "METI_CLIENT_ID", "METI_CLIENT_SECRET", "XDG_CACHE_HOME", "PATH"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	s := ts.Value(serverKey{}).(*server)
	s.signals++
	mine := fmt.Sprintf("/%d/", s.signals) // an earlier command may have left requests behind
	cmd.Env = append(cmd.Env, "METI_BASE_URL="+s.URL+strings.TrimSuffix(mine, "/"))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	ts.Check(cmd.Start())
	for path, timeout := "", time.After(5*time.Minute); !strings.HasPrefix(path, mine); {
		select {
		case path = <-s.asked:
		case <-timeout:
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			ts.Fatalf("it asked for nothing: %s", stderr.String())
		}
	}
	ts.Check(cmd.Process.Signal(signal))
	_ = cmd.Wait()
	if got := strconv.Itoa(cmd.ProcessState.ExitCode()); got != args[1] {
		ts.Fatalf("exit code %s, want %s: %s", got, args[1], stderr.String())
	}
}

func requests(ts *testscript.TestScript, _ bool, args []string) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, ts.Getenv("AUTH0_DOMAIN")+"/_emulator/requests", nil)
	ts.Check(err)
	answer, err := http.DefaultClient.Do(request)
	ts.Check(err)
	defer answer.Body.Close()
	var counts map[string]int
	ts.Check(json.NewDecoder(answer.Body).Decode(&counts))
	if got := strconv.Itoa(counts[args[0]]); got != args[1] {
		ts.Fatalf("%s requests of %s, want %s", got, args[0], args[1])
	}
}

// proxy answers 407 to everything, as a company's does to a wrong password.
func proxy(ts *testscript.TestScript, _ bool, _ []string) {
	s := ts.Value(serverKey{}).(*server)
	s.asked = make(chan string, 1000)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked <- r.URL.Path
		w.Header().Set("Proxy-Authenticate", "Basic realm=x")
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	ts.Defer(s.Close)
	ts.Setenv("HTTPS_PROXY", strings.Replace(s.URL, "http://", "http://corp:SENTINEL-password@", 1))
}

func connects(ts *testscript.TestScript, _ bool, args []string) {
	if got := strconv.Itoa(len(ts.Value(serverKey{}).(*server).asked)); got != args[0] {
		ts.Fatalf("%s requests at the proxy, want %s", got, args[0])
	}
}

func keep(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if found == nil {
		ts.Fatalf("nothing in stdout matches %s", args[1])
	}
	ts.Setenv(args[0], found[len(found)-1])
}
