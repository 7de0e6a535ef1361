package options

import "example.com/x/other"

type Option interface{ option() }

type SubOption interface{ subOption() }

// Both is a union of roles.
type Both interface {
	Option
	SubOption
}

// BothOption is found to be a role although it only embeds one.
type BothOption interface{ Option }

// OpenOption can be implemented by anybody: no role.
type OpenOption interface{ Apply() }

type Dialer interface{ Dial() }

type Policy int

func Name(string) Option            { return nil }
func DIALER(Dialer) Option          { return nil }
func UseDialer(Dialer) Option       { return nil }
func WithTimeout(int) SubOption     { return nil }
func Without() Option               { return nil }
func Policy_(Policy) BothOption     { return nil }
func policy(Policy) Option          { return nil }
func Foreign() other.PublishOption  { return nil }
func Dialer2() (OpenOption, error)  { return nil, nil }
func NotAnOption() (Dialer, Policy) { return nil, 0 }
