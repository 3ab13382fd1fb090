"""The spec: what a user asks for, typed, validated whole, written as YAML or Python."""
