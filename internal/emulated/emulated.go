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
type Server struct{ *emulator.Server }

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
	for _, variable := range server.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			log.Fatal(err)
		}
	}
	return &Server{server}
}

// Close ends the server, and takes what points at it out of the environment.
func (s *Server) Close() {
	for _, variable := range s.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if err := os.Unsetenv(name); err != nil {
			log.Fatal(err)
		}
	}
	if err := s.Server.Close(); err != nil {
		log.Fatal(err)
	}
}
