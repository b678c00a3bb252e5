"""Heads and image encoders → files for a phone."""
