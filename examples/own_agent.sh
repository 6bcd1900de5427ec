#!/usr/bin/env bash
# An agent with capabilities of its own, against a server on this machine.
#
# usage: own_agent.sh DATA      DATA is the data directory of a running `boruta server --data DATA`
#
# It runs until Ctrl-C. Any of its capabilities finds it, one member of a list too:
#   boruta --data DATA run -c uart=115200 -c voltage=3..3.6 -- uname -a
# A board that is no simulation has them in its dryad.toml, see docs/agent.md.
set -eu
exec dryad simulate -n 1 --data "$1" -c arch=riscv64 -c "uart=9600, 115200" -c voltage=3.3
