#!/usr/bin/env bash
# What the tests need and a machine may lack: installed when it may be, else it fails and says so.
set -euo pipefail
if ! command -v redis-server >/dev/null; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "tests/provide.sh: redis-server is missing; install it (Debian: apt-get install redis-server)" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server >/dev/null
fi
