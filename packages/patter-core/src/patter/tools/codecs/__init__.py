"""Tool calls and their outputs in the words of other systems. Pure."""
