module github.com/perigee-go/nats/docs/examples

go 1.26.0
