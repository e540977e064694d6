# SPDX-License-Identifier: EUPL-1.2
# A thin front for Meson and the scripts in tools/ and tests/.
.PHONY: all demo demo-stop check conformance bench fuzz clean

all: build/release/colvert

# The executable, in the flavour that is shipped.
build/release/build.ninja:
	meson setup build/release --buildtype=plain -Doptimization=2 >/dev/null

.PHONY: build/release/colvert
build/release/colvert: build/release/build.ninja
	@ninja -C build/release src/cmd/colvert | tail -n 1
	@ln -sf src/cmd/colvert $@

demo:
	@tools/install-packages build run image client
	@$(MAKE) --no-print-directory build/release/colvert
	@tools/demo

demo-stop:
	@tools/demo-stop

# Three hosts in namespaces of this machine, PostgreSQL, two colvert api, OVN.
.PHONY: demo-cluster demo-cluster-stop
demo-cluster:
	@tools/install-packages build run image client cluster
	@$(MAKE) --no-print-directory build/release/colvert
	@tools/demo-cluster

demo-cluster-stop:
	@tools/demo-cluster stop

# All tests, as a bare machine runs them; the last line counts them.
check:
	@tests/check

# OpenStack's own tests: SUITE=required (scs-0128), full, scenario, or a regular expression of their names.
# CLUSTER=1: on three hosts with PostgreSQL and OVN instead of one machine.
SUITE ?= required
conformance:
	@tools/install-packages build run image conformance $(if $(CLUSTER),cluster)
	@$(MAKE) --no-print-directory build/release/colvert
	@tests/conformance/run $(if $(CLUSTER),--cluster) '$(SUITE)'

bench:
	@tools/install-packages build run bench
	@$(MAKE) --no-print-directory build/release/colvert
	@ninja -C build/release bench/load bench/hash | tail -n 1
	@bench/run

fuzz:
	@tools/install-packages build test
	@tests/fuzz

clean:
	rm -rf build
