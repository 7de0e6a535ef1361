// Package mod has one of everything.
package mod

import (
	"context"
	"errors"
	"io"

	"example.com/x/mod/sub"
)

const Version = "0.1.0"

type Level int

const (
	Low Level = iota
	High
	hidden
)

var ErrGone = errors.New("gone")

type Alias = sub.Thing

// Conn embeds, hides and has methods of both kinds.
type Conn struct {
	sub.Thing
	Name string
	n    int
}

func (c *Conn) Close() error { return nil }
func (c Conn) N() int        { return c.n }

type Option interface{ option() }

type Dialer interface {
	io.Closer
	Dial(ctx context.Context, address string) (io.Reader, error)
}

type Number interface{ ~int | ~string }

type Pair[K comparable, V any] struct {
	Key   K
	Value V
}

func (p Pair[K, V]) Swap(f func(V) K) K { return p.Key }

type Handler func(*Conn, sub.Thing)

func Connect(ctx context.Context, opts ...Option) (*Conn, error) { return nil, nil }

func Collect[T any](seq func(yield func(T, error) bool)) []T { return nil }

func unexported() {}
