"""`id_tokens:`: RS256 tokens with GitLab's claims, and the keys to check them with."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

if TYPE_CHECKING:
    from datetime import datetime

    from tests.support.gitlab.records import Job, Project, User

__all__ = ["Signer", "claims"]

_NOT_BEFORE_S = 5


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(slots=True)
class Signer:
    """The instance's keys: one for OpenID Connect, one for CI, both in the JWKS as with GitLab.

    They are made when they are first asked for: that takes a while.
    """

    _ci_key: rsa.RSAPrivateKey | None = None
    _openid_key: rsa.RSAPrivateKey | None = None

    @property
    def ci_key(self) -> rsa.RSAPrivateKey:
        """Signs ID tokens."""
        self._ci_key = self._ci_key or _new_key()
        return self._ci_key

    @property
    def openid_key(self) -> rsa.RSAPrivateKey:
        """Signs nothing here, but is published."""
        self._openid_key = self._openid_key or _new_key()
        return self._openid_key

    def sign(self, payload: dict[str, Any]) -> str:
        """A compact token; its header names the CI key."""
        return jwt.encode(payload, self.ci_key, algorithm="RS256", headers={"kid": _key_id(self.ci_key)})

    def rotate(self) -> None:
        """Sign with another key from now on; the old one is no longer published."""
        self._ci_key = _new_key()

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """What `/oauth/discovery/keys` serves."""
        return {"keys": [_public(self.openid_key), _public(self.ci_key)]}


def _public(key: rsa.RSAPrivateKey) -> dict[str, str]:
    numbers: dict[str, str] = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    return {
        "kty": "RSA",
        "kid": _key_id(key),
        "e": numbers["e"],
        "n": numbers["n"],
        "use": "sig",
        "alg": "RS256",
    }


def _key_id(key: rsa.RSAPrivateKey) -> str:
    return uuid.uuid5(uuid.NAMESPACE_OID, str(key.public_key().public_numbers().n)).hex


def claims(job: Job, *, audience: str | list[str], issuer: str, now: datetime) -> dict[str, Any]:
    """The documented payload. Ids of GitLab's own things are strings, the runner's is a number."""
    pipeline = job.pipeline
    source_project = (
        pipeline.merge_request.source_project if pipeline.merge_request is not None else pipeline.project
    )
    ref_type = "tag" if pipeline.is_tag else "branch"
    issued_at = int(now.timestamp())
    payload: dict[str, Any] = {
        **_project_claims(source_project, ""),
        **_user_claims(job.user),
        **_project_claims(job.project, "job_"),
        "pipeline_id": str(pipeline.id),
        "pipeline_source": pipeline.source,
        "job_id": str(job.id),
        "ref": pipeline.source_ref,
        "ref_type": ref_type,
        "ref_path": f"refs/{'tags' if pipeline.is_tag else 'heads'}/{pipeline.source_ref}",
        "ref_protected": "true" if pipeline.is_protected else "false",
        "runner_id": job.runner.id if job.runner else None,
        "runner_environment": "self-hosted",
        "sha": pipeline.sha,
        "project_visibility": job.project.visibility,
        "ci_config_ref_uri": (
            f"{issuer.partition('://')[2]}/{job.project.path}//.gitlab-ci.yml@refs/heads/{pipeline.source_ref}"
        ),
        "ci_config_sha": pipeline.sha,
        "jti": str(uuid.uuid4()),
        "iat": issued_at,
        "nbf": issued_at - _NOT_BEFORE_S,
        "exp": issued_at + job.timeout_s,
        "iss": issuer,
        "sub": f"project_path:{source_project.path}:ref_type:{ref_type}:ref:{pipeline.source_ref}",
        "aud": audience,
    }
    if job.spec.environment:
        payload |= {
            "environment": job.spec.environment,
            "environment_protected": "false",
            "deployment_tier": "other",
            "environment_action": "start",
        }
    return payload


def _project_claims(project: Project, prefix: str) -> dict[str, str]:
    return {
        f"{prefix}namespace_id": str(project.namespace_id),
        f"{prefix}namespace_path": project.namespace,
        f"{prefix}project_id": str(project.id),
        f"{prefix}project_path": project.path,
    }


def _user_claims(user: User) -> dict[str, str]:
    return {
        "user_id": str(user.id),
        "user_login": user.username,
        "user_email": user.email,
        "user_access_level": "owner",
    }
