"""What each agent looks like to the kernel: its processes, its shells, its needs. One file per agent.

Start at `registry`: it makes the client's rule table and recognises an agent by its command line.
"""
