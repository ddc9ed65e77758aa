"""Policies by name: ``none``, ``static``, ``user-space``, ``ladder``, or a dotted path to one of your own."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from agentcgroup.errors import UsageError
from agentcgroup.policy.ladder import Ladder
from agentcgroup.policy.none import Nothing
from agentcgroup.policy.settings import LadderSettings
from agentcgroup.policy.static import Static
from agentcgroup.policy.user_space import UserSpace
from agentcgroup.policy.world import Policy

_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?:\.|:)[A-Za-z_]\w*", re.ASCII)


def _ladder(**settings: Any) -> Policy:
    return Ladder(LadderSettings(**settings))


# name -> what makes it, and the names of its settings
_BUILT_IN: dict[str, tuple[Callable[..., Policy], tuple[str, ...]]] = {
    "none": (Nothing, ()),
    "static": (Static, ("call_bytes", "budget_share")),
    "user-space": (UserSpace, ("stall_share", "usage_share", "every_s", "for_s")),
    "ladder": (_ladder, tuple(setting.name for setting in fields(LadderSettings))),
}


def names() -> tuple[str, ...]:
    """The policies that come with agentcgroup."""
    return tuple(_BUILT_IN)


def settings_of(name: str) -> tuple[str, ...] | None:
    """The names of the settings of a policy that comes with agentcgroup; None of others, for nobody says."""
    return _BUILT_IN[name][1] if name in _BUILT_IN else None


def policy(name: str, **settings: Any) -> Policy:
    """The policy called ``name``, with these settings; UsageError when there is none such or a setting is wrong.

    A dotted path (``package.module:attribute`` or ``package.module.attribute``) is imported, which runs the code of
    that module: never take one from an agent. The attribute is a policy, or a callable that takes the settings and
    gives one.
    """
    if name not in _BUILT_IN:
        return _imported(name, settings)
    make, known = _BUILT_IN[name]
    for setting in settings:
        if setting not in known:
            fix = f"there are {', '.join(known)}" if known else "it has no settings"
            raise UsageError(f"the policy {name} has no setting {setting!r}", fix)
    return _made(name, make, settings)


def _imported(path: str, settings: dict[str, Any]) -> Policy:
    if not _PATH.fullmatch(path):
        raise UsageError(
            f"{path!r} is no policy", f"give {', '.join(_BUILT_IN)}, or a path such as package.module:attribute"
        )
    module, _, attribute = path.replace(":", ".").rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise UsageError(
            f"{path}: {error}", f"install what is missing, or put the folder of {module} on PYTHONPATH"
        ) from error
    except AttributeError as error:
        raise UsageError(f"{path}: {module} has no {attribute}", "give the name of a policy in it") from error
    if isinstance(found, type) or not _is_policy(found):
        return _made(path, found, settings)
    if settings:
        raise UsageError(f"{path} is made already and takes no settings", "name the class, or leave the settings out")
    policy_: Policy = found
    return policy_


def _made(name: str, make: Any, settings: dict[str, Any]) -> Policy:
    if not callable(make):
        raise UsageError(f"{name} is no policy", "it needs `name` and `decide(world, signal)`; see policy/world.py")
    try:
        made = make(**settings)
    except TypeError as error:
        raise UsageError(f"{name} cannot be made: {error}", "check the names and types of its settings") from error
    if not _is_policy(made):
        raise UsageError(
            f"{name} gave no policy but {type(made).__name__}",
            "it needs `name` and `decide(world, signal)`; see policy/world.py",
        )
    policy_: Policy = made
    return policy_


def _is_policy(found: object) -> bool:
    return callable(getattr(found, "decide", None)) and isinstance(getattr(found, "name", None), str)
