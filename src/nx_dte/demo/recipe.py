"""The recipe's own lines, word for word, and the plain run they are compared with."""

__all__ = ["AGENT_SCRIPT", "MAIN_SCRIPT", "PARALLEL", "PLAIN_SCRIPT", "PLAIN_VARIABLES"]

PARALLEL = 2

_BASE_AND_HEAD = (
    "NX_HEAD=$CI_COMMIT_SHA",
    "NX_BASE=${CI_MERGE_REQUEST_DIFF_BASE_SHA:-$CI_COMMIT_BEFORE_SHA}",
)
_AFFECTED = (
    f"yarn nx affected --base=$NX_BASE --head=$NX_HEAD -t lint,test,build,e2e-ci --parallel={PARALLEL}"
)

MAIN_SCRIPT = (
    *_BASE_AND_HEAD,
    'yarn nx-cloud start-ci-run --distribute-on="manual" --stop-agents-after=e2e-ci',
    "yarn nx-cloud record -- nx format:check --base=$NX_BASE --head=$NX_HEAD",
    _AFFECTED,
)

AGENT_SCRIPT = ("yarn nx-cloud start-agent",)

PLAIN_SCRIPT = (
    *_BASE_AND_HEAD,
    "yarn nx format:check --base=$NX_BASE --head=$NX_HEAD",
    _AFFECTED,
)

# Without a cloud token Nx refuses atomized targets; this is its own switch for that check.
PLAIN_VARIABLES = {"NX_SKIP_ATOMIZER_VALIDATION": "true"}
