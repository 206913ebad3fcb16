"""Decides, sandboxes and records the tool calls of language models."""
