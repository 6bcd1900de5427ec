#!/usr/bin/env bash
# An agent with capabilities of its own, against a server on this machine.
#
# usage: own_agent.sh DATA      DATA is the data directory of a running `boruta server --data DATA`
set -eu
exec dryad simulate -n 1 --data "$1" -c arch=riscv64 -c "uart=9600, 115200" -c voltage=3.3
