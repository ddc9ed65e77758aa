"""Carries out what was decided: enforcers, one for each way in which a host lets us act.

result   what became of an action
cgroups  the files of cgroup v2: limits, reclaim, freeze, kill, protection
choice   which enforcer a session gets: pure
offers   which ones this host seems to offer, without loading anything
"""
