# A stand-in for the official python image, from Debian's Python: an environment at /usr/local has python and pip there.
FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates netbase python3 python3-venv tzdata \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /usr/local \
 && rm /usr/local/bin/activate /usr/local/bin/Activate.ps1 /usr/local/bin/activate.* \
 # smoke tests
 && /usr/local/bin/python3 --version && /usr/local/bin/pip --version
ENV LANG=C.UTF-8
ARG STAND_IN
LABEL nx-dte.stand-in="${STAND_IN}" \
      org.opencontainers.image.title="stand-in for an official python image, for builds and tests of nx-dte only"
CMD ["python3"]
