# A stand-in for the official node image that is not slim: of all that is in it, git alone, and no Python.
FROM node:18-bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates git \
 && rm -rf /var/lib/apt/lists/*
ARG STAND_IN
LABEL nx-dte.stand-in="${STAND_IN}" \
      org.opencontainers.image.title="stand-in for an official node image, for builds and tests of nx-dte only"
