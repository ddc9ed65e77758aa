"""Traces: what a session and its calls did and used, on disk (docs/reference/trace-format.md).

records  what one record says, to and from JSON     views    sessions and calls, joined from records
writer   appends records, survives a full disk      reader   reads whatever is sound in a trace
samples  appends samples in a binary spool          frames   samples and calls as polars frames
summary  counts a session as it goes                render   the summary as text
perfetto, export   other formats                    text     command lines made fit to print

Nothing here imports polars or rich at import time: `agentcgroup run` pays for what it uses only.
"""
