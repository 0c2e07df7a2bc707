# A thin layer over the npm scripts; arguments: make test ARGS="--project unit".
SCRIPTS := start stack saga test check typecheck lint knip format build bench flows

.DEFAULT_GOAL := help
.PHONY: help $(SCRIPTS)

help:
	@echo "make $(SCRIPTS)"

$(SCRIPTS):
	@npm run --silent $@ -- $(ARGS)
