# A plain Debian machine for the scenarios: systemd as the first process, Python for Ansible, what a cloud image has, and
# git, so that gitlab-runner's package can be installed where no archive can be reached.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
ARG EXTRA_CA=""
# hadolint ignore=DL3009  # the lists stay: a role that installs something must not have to fetch them first
RUN apt-get update \
 && apt-get install --yes --no-install-recommends systemd systemd-sysv dbus libpam-systemd python3 python3-apt \
      ca-certificates curl git iproute2 procps sudo kmod \
 && systemctl mask systemd-modules-load.service systemd-udevd.service getty.target systemd-logind.service \
      apt-daily.timer apt-daily-upgrade.timer systemd-networkd-wait-online.service \
 && rm -f /usr/sbin/policy-rc.d
# Where TLS is looked into, what the machine that builds this trusts.
RUN if [ -n "${EXTRA_CA}" ]; then printf '%s\n' "${EXTRA_CA}" > /usr/local/share/ca-certificates/extra.crt && update-ca-certificates; fi
# Newer engines want to write below /proc/sys, which an unprivileged container has read-only.
RUN printf '%s\n' '[Unit]' 'DefaultDependencies=no' 'Before=sysinit.target docker.service' '[Service]' 'Type=oneshot' \
      'RemainAfterExit=yes' 'ExecStart=/bin/mount -o remount,bind,rw /proc/sys' '[Install]' 'WantedBy=sysinit.target' \
      > /etc/systemd/system/writable-proc-sys.service \
 && systemctl enable writable-proc-sys.service
# Packages of the machine that a scenario does not test; they start with it.
ARG PACKAGES=""
RUN if [ -n "${PACKAGES}" ]; then apt-get install --yes --no-install-recommends ${PACKAGES}; fi
# As on a machine, apt keeps its index of all packages; images of containers switch that off, and each call takes seconds.
RUN rm -f /etc/apt/apt.conf.d/99mmdebstrap /etc/apt/apt.conf.d/docker-clean && apt-get check
STOPSIGNAL SIGRTMIN+3
CMD ["/lib/systemd/systemd"]
