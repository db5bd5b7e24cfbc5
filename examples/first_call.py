"""The smallest use: one tool, one call, one envelope. Runs as it is, without keys."""

from patter import Patter, PatterTool

tool = PatterTool(phone=Patter.local(persona="salon"))

result = tool.execute_sync(to="+15550100199", goal="Book a haircut for tomorrow at three in the afternoon.")

print(result.status, f"{result.duration_seconds:.0f} s")
for line in result.transcript:
    print(f"{line.role:>5}: {line.text}")
