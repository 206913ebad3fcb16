"""What tools are and what tasks may do with them, as YAML says it."""
