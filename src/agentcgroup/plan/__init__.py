"""How many agents a host carries, from their traces (docs/how-to/plan.md).

load       traces to sessions            published  scripts from sampled sessions
session    a session, second by second   tape       sessions back to back, cut anywhere, as a host meets them
question   what is asked                 reserve    answers in closed form: reservations, CPU
trial      so many agents on the host, in virtual time, against the policy
search     the most that stay within the risk     risk  rates of rare events, and their bounds
answer     all of it put together, with intervals chart  as tables and a chart
"""
