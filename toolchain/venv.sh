#!/usr/bin/env bash
# Makes the virtual environment, or says what is missing and how to get it.
# usage: venv.sh PYTHON DIR
set -euo pipefail

python=${1:?python} dir=${2:?directory}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "setup: $python is $("$python" -V); nx-dte needs Python 3.11 or newer (make setup PYTHON=...)" >&2
  exit 78
}

# Debian keeps ensurepip, which venv needs, in a package of its own.
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "setup: this Python has no ensurepip; install it (Debian: apt-get install python3-venv) and try again" >&2
    exit 78
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
fi

# One that works is kept: what is installed in it is the next steps' business.
"$dir/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$dir"
