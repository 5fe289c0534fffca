#!/usr/bin/env bash
# From a manifest to rows in an Iceberg table, in a playground of its own that is made anew each time.
set -euo pipefail
cd "$(dirname "$0")"
bin="$PWD/../.venv/bin"
export PATH="$bin:$PATH"
export DCP_IDENTITY_USER=demo
manifest=manifests/derived_dataset/daily_orders.yaml

show() {
  printf '\n$ %s\n' "$*"
  "$@"
}

if pretzel playground show playground_demo >/dev/null 2>&1; then
  pretzel playground destroy playground_demo --yes >/dev/null 2>&1
fi
show python generate_source.py --rows 5000
show pretzel lint "$manifest"
show pretzel test "$manifest"
show pretzel plan "$manifest"
show pretzel apply "$manifest"
show pretzel run "$manifest"
show pretzel preview "$manifest" --limit 5
show pretzel plan "$manifest"
