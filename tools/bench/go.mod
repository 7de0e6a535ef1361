module github.com/perigee-go/nats/tools/bench

go 1.26.0
