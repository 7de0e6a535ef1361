# The one entry point: "make help" lists the targets. Only Go, make and git are
# needed. Every target works on all modules of go.work, one after the other.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# $(call each,COMMAND) runs COMMAND in the directory of every module that has
# packages. All modules run; the failed ones are named at the end.
define each
@failed=; for dir in $$(go list -m -f '{{.Dir}}'); do \
	name=$${dir#$(CURDIR)/}; cd "$$dir"; \
	[ -n "$$(go list -e ./... 2>/dev/null)" ] || continue; \
	echo "== $$name: $(1)"; \
	$(1) || failed="$$failed $$name"; \
done; \
[ -z "$$failed" ] || { echo "failed in:$$failed"; exit 1; }
endef

.PHONY: help build test

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

build: ## Compile every package of every module
	$(call each,go build ./...)

test: ## Unit and integration tests of all modules
	$(call each,go test -shuffle=on ./...)
