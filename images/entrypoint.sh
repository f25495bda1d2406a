#!/bin/sh
# Lets everything that runs here trust the certificates of NX_DTE_EXTRA_CA, beside the public ones, and becomes the command.
# NX_DTE_EXTRA_CA is the path of a file of PEM certificates, or these certificates themselves. Unset or empty changes nothing.
set -eu

system=/etc/ssl/certs/ca-certificates.crt

give_up() {
  echo "nx-dte-entrypoint: $1" >&2
  exit 78
}

if [ -n "${NX_DTE_EXTRA_CA:-}" ]; then
  # With a read-only root file system there is /dev/shm.
  folder=$(mktemp -d 2>/dev/null) || folder=$(mktemp -d -p /dev/shm 2>/dev/null) ||
    give_up "NX_DTE_EXTRA_CA is set, but neither ${TMPDIR:-/tmp} nor /dev/shm can be written; mount a tmpfs at /tmp"
  extra=$folder/extra-ca.pem bundle=$folder/ca-bundle.pem
  case $NX_DTE_EXTRA_CA in
    *-----BEGIN*) given=$NX_DTE_EXTRA_CA ;;
    *) given=$(cat -- "$NX_DTE_EXTRA_CA" 2>/dev/null) ||
      give_up "NX_DTE_EXTRA_CA names $NX_DTE_EXTRA_CA, which cannot be read; mount it, or give the certificates themselves" ;;
  esac
  # Certificates only: the copy can be read by everybody, so a private key that lies beside them stays where it is.
  printf '%s\n' "$given" | sed -n '/^-----BEGIN CERTIFICATE-----[[:space:]]*$/,/^-----END CERTIFICATE-----/p' >"$extra"
  [ -s "$extra" ] || give_up "NX_DTE_EXTRA_CA holds no PEM certificate: -----BEGIN CERTIFICATE----- on a line of its own"
  cat "$system" "$extra" >"$bundle"
  chmod -R a+rX "$folder" # a job may change its user
  # Node, npm, yarn, pnpm | Python and Nx's native client | git | curl | Python's requests | pip
  export NODE_EXTRA_CA_CERTS="$extra" SSL_CERT_FILE="$bundle" GIT_SSL_CAINFO="$bundle" CURL_CA_BUNDLE="$bundle"
  export REQUESTS_CA_BUNDLE="$bundle" PIP_CERT="$bundle"
fi

exec "$@"
