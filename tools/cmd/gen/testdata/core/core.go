package nats

const DefaultURL = "x"

var (
	ErrClosed, ErrOther error
)

type Conn struct{ hidden int }

func (c *Conn) Publish() {}
func (c *Conn) flush()   {}

type Msg struct {
	Subject, Reply string
}

type Dialer interface{ DialContext() }

type Seq[T any] struct{}

func (s *Seq[T]) All() {}

func Connect() {}
