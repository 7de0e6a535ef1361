package nats_test

func ExampleConnect() {}
