"""Strings only: prompt templates, class names, the shipped label lists."""
