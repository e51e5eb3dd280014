// Package wire holds the values that METI writes in more than one way, read
// leniently and written strictly. The generated types of package gen are made
// of them.
package wire
