"""What the tool types do: each module has ``bind(tool, services)``, which gives the handler of one tool in one call."""
