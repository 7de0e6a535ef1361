module github.com/perigee-go/nats/core

go 1.26.0
