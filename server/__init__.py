"""The phone's HTTP API.  Knows classifiers/ and FastAPI; nothing of the page."""
