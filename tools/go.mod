module github.com/perigee-go/nats/tools

go 1.26.0
