"""inspect_ai (0.3.285), local sandbox: `bash --login -c COMMAND` for each call of its bash and python tools."""

from __future__ import annotations

from agentcgroup.agents.profile import CHILD, AgentProfile, arg_begins, arg_is, rule
from agentcgroup.model import Label

SANDBOX_PROBE = rule(Label.PROBE, arg_is(1, "-c"), arg_begins(2, "inspect_image_path=${PATH-}"))
"""It looks once at what its local sandbox offers."""

PROFILE = AgentProfile(
    id="inspect",
    title="Inspect",
    documentation=(
        "In its local sandbox each use of the bash or python tool is `bash --login -c COMMAND`, a child without a "
        "session of its own. Its container sandboxes run elsewhere and are not caught."
    ),
    names=("inspect", "inspect_ai"),
    packages=("inspect-ai", "inspect_ai"),
    rules=(
        SANDBOX_PROBE,
        rule(Label.CALL, CHILD, arg_is(1, "--login"), arg_is(2, "-c")),
        rule(Label.CALL, CHILD, arg_is(1, "-c")),  # of the user's own tools
    ),
    uses_path=True,
)
