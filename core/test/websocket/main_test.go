package websocket

import (
	"os"
	"testing"

	"github.com/perigee-go/nats/orbit/natstest"
)

func TestMain(m *testing.M) { os.Exit(natstest.Main(m)) }
