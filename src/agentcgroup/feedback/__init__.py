"""What the agent is told: about a call that something happened to (`text`), and about its budget (`budget`).

`told` is what the controller knows beyond the record of the call, `facts` says what happened, `advice` what to do next,
`machine` says the same as JSON, `wording` keeps it short and printable.
"""
