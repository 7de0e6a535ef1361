module github.com/perigee-go/nats/core/test

go 1.26.0

require (
	github.com/perigee-go/nats/core v0.1.0
	github.com/perigee-go/nats/orbit/natstest v0.1.0
)
