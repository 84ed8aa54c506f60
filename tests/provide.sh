#!/usr/bin/env bash
# What the tests need and a machine may lack: installed when it may be, else it fails and says so.
set -euo pipefail

install() {
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "tests/provide.sh: $1 is missing; install it (Debian: apt-get install $1)" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

command -v redis-server >/dev/null || install redis-server
command -v chromium >/dev/null || install chromium
# Without a Chinese font every picture of a page is full of boxes.
fc-list :lang=zh 2>/dev/null | grep -q . || install fonts-droid-fallback
