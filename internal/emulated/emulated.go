// Package emulated lets the examples of this module run as programs do that call
// METI: with nothing but the environment to say where it is.
package emulated

import (
	"log"
	"os"
	"strings"

	"github.com/meti-go/meti/emulator"
)

// Server is an emulator that the environment points at until it is closed.
type Server struct {
	*emulator.Server
	before []string
}

// Start starts an emulator and points the environment at it. Its seed is 1 unless
// another one is asked for, so that an example prints the same each time.
func Start(options emulator.Options) *Server {
	if options.Seed == 0 {
		options.Seed = 1
	}
	server, err := emulator.Start(options)
	if err != nil {
		log.Fatal(err)
	}
	before := os.Environ()
	setenv(server.Environ())
	return &Server{server, before}
}

// Close ends the server and gives back the environment as it was.
func (s *Server) Close() {
	if err := s.Server.Close(); err != nil {
		log.Fatal(err)
	}
	os.Clearenv()
	setenv(s.before)
}

func setenv(variables []string) {
	for _, variable := range variables {
		// The names of Windows' own variables may begin with "=".
		if name, value, found := strings.Cut(variable, "="); found && name != "" {
			if err := os.Setenv(name, value); err != nil {
				log.Fatal(err)
			}
		}
	}
}
