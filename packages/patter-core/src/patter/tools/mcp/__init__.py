"""The client of MCP servers: their tools are tools of the agents of one phone."""
