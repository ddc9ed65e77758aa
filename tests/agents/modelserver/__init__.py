"""A model server that plays a script, for running real agents without a model.

It speaks four protocols as real services do, streaming included: Anthropic Messages, OpenAI Chat Completions,
OpenAI Responses and Gemini. The turn to play is the number of model turns already in the request, so a retry gets
the same answer. What a client sends is checked: a request that no real service would take, or a history that is
not what this server said, is answered with an error and kept in `ModelServer.errors` for the test to look at.
"""
