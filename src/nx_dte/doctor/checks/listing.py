"""All checks, in the order in which they are shown."""

from __future__ import annotations

from functools import partial

from nx_dte.doctor.checks import checkout, coordinator, host, identity, machine, network, programs, workspace
from nx_dte.doctor.checks.base import Check
from nx_dte.doctor.role import JOBS, Role

__all__ = ["CHECKS"]

_ALL = frozenset(Role)
_MAIN = frozenset({Role.MAIN})
_IMAGE = frozenset({Role.IMAGE})
_HOST = frozenset({Role.HOST})
_NOT_IMAGE = _ALL - _IMAGE

_BY_ROLES = (
    ("python", _ALL, programs.python),
    ("node", _ALL, programs.node),
    ("git", _ALL, programs.git),
    ("package_manager", JOBS, programs.package_manager),
    ("yarn", _IMAGE, partial(programs.bundled, "yarn")),
    ("npm", _IMAGE, partial(programs.bundled, "npm")),
    ("pnpm", _IMAGE, partial(programs.bundled, "pnpm")),
    ("docker", _HOST, host.docker),
    ("gitlab_runner", _HOST, host.gitlab_runner),
    ("nx", JOBS, workspace.nx),
    ("nx_cloud_package", JOBS, workspace.nx_cloud_package),
    ("nx_json", JOBS, workspace.nx_json),
    ("checkout", JOBS, checkout.checkout),
    ("origin", JOBS, checkout.origin),
    ("history", _MAIN, checkout.history),
    ("base", _MAIN, checkout.base),
    ("commit", JOBS, checkout.commit),
    ("build_folder", JOBS, checkout.build_folder),
    ("safe_directory", _IMAGE, checkout.safe_directory),
    ("coordinator_address", _NOT_IMAGE, coordinator.address),
    ("coordinator", _NOT_IMAGE, coordinator.coordinator),
    ("protocol", JOBS, coordinator.protocol),
    ("light_client", _NOT_IMAGE, coordinator.light_client),
    ("token", JOBS, identity.token),
    ("ci_id", JOBS, identity.ci_id),
    ("clock", _NOT_IMAGE, coordinator.clock),
    ("switches", JOBS, identity.switches),
    ("settings", JOBS, identity.settings),
    ("certificates", _ALL, network.certificates),
    ("proxy", _NOT_IMAGE, network.proxy),
    ("user", _IMAGE, machine.user),
    ("locale", _ALL, machine.locale),
    ("home", _ALL, machine.home),
    ("temp", _ALL, machine.temp),
    ("space", _NOT_IMAGE, machine.space),
    ("init", _ALL, machine.init),
)
CHECKS = tuple(
    Check(check_id=check_id, roles=roles, examine=examine) for check_id, roles, examine in _BY_ROLES
)
