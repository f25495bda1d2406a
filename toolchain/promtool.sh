#!/usr/bin/env bash
# Prints the path of a promtool: the machine's own, else Debian's, unpacked into TOOLCHAIN without installing anything.
# usage: promtool.sh TOOLCHAIN     ends with 69 where neither can be had
set -euo pipefail

folder=${1:?toolchain directory}/prometheus
tool=$folder/promtool

if command -v promtool; then
  exit
fi
mkdir -p "$folder"
exec 9>"$folder/.lock"
flock 9 # tests run in several processes
if [[ ! -x $tool ]]; then
  if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    echo "promtool.sh: no promtool on PATH, and this is no Debian to get one from" >&2
    exit 69
  fi
  unpacked=$(mktemp -d "$folder/unpacked.XXXXXX")
  trap 'rm -rf "$unpacked"' EXIT
  # The package is fetched as whoever runs this; as root apt would warn that its own user cannot write here.
  if ! (cd "$unpacked" && apt-get -q -o APT::Sandbox::User= download prometheus) >&2; then
    echo "promtool.sh: no promtool on PATH, and apt-get could not download Debian's package prometheus" >&2
    exit 69
  fi
  dpkg --fsys-tarfile "$unpacked"/*.deb | tar -x -C "$unpacked" ./usr/bin/promtool
  "$unpacked/usr/bin/promtool" --version >/dev/null
  mv "$unpacked/usr/bin/promtool" "$tool"
fi
echo "$tool"
