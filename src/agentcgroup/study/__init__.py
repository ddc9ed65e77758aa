"""Characterizes recorded sessions: loads traces into frames, computes metrics from them, says how sure they are.

``find`` names the runs below a path, ``load`` reads them (our traces and the published format) into the frames that
``schema`` documents, ``metrics`` is the list of what can be computed, ``statistics`` gives estimates their intervals.
The figures of a report are drawn from the same `Number` rows that ``agentcgroup study`` prints.
"""
