"""Which CLIP models there are, where their files lie, what was measured of them.  No torch."""
