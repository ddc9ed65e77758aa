"""The static C client that stands in for the shells of an agent, and the Python side of its contract.

``image`` makes stand-ins (patched copies of the client), ``wire`` packs and unpacks its messages.
The contract of both sides is docs/reference/client-protocol.md; the C sources are beside this file.
"""

from __future__ import annotations
