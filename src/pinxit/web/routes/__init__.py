"""The HTTP API by topic. What the routes do is told by `Studio` and the files beside it."""
