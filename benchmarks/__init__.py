"""Speed against peers, measured in the same process.  `python -m benchmarks`."""
