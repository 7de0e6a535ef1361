package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestErrorNamesAndTexts(t *testing.T) {
	for _, tt := range []struct {
		constant    string
		code        int
		description string
		name, text  string
	}{
		{"JSBadRequestErr", 10003, "bad request", "ErrBadRequest", "bad request"},
		{"JSStreamInvalidConfigF", 10052, "{err}", "ErrStreamInvalidConfig", "stream invalid config error"},
		{"JSStreamGeneralErrorF", 10051, "{err}", "ErrStreamGeneralError", "stream general error"},
		{"JSConsumerNameTooLongErrF", 10102, "consumer name is too long, maximum allowed is {max}", "ErrConsumerNameTooLong", "consumer name is too long"},
		{"JSSequenceNotFoundErrF", 10043, "sequence {seq} not found", "ErrSequenceNotFound", "sequence not found"},
		{"JSConsumerInactiveThresholdExcess", 10153, "consumer inactive threshold exceeds system limit of {limit}", "ErrConsumerInactiveThresholdExcess", "consumer inactive threshold exceeds system limit"},
		{"JSStreamExternalApiOverlapErrF", 10021, "stream external api prefix {prefix} must not overlap with {subject}", "ErrStreamExternalAPIOverlap", "stream external api prefix must not overlap"},
		{"JSInvalidJSONErr", 10025, "invalid JSON: {err}", "ErrInvalidJSON", "invalid JSON"},
		{"JSStreamHeaderExceedsMaximumErr", 10097, "header size exceeds maximum allowed of 64k", "ErrStreamHeaderExceedsMaximum", "header size exceeds maximum allowed of 64k"},
		{"JSNotEnabledErr", 10076, "JetStream not enabled", "ErrJetStreamNotEnabled", "JetStream not enabled"},
	} {
		e := serverError{tt.constant, tt.code, tt.description}
		if got := goName(e); got != tt.name {
			t.Errorf("%s is named %s, want %s", tt.constant, got, tt.name)
		}
		if got := text(e); got != tt.text {
			t.Errorf("%q reads %q, want %q", tt.description, got, tt.text)
		}
	}
}

func TestErrorsSource(t *testing.T) {
	entry := func(constant string, code int) string {
		return fmt.Sprintf(`{"constant":%q,"error_code":%d,"description":"bad \"luck\""}`, constant, code)
	}
	source, err := errorsSource([]byte("["+entry("JSBErr", 2)+","+entry("JSAErr", 1)+"]"), "v9.8.7")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"nats-server v9.8.7; DO NOT EDIT", "ErrA ErrorCode = 1\n", `ErrB: "bad \"luck\"",`} {
		if !strings.Contains(string(source), want) {
			t.Errorf("no %q in\n%s", want, source)
		}
	}
	if strings.Index(string(source), "ErrA") > strings.Index(string(source), "ErrB") {
		t.Error("not in the order of the codes")
	}
	if _, err := errorsSource([]byte("["+entry("JSAErr", 1)+","+entry("JSAErrF", 2)+"]"), "v1"); err == nil {
		t.Error("two errors have the same name")
	}
}
